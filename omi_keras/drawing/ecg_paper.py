"""A median beat or a recording as a cardiologist reads it: 12 leads in 4 × 3 on ECG paper, true to scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from omi_keras.recordings.errors import InputError

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_SAMPLES = 600

# Everything below is in millimetres of paper, the unit of the axes.
_MM_PER_SAMPLE = 25 / 500  # 25 mm/s at 500 samples/s
_MM_PER_MV = 10.0
_MM_PER_INCH = 25.4
_DOTS_PER_MM = 10  # whole dots, so that every line of the grid is equally crisp
_BEAT = _SAMPLES * _MM_PER_SAMPLE  # 30 mm
_COLUMN = 35  # a beat and a gap of one large square
_MARGIN = 5
_RECORDED = 5000  # samples, 10 s
_SHORT = 1250  # each lead of the 4 × 3 layout gets a quarter of them
_RHYTHM_LEAD = 1  # II
_PULSE = 15  # room for the calibration pulse: 5 mm high time and a lead-in and lead-out
_HEAD, _FOOT = 10, 10
_LIMIT_MV = 5.0  # larger deflections are artefacts that would stretch the page

_GRID_SMALL, _GRID_LARGE, _INK = "#fbdcdc", "#f0a8a8", "#111111"


@dataclass(frozen=True)
class Sheet:
    """A sheet of ECG paper, ready for the traces of twelve leads.

    Attributes
    ----------
    figure, axes
        The axes' unit is the millimetre, from the lower left corner.
    x
        (12, 600) where each sample lies.
    y
        (12, 600) its height.
    top
        (12,) upper end of each lead's row.
    width, height
        Of the sheet.
    """

    figure: Figure
    axes: Axes
    x: np.ndarray
    y: np.ndarray
    top: np.ndarray
    width: float
    height: float


def median_beat_figure(beats: npt.ArrayLike, title: str, simulated: bool) -> Figure:
    """Draw a median beat on ECG paper: 25 mm/s, 10 mm/mV, clinical 4 × 3 layout.

    The page is true to scale: printed at its own size, one small square is 1 mm = 40 ms = 0.1 mV. Each row is
    as high as its leads need and starts with a calibration pulse of 1 mV and 200 ms.

    Parameters
    ----------
    beats
        (12, 600) millivolts at 500 Hz, R at sample 300, leads in the order I II III aVR aVL aVF V1 to V6.
        Deflections beyond ±5 mV are drawn at ±5 mV, and the page says so.
    title
        Plain text at the top (any characters; dollar signs are not mathematics).
    simulated
        True writes "simulated" on the figure.

    Raises
    ------
    InputError
        When the shape is not (12, 600) or a sample is not finite.
    """
    sheet = ecg_sheet(beats, title, simulated)
    for k in (3 * column + row for row in range(3) for column in range(4)):
        sheet.axes.plot(sheet.x[k], sheet.y[k], color=_INK, linewidth=0.9)
        lead_name(sheet, sheet.x[k, 0], sheet.top[k], LEADS[k])
    return sheet.figure


def ecg_sheet(beats: npt.ArrayLike, title: str, simulated: bool, foot: float = 0.0) -> Sheet:
    """Make a sheet as :func:`median_beat_figure` describes it, without traces and names of leads.

    Parameters
    ----------
    beats, title, simulated
        See :func:`median_beat_figure`.
    foot
        Further millimetres at the bottom.
    """
    signal = np.asarray(beats, dtype=np.float64)
    if signal.shape != (len(LEADS), _SAMPLES):
        raise InputError(f"expected a median beat of shape (12, 600), received {signal.shape}", "wrong_shape")
    if not np.isfinite(signal).all():
        bad = [lead for lead, row in zip(LEADS, signal, strict=True) if not np.isfinite(row).all()]
        raise InputError(f"missing or infinite samples in {', '.join(bad)}", "missing_samples")
    clipped = bool((np.abs(signal) > _LIMIT_MV).any())
    height_mm = np.clip(signal, -_LIMIT_MV, _LIMIT_MV) * _MM_PER_MV

    # Row r holds leads r, r + 3, r + 6, r + 9: I aVR V1 V4, and so on.
    rows = [height_mm[r::3] for r in range(3)]
    up = [_squares(max(float(row.max()), _MM_PER_MV)) for row in rows]
    down = [_squares(max(float(-row.min()), 2.5)) for row in rows]
    width = _MARGIN + _PULSE + 4 * _COLUMN + _MARGIN
    height = _FOOT + foot + sum(up) + sum(down) + _HEAD
    figure, axes = _page(width, height)

    x, y, tops = np.empty(signal.shape), np.empty(signal.shape), np.empty(len(LEADS))
    top = height - _HEAD
    for r, row in enumerate(rows):
        baseline = top - up[r]
        _pulse(axes, baseline)
        for c, trace in enumerate(row):
            left = _MARGIN + _PULSE + c * _COLUMN
            x[3 * c + r] = left + _MM_PER_SAMPLE * np.arange(_SAMPLES)
            y[3 * c + r], tops[3 * c + r] = baseline + trace, top
        top = baseline - down[r]

    note = "25 mm/s   10 mm/mV" + ("   clipped at ±5 mV" if clipped else "")
    axes.text(_MARGIN, 3, note, va="center", fontsize=8)
    axes.text(_MARGIN, height - 5, title, va="center", fontsize=10, fontweight="bold", parse_math=False)
    if simulated:
        axes.text(width - _MARGIN, 3, "simulated data", va="center", ha="right", fontsize=9, fontweight="bold")
    return Sheet(figure, axes, x, y, tops, width, height)


def lead_name(sheet: Sheet, left: float, top: float, text: str) -> None:
    """Write at the left, above the P wave: R, the highest deflection, is 15 mm away."""
    sheet.axes.text(left, top - 1, text, va="top", fontsize=9, fontweight="bold")


def recording_figure(recording: npt.ArrayLike, title: str, simulated: bool) -> Figure:
    """Draw a 10 s recording on ECG paper: 2.5 s of each lead, one after the other, and a rhythm strip of lead II.

    25 mm/s, 10 mm/mV, true to scale as :func:`median_beat_figure`; each lead is drawn about its own median.

    Parameters
    ----------
    recording
        (12, 5000) millivolts at 500 Hz, leads in the order I II III aVR aVL aVF V1 to V6.
    title, simulated
        As for :func:`median_beat_figure`.

    Raises
    ------
    InputError
        When the shape is not (12, 5000) or a sample is not finite.
    """
    signal = np.asarray(recording, dtype=np.float64)
    if signal.shape != (len(LEADS), _RECORDED):
        raise InputError(f"expected a recording of shape (12, 5000), received {signal.shape}", "wrong_shape")
    if not np.isfinite(signal).all():
        raise InputError("missing or infinite samples in the recording", "missing_samples")
    height_mm = np.clip(signal - np.median(signal, axis=1, keepdims=True), -_LIMIT_MV, _LIMIT_MV) * _MM_PER_MV
    rows = [np.concatenate([height_mm[3 * c + r, c * _SHORT : (c + 1) * _SHORT] for c in range(4)]) for r in range(3)]
    rows.append(height_mm[_RHYTHM_LEAD])
    names = [[LEADS[3 * c + r] for c in range(4)] for r in range(3)] + [[LEADS[_RHYTHM_LEAD]]]
    # Names stand above the highest R peak of the row.
    up = [_squares(max(float(row.max()) + 3.0, _MM_PER_MV)) for row in rows]
    down = [_squares(max(float(-row.min()), 2.5)) for row in rows]
    width = 2 * _MARGIN + _PULSE + _RECORDED * _MM_PER_SAMPLE
    height = _FOOT + sum(up) + sum(down) + _HEAD
    figure, axes = _page(width, height)
    top, left = height - _HEAD, _MARGIN + _PULSE
    for row, leads, above, below in zip(rows, names, up, down, strict=True):
        baseline = top - above
        _pulse(axes, baseline)
        axes.plot(left + _MM_PER_SAMPLE * np.arange(_RECORDED), baseline + row, color=_INK, linewidth=0.8)
        for c, lead in enumerate(leads):
            start = left + c * _SHORT * _MM_PER_SAMPLE
            if c:
                axes.plot([start, start], [baseline - 2.5, baseline + 2.5], color=_INK, linewidth=0.8)
            axes.text(start + 1, top - 1, lead, va="top", fontsize=9, fontweight="bold")
        top = baseline - below
    axes.text(_MARGIN, 3, "25 mm/s   10 mm/mV", va="center", fontsize=8)
    axes.text(_MARGIN, height - 5, title, va="center", fontsize=10, fontweight="bold", parse_math=False)
    if simulated:
        axes.text(width - _MARGIN, 3, "simulated ECG", va="center", ha="right", fontsize=9, fontweight="bold")
    return figure


def _squares(mm: float) -> float:
    """Whole large squares (5 mm) that hold a deflection and a small square of air."""
    return float(np.ceil((mm + 1) / 5) * 5)


def _page(width: float, height: float) -> tuple[Figure, Axes]:
    """A blank sheet of ECG paper, ``width`` × ``height`` mm, with axes in mm from the lower left corner."""
    figure = Figure(figsize=(width / _MM_PER_INCH, height / _MM_PER_INCH), dpi=_DOTS_PER_MM * _MM_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.axis("off")
    for step, colour, line in ((1, _GRID_SMALL, 0.3), (5, _GRID_LARGE, 0.6)):
        upright = [((x, 0.0), (x, height)) for x in np.arange(0, width + 1, step)]
        level = [((0.0, y), (width, y)) for y in np.arange(0, height + 1, step)]
        axes.add_collection(LineCollection(upright + level, colors=colour, linewidths=line, zorder=0))
    return figure, axes


def _pulse(axes: Axes, baseline: float) -> None:
    """1 mV for 200 ms: 10 mm high, 5 mm wide."""
    x = _MARGIN + np.array([0, 2, 2, 7, 7, 9])
    axes.plot(x, baseline + _MM_PER_MV * np.array([0, 0, 1, 1, 0, 0]), color=_INK, linewidth=0.9)
