"""Median beats enlarged, with their marks, and what the network looks at."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from omi_keras.beats.median_beats import R_SAMPLE
from omi_keras.beats.model_inputs import CROP_START, CROP_STOP
from omi_keras.drawing.ecg_picture_strips import paper
from omi_keras.drawing.palette import FAINT, INK, MARK, SOFT, saliency_colour
from omi_keras.drawing.scene import Dot, Group, Item, Line, Text, rule, text_width, trace
from omi_keras.measures.beat_arrays import MS
from omi_keras.measures.one_beat import ST_AFTER_J, BeatMeasures
from omi_keras.recordings.record import LEADS

MM_PER_S = 50.0
_MM_PER_SAMPLE = MM_PER_S * MS / 1000.0
# The most enlarged gain that holds ST and T of every lead; tall QRS complexes may leave their cell, but not where their
# colours tell something.
GAINS = (20.0, 10.0, 7.5, 5.0)
COLUMNS, CELL, ROW = 6, 40.0, 32.5
WIDTH, HEIGHT = COLUMNS * CELL, 2 * ROW
_BASELINE = 20.0
_LINE, _EDGE = 0.3, 0.3
# Marks that are upright lines, and their dashes; the level at J+60 is a dot.
MARKS = {"QRS onset": (), "J": (1.2, 0.8), "T end": (0.3, 0.7)}
ST_MARK = f"J+{ST_AFTER_J}"
_COLOURS = 24


def median_beats(
    beat: np.ndarray,
    measures: BeatMeasures | None,
    left: float,
    top: float,
    saliency: np.ndarray | None = None,
    shares: np.ndarray | None = None,
) -> list[Item]:
    """Draw the part of a median beat that networks see, 0.3 s before R to 0.5 s after it, in 2 × 6 cells.

    Parameters
    ----------
    beat
        (12, 600) mV; NaN is missing.
    measures
        What was measured on it; None draws no marks.
    left, top
        Of the paper, mm.
    saliency
        (12, k) of k equal windows of samples 150 … 549, 0 to 1; other numbers are divided by the highest.
    shares
        (12,) share of each lead in the saliency, 0 to 1.
    """
    gain = _gain(beat, measures if saliency is None else None)
    level = None if saliency is None else _levels(saliency)
    items: list[Item] = [*paper(left, top, WIDTH, HEIGHT)]
    for k, lead in enumerate(LEADS):
        x, y = left + CELL * (k % COLUMNS), top + ROW * (k // COLUMNS)
        cell: list[Item] = [rule(x, y + _BASELINE, x + CELL, y + _BASELINE, colour=FAINT, line=0.12)]
        if k % COLUMNS:
            cell.append(rule(x, y, x, y + ROW, colour=FAINT, line=0.12))
        cell += _marks(measures, x, y) if measures else []
        cell += _lead(beat[k, CROP_START:CROP_STOP], None if level is None else level[k], x, y, gain)
        cell += _st_mark(measures, float(measures.st_mv[k]), x, y, gain) if measures else []
        cell.append(Text(x + 1.2, y + 4.2, lead, 3.4, bold=True, halo=True))
        data: dict[str, str | float] = {"part": "beat", "lead": lead, "gain": gain, "x-mm": x}
        data["baseline-mm"] = y + _BASELINE
        if shares is not None and np.isfinite(shares[k]):
            data["share"] = float(shares[k])
            cell.append(Text(x + CELL - 1.2, y + 4.2, f"{shares[k]:.0%}", 2.6, "end", colour=SOFT, halo=True))
        items.append(Group(cell, data))
    items.append(rule(left, top + ROW, left + WIDTH, top + ROW, colour=FAINT, line=0.12))
    scale = f"median beats: {MM_PER_S:g} mm/s, {gain:g} mm/mV"
    items.append(Text(left + WIDTH, top - 1.8, scale, 2.4, "end", colour=SOFT))
    return items


def legend(x: float, y: float, measures: BeatMeasures | None, saliency: bool) -> list[Item]:
    """What the marks mean, in one line that begins at ``x`` with base line ``y``."""
    items: list[Item] = []
    for name in (*MARKS, ST_MARK):
        if measures is None or name not in measures.marks_ms:
            continue
        if name == ST_MARK:
            items.append(Dot(x + 0.5, y - 0.9, 0.7, MARK))
        else:
            items.append(rule(x + 0.5, y - 2.6, x + 0.5, y + 0.6, colour=MARK, line=0.25, dash=MARKS[name]))
        items.append(Text(x + 2.0, y, name, 2.6, colour=SOFT))
        x += 7.0 + text_width(name, 2.6)
    if saliency:
        said = "what the network looks at: little"
        items.append(Text(x + 4.0, y, said, 2.6, colour=SOFT))
        x += 6.0 + text_width(said, 2.6)
        for k in range(_COLOURS):
            middle = x + 1.2 * k
            colour = saliency_colour(k / (_COLOURS - 1))
            items.append(rule(middle, y - 0.9, middle + 1.25, y - 0.9, colour=colour, line=2.0))
        items.append(Text(x + 1.2 * _COLOURS + 1.2, y, "much; % of it in each lead", 2.6, colour=SOFT))
    return items


def _gain(beat: np.ndarray, measures: BeatMeasures | None) -> float:
    """mm/mV; the highest that keeps ST and T, or without measures the whole beat, on the paper of their cells."""
    # Below the names of leads; where QRS would be cut off, beside them.
    first, last, above = CROP_START, CROP_STOP - 1, 1.0
    if measures is not None:
        first = round(R_SAMPLE + measures.marks_ms.get("J", 60.0) / MS)
        last, above = round(R_SAMPLE + measures.marks_ms.get("T end", 400.0) / MS), 5.0
    shown = beat[:, first : last + 1]
    shown = shown[np.isfinite(shown)]
    high, low = float(shown.max(initial=0.0)), float(shown.min(initial=0.0))
    fits = (gain for gain in GAINS if gain * high < _BASELINE - above and -gain * low < ROW - _BASELINE - 1.0)
    return next(fits, GAINS[-1])


def _place(x: float, ms: float) -> float:
    return x + ((ms / MS) + R_SAMPLE - CROP_START) * _MM_PER_SAMPLE


def _marks(measures: BeatMeasures, x: float, y: float) -> list[Item]:
    found: list[Item] = []
    for name, dash in MARKS.items():
        ms = measures.marks_ms.get(name)
        if ms is not None and x <= (at := _place(x, ms)) <= x + CELL:
            data = {"mark": name, "ms": ms}
            found.append(rule(at, y + 5.5, at, y + ROW - 0.6, colour=MARK, line=0.2, dash=dash, data=data))
    return found


def _st_mark(measures: BeatMeasures, st: float, x: float, y: float, gain: float) -> list[Item]:
    """The level that was measured after J, where it lies on the cell's paper."""
    ms, height = measures.marks_ms.get(ST_MARK), y + _BASELINE - gain * st
    if ms is None or not y + _EDGE <= height <= y + ROW - _EDGE:
        return []
    return [Dot(_place(x, ms), height, 0.7, MARK, {"mark": ST_MARK, "ms": ms, "mv": st})]


def _lead(samples: np.ndarray, level: np.ndarray | None, x: float, y: float, gain: float) -> list[Item]:
    """One lead's trace, black or in the colours of its saliency."""

    def traced(part: slice) -> list[np.ndarray]:
        return trace(
            samples[part], x + _MM_PER_SAMPLE * part.start, y + _BASELINE, mm_per_sample=_MM_PER_SAMPLE,
            mm_per_mv=gain, top=y + _EDGE, bottom=y + ROW - _EDGE,
        )  # fmt: skip

    whole = traced(slice(0, len(samples)))
    if level is None:
        return [Line(points, INK, _LINE) for points in whole]
    # Yellow on white paper is no line without a dark one beneath.
    items: list[Item] = [Line(points, SOFT, 1.0) for points in whole]
    window = len(samples) // len(level)
    coloured: list[Item] = []
    for a, b in pairwise([0, *(np.flatnonzero(np.diff(level)) + 1).tolist(), len(level)]):
        share = level[a] / (_COLOURS - 1)
        data = {"saliency": round(share, 3), "from-ms": (CROP_START + a * window - R_SAMPLE) * MS}
        # Each piece runs into the next one's first sample, so that there are no gaps.
        pieces = traced(slice(a * window, b * window + 1))
        coloured += [Line(points, saliency_colour(share), 0.0, data=data) for points in pieces]
    return [*items, Group(coloured, line=0.7)]


def _levels(saliency: np.ndarray) -> np.ndarray:
    """0 to 1 in steps that the eye can tell, the highest 1."""
    highest = float(np.nanmax(saliency)) if np.isfinite(saliency).any() else 0.0
    scaled = np.nan_to_num(saliency / highest if highest > 0 else saliency * 0.0)
    return np.rint(np.clip(scaled, 0.0, 1.0) * (_COLOURS - 1)).astype(int)
