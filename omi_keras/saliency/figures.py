"""Saliency in the paper's form: the ECG on its paper, the trace coloured from bright yellow to dark red."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from omi_keras.beats.model_inputs import CROP_START
from omi_keras.drawing.curves import finish
from omi_keras.drawing.ecg_paper import LEADS, Sheet, ecg_sheet, lead_name
from omi_keras.drawing.figures import single, with_title
from omi_keras.saliency.contributions import WINDOW
from omi_keras.saliency.sanity import DESTROYED_BELOW

COLOURS = LinearSegmentedColormap.from_list("saliency", ["#ffe500", "#ffb000", "#f2600c", "#c41200", "#6b0000"])
# What the network does not see, before and after its window.
_UNSEEN = "0.6"
# Under the trace, because yellow on white paper is no line.
_EDGE = "0.3"
_FOOT, _BAR_LEFT, _BAR_WIDTH, _BAR_HEIGHT = 10.0, 40.0, 60.0, 3.0


def saliency_figure(
    beat: np.ndarray, windows: np.ndarray, contribution: np.ndarray, title: str, simulated: bool
) -> Figure:
    """Draw a beat with its saliency on ECG paper: 25 mm/s, 10 mm/mV, 12 leads in 4 × 3.

    Parameters
    ----------
    beat
        (12, 600) mV.
    windows
        (12, 20) saliency of each 40 ms from 0 to 1; other numbers are divided by the highest.
    contribution
        (12,) share of each lead, written beside its name in percent.
    title
        Plain text.
    simulated
        True writes "simulated" on the figure.

    Raises
    ------
    InputError
        When the beat has another shape or a sample is not finite.
    """
    sheet = ecg_sheet(beat, title, simulated, foot=_FOOT)
    highest = float(np.nanmax(windows)) if np.isfinite(windows).any() else 0.0
    level = np.nan_to_num(windows / highest if highest > 0 else windows * 0.0)
    for lead, x, y, top, of_window, share in zip(LEADS, sheet.x, sheet.y, sheet.top, level, contribution, strict=True):
        _trace(sheet, x, y, of_window)
        lead_name(sheet, x[0], top, lead)
        if not np.isnan(share):
            sheet.axes.text(x[0], top - 5, f"{share:.1%}", va="top", fontsize=8)
    _colour_bar(sheet)
    return sheet.figure


def sanity_figure(layers: list[str], correlation: np.ndarray, sd: np.ndarray, simulated: bool) -> Figure:
    """Draw rank correlation with the learned map against the layers that are random.

    Parameters
    ----------
    layers
        Names, from nothing random to everything.
    correlation, sd
        (k,) mean and SD over ECGs.
    """

    def draw(axes) -> None:  # type: ignore[no-untyped-def]
        place = np.arange(len(layers))
        axes.plot(place, correlation, marker="o", ms=4, color="#0072B2", label="Mean over ECGs")
        axes.fill_between(place, correlation - sd, correlation + sd, color="#0072B2", alpha=0.15, lw=0, label="± 1 SD")
        axes.axhline(DESTROYED_BELOW, color="0.5", ls=":", lw=1.2, label="Destroyed, if the last point is below")
        axes.set_xticks(place, layers, rotation=90, fontsize=7)
        axes.set_ylim(min(-0.25, float(np.nanmin(correlation - sd, initial=0)) - 0.05), 1.05)
        finish(axes, "Map with weights at random", "Random from the read-out down to", "Rank correlation")

    return with_title(single(draw), "Sanity of the maps", simulated)


def _trace(sheet: Sheet, x: np.ndarray, y: np.ndarray, of_window: np.ndarray) -> None:
    first, last = CROP_START, CROP_START + WINDOW * len(of_window)
    for part in (slice(0, first + 1), slice(last - 1, len(x))):
        sheet.axes.plot(x[part], y[part], color=_UNSEEN, linewidth=0.8)
    seen = slice(first, last)
    sheet.axes.plot(x[seen], y[seen], color=_EDGE, linewidth=2.6, solid_capstyle="round")
    # A window's line runs into the next one's first sample, so that there are no gaps.
    lines = [
        np.column_stack([x[a : a + WINDOW + 1], y[a : a + WINDOW + 1]]) for a in range(first, last - WINDOW, WINDOW)
    ]
    lines.append(np.column_stack([x[last - WINDOW : last], y[last - WINDOW : last]]))
    sheet.axes.add_collection(
        LineCollection(lines, colors=COLOURS(of_window), linewidths=1.9, capstyle="butt", zorder=3)
    )


def _colour_bar(sheet: Sheet) -> None:
    bottom, right = 8.0, _BAR_LEFT + _BAR_WIDTH
    steps = np.linspace(0, 1, 256)[None, :]
    axes = sheet.axes
    axes.imshow(
        steps, cmap=COLOURS, aspect="auto", extent=(_BAR_LEFT, right, bottom, bottom + _BAR_HEIGHT), zorder=2,
        interpolation="bilinear",
    )  # fmt: skip
    axes.set(xlim=(0, sheet.width), ylim=(0, sheet.height), aspect="equal")
    middle = bottom + _BAR_HEIGHT / 2
    axes.text(_BAR_LEFT - 1.5, middle, "Saliency   low", va="center", ha="right", fontsize=8)
    axes.text(right + 1.5, middle, "high", va="center", fontsize=8)
    axes.text(sheet.width - 5, middle, "% of saliency per lead", va="center", ha="right", fontsize=8)
