"""The paper's Figures 5 and 6, a median beat on ECG paper, and how figures reach a file.

Figures are built on :class:`matplotlib.figure.Figure` alone: no window, no global state, safe in threads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from omi_keras.evaluation.ecg_paper import median_beat_figure
from omi_keras.evaluation.metrics import checked_threshold, ranking_metrics, threshold_counts
from omi_keras.signal.errors import InputError

__all__ = ["figure5", "figure6", "median_beat_figure", "save_figure"]

# Okabe and Ito's colours, without the yellow that vanishes on white; lines differ in dash as well.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (3, 3)))
_DPI = 160

# (column of history.csv, heading), in the order of the paper's panels A to D.
_FIGURE5 = (
    ("val_auc", "A) AUC"),
    ("val_ap", "B) Average precision (AP)"),
    ("val_loss", "C) Cross-entropy loss"),
    ("val_score", "D) ⅔ AUC + ⅓ AP"),
)


def figure5(histories: Mapping[str, Sequence[pd.DataFrame]], simulated: bool) -> Figure:
    """Draw the average validation curves with bands of ±1 SD over folds (paper III.A, Figure 5).

    Folds may differ in length: at each epoch the folds that reached it are averaged. With one fold there is
    no band; with one epoch there is a dot.

    Parameters
    ----------
    histories
        Model → one ``history.csv`` per fold, with columns ``epoch, val_auc, val_ap, val_loss, val_score``.
    simulated
        True writes "simulated" on the figure.

    Raises
    ------
    InputError
        When there is no model, a model has no folds or no epochs, or a history lacks a column.
    """
    if not histories:
        raise InputError("expected the histories of at least one model, received none", "no_folds")
    figure = Figure(figsize=(10, 7.4), dpi=_DPI, layout=_layout())
    panels = figure.subplots(2, 2)
    for k, (model, folds) in enumerate(histories.items()):
        runs = _joined(model, folds)
        for axes, (column, _) in zip(panels.flat, _FIGURE5, strict=True):
            by_epoch = runs.groupby("epoch")[column]
            mean, sd = by_epoch.mean(), by_epoch.std(ddof=1)
            epochs = mean.index.to_numpy()
            axes.plot(epochs, mean, label=model, marker="o" if mean.size == 1 else None, **_line(k))
            # A single fold has no SD: NaN draws nothing.
            axes.fill_between(epochs, mean - sd, mean + sd, color=_COLOURS[k % len(_COLOURS)], alpha=0.15, lw=0)
    for axes, (_, heading) in zip(panels.flat, _FIGURE5, strict=True):
        _finish(axes, heading, "Epoch", "")
        axes.xaxis.get_major_locator().set_params(integer=True)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    columns = len(labels) if len(labels) <= 4 else (len(labels) + 1) // 2
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    bands = any(len(folds) > 1 for folds in histories.values())
    _title(figure, "Validation during training" + (", mean ± 1 SD over folds" if bands else ""), simulated)
    return figure


def figure6(splits: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]], threshold: float, simulated: bool) -> Figure:
    """Draw ROC and precision-recall curves with the operating point (paper III.B, Figure 6).

    Precision is drawn in steps, whose area is the average precision; dotted lines are chance (in B the share
    of OMI). A split with one class has no curves, and its legend says so.

    Parameters
    ----------
    splits
        Name (``"validation"``, ``"test"``) → ``omi`` (n,) 0/1 and ``probability`` (n,).
    threshold
        Operating point; the decision is ``probability >= threshold``.
    simulated
        True writes "simulated" on the figure.

    Raises
    ------
    InputError
        When there is no split, the threshold is not finite, or a split's arrays are not valid.
    """
    if not splits:
        raise InputError("expected at least one split, received none", "no_splits")
    limit = checked_threshold(threshold)
    figure = Figure(figsize=(10, 6), dpi=_DPI, layout=_layout())
    roc, recall = figure.subplots(1, 2)
    for k, (split, (omi, probability)) in enumerate(splits.items()):
        ranking = ranking_metrics(omi, probability)
        name = split[:1].upper() + split[1:]
        if np.isnan(ranking["auc"]):
            roc.plot([], [], label=f"{name}: AUC and AP undefined (one class)", **_line(k))
            continue
        thresholds, true, false = threshold_counts(omi, probability)
        sensitivity, precision = true / true[-1], true / (true + false)
        roc.plot(
            np.r_[0, false / false[-1]],
            np.r_[0, sensitivity],
            label=f"{name}: AUC {ranking['auc']:.3f}, AP {ranking['ap']:.3f}",
            **_line(k),
        )
        recall.plot(
            np.r_[0, sensitivity],
            np.r_[precision[0], precision],
            drawstyle="steps-pre",
            **_line(k),
        )
        prevalence = true[-1] / (true[-1] + false[-1])
        recall.axhline(prevalence, color=_COLOURS[k % len(_COLOURS)], linestyle=":", linewidth=1.2)
        selected = int((thresholds >= limit).sum()) - 1
        if selected >= 0:
            _mark(roc, k, false[selected] / false[-1], sensitivity[selected])
            _mark(recall, k, sensitivity[selected], precision[selected])
    roc.plot([0, 1], [0, 1], color="0.5", linestyle=":", linewidth=1.2)
    roc.plot([], [], "o", color="white", markeredgecolor="0.2", label=f"Operating point {limit:.3g}")
    roc.plot([], [], ":", color="0.5", linewidth=1.2, label="Chance")
    for axes in (roc, recall):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    # Below the panels: inside, a legend would cover the curves of a very good or a very poor model.
    figure.legend(*roc.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    _finish(roc, "A) ROC curve", "1 − specificity", "Sensitivity")
    _finish(recall, "B) Precision-recall curve", "Sensitivity (recall)", "PPV (precision)")
    _title(figure, "Selected model", simulated)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, whole or not at all; the same figure gives the same bytes.

    Parameters
    ----------
    figure
        What to write, at its own resolution.
    path
        Ends in ``.png``; missing folders are made; an existing file is replaced.

    Raises
    ------
    InputError
        When the path does not end in ``.png``.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise InputError(f"{target}: expected a name that ends in .png, received {target.suffix!r}", "bad_name")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, because only a rename within one file system is atomic.
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        # "Software" would be matplotlib's version.
        figure.savefig(partial, format="png", dpi="figure", metadata={"Software": None})
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _joined(model: str, folds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    if not folds:
        raise InputError(f"{model}: expected the history of at least one fold, received none", "no_folds")
    columns = ["epoch", *(column for column, _ in _FIGURE5)]
    for number, history in enumerate(folds):
        absent = [column for column in columns if column not in history]
        if absent:
            raise InputError(
                f"{model}, fold {number}: expected history columns {', '.join(columns)}, "
                f"received none of {', '.join(absent)}",
                "bad_history",
            )
    begun = [history[columns] for history in folds if len(history)]
    if not begun:
        raise InputError(f"{model}: expected at least one epoch, received none", "bad_history")
    return pd.concat(begun, ignore_index=True)


def _layout() -> ConstrainedLayoutEngine:
    return ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)  # inches of air around each panel


def _line(number: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "linestyle": _DASHES[number % len(_DASHES)],
        "linewidth": 1.8,
    }


def _mark(axes: Axes, number: int, x: float, y: float) -> None:
    axes.plot(
        [x],
        [y],
        "o",
        color="white",
        markeredgecolor=_COLOURS[number % len(_COLOURS)],
        markersize=8,
        markeredgewidth=2,
        zorder=5,
        clip_on=False,  # a perfect model's point lies in the corner
    )


def _finish(axes: Axes, heading: str, x: str, y: str) -> None:
    axes.set_title(heading, loc="left", fontweight="bold", fontsize=11)
    axes.set(xlabel=x, ylabel=y)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _title(figure: Figure, text: str, simulated: bool) -> None:
    figure.suptitle(f"{text} — simulated data" if simulated else text, fontsize=13)
