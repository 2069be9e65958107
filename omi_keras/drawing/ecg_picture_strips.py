"""The recording as an electrocardiograph prints it: 12 leads in 4 × 3 and a rhythm strip, 25 mm/s, 10 mm/mV."""

from __future__ import annotations

import numpy as np

from omi_keras.drawing.palette import GRID_LARGE, GRID_SMALL, INK, SOFT
from omi_keras.drawing.scene import Grid, Group, Item, Line, Text, box, cut_off, rule, trace
from omi_keras.recordings.record import LEADS, SAMPLING_RATE

MM_PER_S, MM_PER_MV = 25.0, 10.0
_MM_PER_SAMPLE = MM_PER_S / SAMPLING_RATE
SECONDS, COLUMN_SECONDS = 10.0, 2.5
RHYTHM_LEAD = "II"
ROWS, ROW = 4, 25.0
HEIGHT = ROWS * ROW
# From the left edge of the paper to the pulse, its high time, and to where the leads begin.
_PULSE = np.array([[0.0, 0], [2.5, 0], [2.5, 1], [7.5, 1], [7.5, 0], [10.0, 0]])
_LEADS_AT = 15.0
# Leads are tall rather than deep: baseline of a row, from its top.
_BASELINE = 15.0
_LINE, _EDGE = 0.28, 0.2


def strips(signal: np.ndarray, left: float, top: float, width: float) -> list[Item]:
    """Draw a recording on its paper.

    Each lead is drawn about its own median. Of a longer recording the first 10 s are shown; of a shorter one, columns
    overlap in time.

    Parameters
    ----------
    signal
        (12, n) mV at 500 Hz.
    left, top, width
        Of the paper, mm.
    """
    shown, level = about_median(signal)
    seconds = shown.shape[1] / SAMPLING_RATE
    step = min(COLUMN_SECONDS, max(seconds - COLUMN_SECONDS, 0.0) / 3)
    bottom, start = top + HEIGHT, left + _LEADS_AT
    items: list[Item] = [*paper(left, top, width, HEIGHT)]
    clipped = []
    for row in range(ROWS):
        baseline = top + row * ROW + _BASELINE
        pulse = np.array([left + 2.5, baseline]) + _PULSE * [1, -MM_PER_MV]
        items.append(Line(pulse, INK, _LINE, data={"part": "calibration", "mv": 1, "ms": 200}))
        rhythm = row == ROWS - 1
        leads = [RHYTHM_LEAD] if rhythm else [LEADS[3 * column + row] for column in range(4)]
        for column, lead in enumerate(leads):
            k = LEADS.index(lead)
            first = round(column * step * SAMPLING_RATE)
            samples = shown[k] if rhythm else shown[k, first : first + round(COLUMN_SECONDS * SAMPLING_RATE)]
            x = start + column * COLUMN_SECONDS * MM_PER_S
            seen = trace(
                samples, x, baseline, mm_per_sample=_MM_PER_SAMPLE, mm_per_mv=MM_PER_MV, top=top + _EDGE,
                bottom=bottom - _EDGE,
            )  # fmt: skip
            lines = [Line(points, INK, _LINE) for points in seen]
            if cut_off(samples, baseline, MM_PER_MV, top + _EDGE, bottom - _EDGE):
                clipped.append(lead)
            name = Text(x + 1.2, top + row * ROW + 4.2, lead, 3.4, bold=True, halo=True)
            data = {
                "part": "rhythm" if rhythm else "strip", "lead": lead, "from-ms": 1000 * first / SAMPLING_RATE,
                "x-mm": x, "baseline-mm": baseline, "median-mv": float(level[k]),
            }  # fmt: skip
            if column:
                items.append(rule(x, baseline - 2.5, x, baseline + 2.5, colour=INK, line=_LINE))
            items.append(Group([*lines, name], data))
    items.append(_scale(left + 2.5, bottom - 1.6, signal.shape[1] / SAMPLING_RATE, clipped))
    return items


def about_median(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first 10 s of each lead about its own median, (12, n) mV, and the medians (12,)."""
    shown = np.asarray(signal, dtype=np.float64)[:, : round(SECONDS * SAMPLING_RATE)]
    known = (row[np.isfinite(row)] for row in shown)
    level = np.array([float(np.median(row)) if len(row) else 0.0 for row in known])
    return shown - level[:, None], level


def paper(left: float, top: float, width: float, height: float) -> list[Item]:
    """ECG paper: small squares of 1 mm, large ones of 5 mm."""
    return [
        Grid(left, top, width, height, 1.0, GRID_SMALL, 0.1),
        Grid(left, top, width, height, 5.0, GRID_LARGE, 0.15),
        box(left, top, width, height, colour=GRID_LARGE, line=0.15),
    ]


def _scale(x: float, y: float, seconds: float, clipped: list[str]) -> Text:
    said = [f"{MM_PER_S:g} mm/s, {MM_PER_MV:g} mm/mV"]
    if seconds > SECONDS:
        said.append(f"the first {SECONDS:g} s of {seconds:.1f} s")
    elif seconds < SECONDS - 0.05:
        said.append(f"{seconds:.1f} s recorded, so the columns overlap in time")
    if clipped:
        said.append(f"cut off at the edge of the paper: {', '.join(dict.fromkeys(clipped))}")
    return Text(x, y, " · ".join(said), 2.4, colour=SOFT, halo=True)
