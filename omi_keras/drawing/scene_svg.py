"""A picture as SVG: few bytes, the same each time, true to scale, and without ids that two pictures could share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape

import numpy as np

from omi_keras.drawing.scene import UNITS, Data, Dot, Grid, Group, Item, Line, Text

# As wide as one another, so that text takes the room that the layout gave it.
FONT = "Arial,Helvetica,Liberation Sans,sans-serif"
# What XML cannot hold, even escaped.
_NO_XML = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def scene_svg(items: Iterable[Item], width: float, height: float, title: str, description: str) -> str:
    """Return an ``<svg>`` element, which is also a file of its own.

    Its size is in millimetres and its view box in fortieths of one, so that what is printed at its own size is true to
    scale. It is a sheet of paper: it keeps its colours on a dark page.

    Parameters
    ----------
    items
        From the lowest up.
    width, height
        Millimetres.
    title, description
        For those who cannot see it.
    """
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}mm" height="{height:g}mm" '
        f'viewBox="0 0 {_unit(width)} {_unit(height)}" role="img" data-made-by="omi-keras" '
        f'font-family="{FONT}" fill="none" stroke-linejoin="round">'
        f"<title>{text(title)}</title><desc>{text(description)}</desc>"
        f'<path fill="#fff" d="M0 0h{_unit(width)}v{_unit(height)}H0z"/>'
    )
    return head + "".join(_drawn(items)) + "</svg>"


def text(content: str) -> str:
    """Any text as XML text or attribute."""
    return escape(_NO_XML.sub("?", content))


def _drawn(items: Iterable[Item]) -> Iterator[str]:
    for item in items:
        if isinstance(item, Group):
            width = f' stroke-width="{_unit(item.line)}"' if item.line else ""
            yield f"<g{_data(item.data)}{width}>"
            yield from _drawn(item.items)
            yield "</g>"
        elif isinstance(item, Line):
            yield _line(item)
        elif isinstance(item, Text):
            yield _text(item)
        elif isinstance(item, Grid):
            yield from _grid(item)
        else:
            yield _dot(item)


def _unit(mm: float) -> int:
    return round(mm * UNITS)


def _data(data: Data) -> str:
    """Data attributes; numbers with four decimals, the same on every machine, without what is NaN."""
    found = []
    for name, value in data.items():
        if isinstance(value, float):
            if value != value:
                continue
            value = f"{value:.4f}".rstrip("0").rstrip(".")
        found.append(f' data-{name}="{text(str(value))}"')
    return "".join(found)


def _line(line: Line) -> str:
    points = np.rint(np.asarray(line.points) * UNITS).astype(np.int64)
    steps = np.diff(points, axis=0).ravel().tolist()
    # A minus sign parts two numbers as well as a space does.
    way = "".join(f"{step}" if step < 0 else f" {step}" for step in steps).lstrip()
    stroke = f' stroke="{line.colour}"' if line.colour != "none" else ""
    if stroke and line.line:
        stroke += f' stroke-width="{_unit(line.line)}"'
    dash = f' stroke-dasharray="{" ".join(str(_unit(part)) for part in line.dash)}"' if line.dash else ""
    fill = f' fill="{line.fill}"' if line.fill != "none" else ""
    return f'<path{_data(line.data)}{stroke}{dash}{fill} d="M{points[0, 0]} {points[0, 1]}l{way}"/>'


def _text(item: Text) -> str:
    anchor = f' text-anchor="{item.anchor}"' if item.anchor != "start" else ""
    bold = ' font-weight="bold"' if item.bold else ""
    if item.halo:
        bold += f' stroke="#fff" stroke-width="{_unit(0.9)}" paint-order="stroke"'
    place = f'x="{_unit(item.x)}" y="{_unit(item.y)}" font-size="{_unit(item.size)}"'
    return f'<text{_data(item.data)} {place}{anchor}{bold} fill="{item.colour}">{text(item.text)}</text>'


def _grid(grid: Grid) -> Iterator[str]:
    """Two dashed lines as wide as the paper: each dash is a line of the grid."""
    x, y, width, height = (_unit(mm) for mm in (grid.x, grid.y, grid.width, grid.height))
    line, step = grid.line * UNITS, _unit(grid.step)
    style = f'stroke="{grid.colour}" stroke-dasharray="{line:g} {step - line:g}" stroke-dashoffset="{line / 2:g}"'
    yield f'<path {style} stroke-width="{height}" d="M{x} {y + height / 2:g}h{width}"/>'
    yield f'<path {style} stroke-width="{width}" d="M{x + width / 2:g} {y}v{height}"/>'


def _dot(dot: Dot) -> str:
    place = f'cx="{_unit(dot.x)}" cy="{_unit(dot.y)}" r="{_unit(dot.radius)}"'
    return f'<circle{_data(dot.data)} {place} fill="{dot.colour}" stroke="#fff" stroke-width="6"/>'
