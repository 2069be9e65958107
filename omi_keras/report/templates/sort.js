document.querySelectorAll("table.sortable").forEach(table=>{
 const heads=[...table.tHead.rows[0].cells];
 heads.forEach((head,column)=>head.querySelector("button").addEventListener("click",()=>{
  const up=head.getAttribute("aria-sort")==="descending";
  heads.forEach(h=>h.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort",up?"ascending":"descending");
  const key=row=>{const cell=row.cells[column];return cell.dataset.v===undefined?cell.textContent:
   cell.dataset.v===""?null:Number(cell.dataset.v)};
  const rows=[...table.tBodies[0].rows].map((row,place)=>[key(row),place,row]);
  rows.sort(([a,i],[b,j])=>{
   if(a===null||b===null)return a===b?i-j:a===null?1:-1;
   const order=typeof a==="number"&&typeof b==="number"?a-b:String(a).localeCompare(String(b));
   return (up?order:-order)||i-j});
  rows.forEach(row=>table.tBodies[0].append(row[2]));
 }));
});
document.querySelectorAll("button[data-to]").forEach(button=>button.addEventListener("click",()=>{
 const look=document.getElementById(button.dataset.to);
 for(let part=look;part;part=part.parentElement)if(part.localName==="details")part.open=true;
 look.firstElementChild.focus({preventScroll:true});
 look.scrollIntoView();
}));
