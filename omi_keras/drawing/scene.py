"""What a picture is made of, in mm of paper from its upper left corner; drawn as SVG or by matplotlib alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

# Coordinates are whole fortieths of a millimetre: 2.5 µV of a trace at 10 mm/mV, far below the width of its line, and
# the same numbers whatever the last bits of a machine's arithmetic, but where a sample lies on the edge between two.
UNITS = 40
# Of so short a stretch of paper, thinner than the line, a trace keeps the lowest and the highest sample; and a sample
# is left out where the line through its neighbours passes it so near, in so many rounds. So no sample is farther from
# the line than about half its width.
THIN = 0.2
NEAR, ROUNDS = 0.02, 3

Data = Mapping[str, str | float | int]


@dataclass(frozen=True)
class Line:
    """A line through points (k, 2), or an area that it encloses when ``fill`` is a colour.

    ``line`` is its width; 0: as its group says.
    """

    points: np.ndarray
    colour: str = "none"
    line: float = 0.25
    dash: tuple[float, ...] = ()
    fill: str = "none"
    data: Data = field(default_factory=dict)


@dataclass(frozen=True)
class Text:
    """A line of plain text; ``anchor`` is start, middle or end, and ``y`` its base line. ``halo``: white around it."""

    x: float
    y: float
    text: str
    size: float = 2.8
    anchor: str = "start"
    bold: bool = False
    colour: str = "#111111"
    halo: bool = False
    data: Data = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """Upright and level lines each ``step``, from the left and upper edge on."""

    x: float
    y: float
    width: float
    height: float
    step: float
    colour: str
    line: float


@dataclass(frozen=True)
class Dot:
    """A filled circle with a white rim."""

    x: float
    y: float
    radius: float
    colour: str
    data: Data = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Items that belong together, and what they show as data attributes; ``line``: width of lines that have none."""

    items: Sequence[Item]
    data: Data = field(default_factory=dict)
    line: float = 0.0


Item = Line | Text | Grid | Dot | Group


def box(x: float, y: float, width: float, height: float, **style: object) -> Line:
    """A rectangle."""
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]])
    return Line(corners, **style)  # type: ignore[arg-type]


def rule(x: float, y: float, to_x: float, to_y: float, **style: object) -> Line:
    """A straight line."""
    return Line(np.array([[x, y], [to_x, to_y]]), **style)  # type: ignore[arg-type]


def trace(
    samples_mv: np.ndarray, x: float, baseline: float, *, mm_per_sample: float, mm_per_mv: float, top: float,
    bottom: float, coarse: int = 1,
) -> list[np.ndarray]:  # fmt: skip
    """A signal as lines, broken where samples are missing and where it leaves the paper from ``top`` to ``bottom``.

    Parameters
    ----------
    samples_mv
        (n,) mV; NaN is missing.
    x, baseline
        Of the first sample, and of 0 mV.
    coarse
        So many times coarser, for a picture that is shown smaller than it is.

    Returns
    -------
    list of numpy.ndarray
        (k, 2) each, on the units of the picture, without samples that would not be seen.
    """
    at = x + mm_per_sample * np.arange(len(samples_mv))
    with np.errstate(invalid="ignore"):
        y = baseline - mm_per_mv * samples_mv
        outside = ~((y >= top) & (y <= bottom))
    # The first sample beyond the edge is drawn on it.
    within = np.pad(~outside, 1)
    drawn = np.isfinite(y) & (within[1:-1] | within[2:] | within[:-2])
    points = np.rint(UNITS * np.column_stack([at, np.clip(y, top, bottom)])[drawn]) / UNITS
    places = np.flatnonzero(drawn)
    # Also between two samples beyond the edge, where the line between lies there too.
    broken = (np.diff(places) > 1) | (outside[places][1:] & outside[places][:-1])
    runs = np.split(points, np.flatnonzero(broken) + 1)
    together = int(coarse * THIN / mm_per_sample + 1e-9)
    return [_thinned(_extremes(run, together), coarse * NEAR) for run in runs if len(run) > 1]


def cut_off(samples_mv: np.ndarray, baseline: float, mm_per_mv: float, top: float, bottom: float) -> bool:
    """Whether :func:`trace` leaves the paper."""
    with np.errstate(invalid="ignore"):
        y = baseline - mm_per_mv * samples_mv
        return bool(((y < top) | (y > bottom)).any())


# About as wide as letters of Arial are, in sizes of the font; of what is not here, CJK for one, nobody knows.
_WIDTHS = {0.28: " .,:;'|ijlI", 0.36: "ftr()/-·°", 0.9: "mwM%", 1.0: "W@—"}
_WIDTH = {letter: width for width, letters in _WIDTHS.items() for letter in letters}


def text_width(text: str, size: float, bold: bool = False) -> float:
    """About how wide a text is in Arial or what takes its place, mm."""
    em = sum(_WIDTH.get(c, 0.56 if c < "\u0250" and not c.isupper() else 0.72 if c < "\u1100" else 1.05) for c in text)
    return size * em * (1.06 if bold else 1.0)


def shortened(text: str, width: float, size: float, bold: bool = False) -> str:
    """A text, or as much of it as is so wide."""
    if text_width(text, size, bold) <= width:
        return text
    while text and text_width(f"{text}…", size, bold) > width:
        text = text[:-1]
    return f"{text}…"


def wrapped(text: str, width: float, size: float, lines: int, bold: bool = False) -> list[str]:
    """A text in so many lines at most; what does not fit is cut off."""
    found: list[str] = []
    words = text.split()
    while words and len(found) < lines - 1:
        n = 1
        while n < len(words) and text_width(" ".join(words[: n + 1]), size, bold) <= width:
            n += 1
        found.append(shortened(" ".join(words[:n]), width, size, bold))
        words = words[n:]
    return [*found, shortened(" ".join(words), width, size, bold)] if words else found


def _extremes(points: np.ndarray, together: int) -> np.ndarray:
    """The lowest and the highest of so many neighbours each, and both ends, (n, 2) → (k, 2)."""
    groups = len(points) // max(together, 1)
    if together < 3 or groups < 2:
        return points
    y = points[: groups * together, 1].reshape(groups, together)
    keep = np.ones(len(points), dtype=bool)
    keep[1:-1] = False
    keep[groups * together :] = True
    first = together * np.arange(groups)
    keep[first + y.argmin(axis=1)] = keep[first + y.argmax(axis=1)] = True
    return points[keep]


def _thinned(points: np.ndarray, near: float) -> np.ndarray:
    """Without every second point that its neighbours tell well enough, several times over, (n, 2) → (k, 2)."""
    for _ in range(ROUNDS):
        if len(points) < 3:
            break
        before, here, after = points[:-2:2], points[1:-1:2], points[2::2]
        n = len(here)
        before, after = before[:n], after[:n]
        share = (here[:, 0] - before[:, 0]) / np.maximum(after[:, 0] - before[:, 0], 1e-9)
        told = np.abs(before[:, 1] + share * (after[:, 1] - before[:, 1]) - here[:, 1]) <= near
        keep = np.ones(len(points), dtype=bool)
        keep[1 : 1 + 2 * n : 2] = ~told
        points = points[keep]
    return points
