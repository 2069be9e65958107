const by=name=>document.getElementById(name),list=by("list"),sort=by("sort"),find=by("find"),main=document.querySelector("main");
const items=[...list.children],sheet=item=>by("e"+item.id.slice(1)),text=new Map(items.map(item=>[item,item.textContent.toLowerCase()]));
const name=item=>item.firstElementChild.textContent,order=new Intl.Collator(undefined,{numeric:true});
const places=new Map(items.map(item=>[item,Number(item.id.slice(1))]));
const probability=item=>item.dataset.probability===""?-1:Number(item.dataset.probability);
const orders={
 probability:(a,b)=>probability(b)-probability(a),
 name:(a,b)=>order.compare(name(a),name(b)),
 flags:(a,b)=>b.dataset.flags-a.dataset.flags,
 order:()=>0};
let shown=list.querySelector("[aria-selected=true]");
const listed=()=>[...list.children].filter(item=>!item.hidden);
function tell(){
 const all=listed(),place=all.indexOf(shown);
 by("place").textContent=all.length?(place<0?"–":place+1)+" of "+all.length:"none";
 by("before").disabled=place<=0;by("after").disabled=place===all.length-1}
function choose(item){
 if(!item)return;
 if(shown){shown.setAttribute("aria-selected","false");sheet(shown).classList.remove("shown")}
 shown=item;
 item.setAttribute("aria-selected","true");sheet(item).classList.add("shown");
 list.setAttribute("aria-activedescendant",item.id);
 const above=item.offsetTop-list.offsetTop,below=above+item.offsetHeight-list.clientHeight;
 if(list.scrollTop>above)list.scrollTop=above;else if(list.scrollTop<below)list.scrollTop=below;
 main.scrollTop=0;tell();
 if(document.activeElement!==list)by("said").textContent=by("place").textContent+": "+item.textContent}
function step(by){
 const all=listed(),place=all.indexOf(shown);
 choose(all[place<0?0:Math.min(Math.max(place+by,0),all.length-1)])}
function arrange(){
 const how=orders[sort.value];
 const sorted=[...items].sort((a,b)=>how(a,b)||places.get(a)-places.get(b));
 list.append(...sorted);main.append(...sorted.map(sheet));tell()}
function filter(){
 const words=find.value.toLowerCase().split(/\s+/).filter(word=>word);
 for(const item of items)item.hidden=sheet(item).hidden=!words.every(word=>text.get(item).includes(word));
 if(shown&&shown.hidden&&listed().length)choose(listed()[0]);
 tell();by("said").textContent=by("place").textContent}
list.addEventListener("click",event=>{choose(event.target.closest("li"));list.focus({preventScroll:true})});
by("before").addEventListener("click",()=>step(-1));
by("after").addEventListener("click",()=>step(1));
by("print").addEventListener("click",()=>{
 main.classList.add("single");
 addEventListener("afterprint",()=>main.classList.remove("single"),{once:true});
 print()});
sort.addEventListener("change",arrange);
find.addEventListener("input",filter);
document.addEventListener("keydown",event=>{
 if(event.ctrlKey||event.altKey||event.metaKey||event.target===sort||event.target===find)return;
 const many=items.length,far={j:1,k:-1,ArrowDown:1,ArrowUp:-1,Home:-many,End:many,PageDown:10,PageUp:-10}[event.key];
 const free=event.target===list||event.target===document.body&&event.key.startsWith("Arrow")||"jk".includes(event.key);
 if(far&&free){step(far);event.preventDefault()}});
tell();
