"""A picture by matplotlib, for PNG and PDF: the same items at the same places as in the SVG."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon
from matplotlib.patheffects import withStroke

from omi_keras.drawing.scene import Dot, Grid, Group, Item, Line, Text

_MM_PER_INCH, _POINTS_PER_INCH = 25.4, 72.0
_POINTS = _POINTS_PER_INCH / _MM_PER_INCH  # per mm
# DejaVu Sans, which matplotlib brings, is wider than the fonts that the layout is made for.
_NARROWER = 0.88
_ALIGNED = {"start": "left", "middle": "center", "end": "right"}


def scene_figure(items: Iterable[Item], width: float, height: float, dpi: float) -> Figure:
    """Return a figure of ``width`` × ``height`` mm; axes in mm from the upper left corner."""
    figure = Figure(figsize=(width / _MM_PER_INCH, height / _MM_PER_INCH), dpi=dpi)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    _draw(axes, items)
    return figure


def _draw(axes: Axes, items: Iterable[Item], width: float = 0.0) -> None:
    for item in items:
        if isinstance(item, Group):
            _draw(axes, item.items, item.line or width)
        elif isinstance(item, Line):
            _line(axes, item, item.line or width)
        elif isinstance(item, Text):
            halo = [withStroke(linewidth=0.9 * _POINTS, foreground="white")] if item.halo else None
            axes.text(
                item.x, item.y, item.text, fontsize=item.size * _POINTS * _NARROWER, ha=_ALIGNED[item.anchor],
                va="baseline", color=item.colour, fontweight="bold" if item.bold else "normal", parse_math=False,
                zorder=_next(axes), path_effects=halo,
            )  # fmt: skip
        elif isinstance(item, Grid):
            _grid(axes, item)
        elif isinstance(item, Dot):
            style = {"facecolor": item.colour, "edgecolor": "white", "linewidth": 0.15 * _POINTS}
            axes.add_patch(Circle((item.x, item.y), item.radius, zorder=_next(axes), **style))


def _next(axes: Axes) -> float:
    """What is drawn later lies above, whatever its kind."""
    return 1.0 + len(axes.get_children())


def _line(axes: Axes, line: Line, width: float) -> None:
    if line.fill != "none":
        axes.add_patch(Polygon(line.points, facecolor=line.fill, linewidth=0, zorder=_next(axes)))
    if line.colour != "none":
        # Dashes are told in widths of the line.
        dash = (0, tuple(part / width for part in line.dash)) if line.dash else "-"
        axes.plot(
            *np.asarray(line.points).T, color=line.colour, linewidth=width * _POINTS, linestyle=dash,
            solid_capstyle="butt", dash_capstyle="butt", zorder=_next(axes),
        )  # fmt: skip


def _grid(axes: Axes, grid: Grid) -> None:
    right, low = grid.x + grid.width, grid.y + grid.height
    # A line on the far edge belongs to the grid.
    upright = [((x, grid.y), (x, low)) for x in np.arange(grid.x, right + grid.step / 2, grid.step)]
    level = [((grid.x, y), (right, y)) for y in np.arange(grid.y, low + grid.step / 2, grid.step)]
    style = {"colors": grid.colour, "linewidths": grid.line * _POINTS}
    axes.add_collection(LineCollection(upright + level, zorder=_next(axes), **style))
