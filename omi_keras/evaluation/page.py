"""One HTML file that needs nothing else: escaped text, tables that sort, figures, light and dark, wide and narrow."""

from __future__ import annotations

import base64
import hashlib
import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_STYLE = """
:root{color-scheme:light dark;--page:#fff;--text:#1b1f24;--soft:#59636e;--line:#d8dee4;--card:#f6f8fa;--link:#0969da;
--warn:#fff3cd;--warn-text:#5c4400}
@media (prefers-color-scheme:dark){:root{--page:#14181d;--text:#e6e9ec;--soft:#9aa5b1;--line:#3a424c;--card:#1d232a;
--link:#6cb2ff;--warn:#4a3a06;--warn-text:#ffe9a8}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.55 system-ui,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:1rem 1rem 4rem}
h1{font-size:1.6rem;line-height:1.25;margin:.6rem 0}
h2{font-size:1.2rem;margin:2.4rem 0 .4rem;padding-top:.8rem;border-top:1px solid var(--line)}
p{max-width:80ch;margin:.5rem 0}
a{color:var(--link)}
.banner{max-width:none;
background:var(--warn);color:var(--warn-text);padding:.6rem 1rem;border-radius:6px;font-weight:600}
.soft,.table>p,figcaption{color:var(--soft);font-size:.9rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.6rem;margin:1rem 0;padding:0}
.cards div{background:var(--card);border-radius:8px;padding:.6rem .8rem}
.cards dt{color:var(--soft);font-size:.85rem}
.cards dd{margin:0;font-size:1.15rem;font-weight:600;overflow-wrap:anywhere}
.cards small{display:block;font-weight:400;color:var(--soft);font-size:.85rem}
.table{margin:.8rem 0;border:1px solid var(--line);border-radius:8px;overflow:hidden}
.table>p{max-width:none;margin:0;padding:.5rem .7rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .7rem;text-align:right;border-top:1px solid var(--line);white-space:nowrap;vertical-align:top}
th:first-child,td:first-child{text-align:left}
td.text,th.text{text-align:left}
td.long{white-space:normal;overflow-wrap:anywhere;min-width:11rem}
td small{display:block;color:var(--soft);font-size:.8rem}
tbody th{font-weight:600;white-space:normal;min-width:8rem;overflow-wrap:anywhere}
tr>:first-child{position:sticky;left:0;background:var(--page)}
th button{all:unset;cursor:pointer;font-weight:600;white-space:normal}
th button:focus-visible{outline:2px solid var(--link)}
th[aria-sort] button::after{content:" \\2193"}
th[aria-sort=ascending] button::after{content:" \\2191"}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:1rem;margin:.8rem 0}
figure{margin:0;min-width:0}
figure svg{display:block;width:100%;height:auto;max-width:34rem;margin:0 auto}
@media print{main{max-width:none}.scroll{overflow:visible}}
"""

# Sorts by data-v where cells have it (numbers), else by text; undefined values stay last.
_SCRIPT = """
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
"""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src '{hash}'; base-uri 'none'; form-action 'none'"
UNDEFINED = "undefined"


class Markup(str):
    """Text that is HTML already; any other text is escaped."""

    __slots__ = ()


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    text
        What it says.
    value
        What it sorts by, for numbers; NaN sorts last.
    detail
        A second, smaller line.
    """

    text: str
    value: float | None = None
    detail: str = ""


def number(value: float, low: float = math.nan, high: float = math.nan, digits: int = 3) -> Cell:
    """Return a number, with its interval below it where there is one; NaN says undefined."""
    if math.isnan(value):
        return Cell(UNDEFINED, math.nan)
    detail = "" if math.isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"
    return Cell(f"{value:.{digits}f}", value, detail)


def count(value: float) -> Cell:
    """Return a whole number with thousands; NaN says undefined."""
    return Cell(UNDEFINED, math.nan) if math.isnan(value) else Cell(f"{int(value):,}", value)


def attribute(text: str) -> str:
    """Escape text for a quoted attribute."""
    return html.escape(text, quote=True)


def paragraph(text: str, kind: str = "") -> Markup:
    """Return a paragraph; ``kind`` is ``soft`` or ``banner``."""
    return Markup(f'<p class="{attribute(kind)}">{_escaped(text)}</p>' if kind else f"<p>{_escaped(text)}</p>")


def cards(facts: Iterable[tuple[str, str, str]]) -> Markup:
    """Return (name, value, detail) as boxes side by side."""
    boxes = (
        f"<div><dt>{_escaped(name)}</dt><dd>{_escaped(value)}{_small(detail)}</dd></div>"
        for name, value, detail in facts
    )
    return Markup(f'<dl class="cards">{"".join(boxes)}</dl>')


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[Cell | str]]) -> Markup:
    """Return a table that sorts by a click on a heading; the first cell of a row names it."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    textual = [all(row[k].value is None for row in cells) for k in range(len(headings))]
    head = "".join(
        f'<th scope="col"{_kind(textual[k], False)}><button type="button">{_escaped(heading)}</button></th>'
        for k, heading in enumerate(headings)
    )
    body = "".join(
        f'<tr><th scope="row"{_sort(row[0])}>{_escaped(row[0].text)}{_small(row[0].detail)}</th>'
        + "".join(
            f"<td{_sort(cell)}{_kind(textual[k], len(cell.text) > 30)}>{_escaped(cell.text)}{_small(cell.detail)}</td>"
            for k, cell in enumerate(row[1:], start=1)
        )
        + "</tr>\n"
        for row in cells
    )
    return Markup(
        f'<div class="table"><p>{_escaped(caption)}</p><div class="scroll" tabindex="0">'
        f'<table class="sortable" aria-label="{attribute(caption)}">'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div></div>"
    )


def figures(drawn: Iterable[tuple[Markup, str]]) -> Markup:
    """Return (figure, caption) side by side where there is room."""
    boxes = (f"<figure>{svg}<figcaption>{_escaped(caption)}</figcaption></figure>" for svg, caption in drawn)
    return Markup(f'<div class="figures">{"".join(boxes)}</div>')


def section(title: str, *parts: Markup) -> Markup:
    """Return a section with a heading."""
    return Markup(f"<section><h2>{_escaped(title)}</h2>\n" + "\n".join(_escaped(part) for part in parts) + "</section>")


def document(title: str, *parts: Markup) -> str:
    """Return the whole page. Its policy forbids every request and every script but its own."""
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = _POLICY.format(hash=f"sha256-{digest}")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{attribute(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{_escaped(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{_escaped(title)}</h1>\n" + "\n".join(_escaped(part) for part in parts) + "\n</main>\n"
        f"<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _escaped(text: str) -> str:
    return text if isinstance(text, Markup) else html.escape(text)


def _small(text: str) -> str:
    return f"<small>{_escaped(text)}</small>" if text else ""


def _sort(cell: Cell) -> str:
    if cell.value is None:
        return ""
    return ' data-v=""' if math.isnan(cell.value) else f' data-v="{cell.value:.9g}"'


def _kind(textual: bool, long: bool) -> str:
    kinds = [name for name, true in (("text", textual), ("long", long)) if true]
    return f' class="{" ".join(kinds)}"' if kinds else ""
