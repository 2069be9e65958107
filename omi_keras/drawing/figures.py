"""The paper's Figures 5 and 6, single curves, and how figures reach a file.

Figures are built on :class:`matplotlib.figure.Figure` alone: no window, no global state, safe in threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from omi_keras.drawing.curves import FIGURE5, Limit, Splits, history_panel, recall_panel, roc_panel
from omi_keras.evaluation.metrics import checked_threshold
from omi_keras.recordings.errors import InputError

__all__ = ["figure5", "figure6", "history_figures", "save_figure", "single", "with_title"]

_DPI = 160
# A panel on its own: as wide as a telephone shows it at its own size.
_PANEL = (4.6, 4.2)


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
    runs = {model: _joined(model, folds) for model, folds in histories.items()}
    panels = figure.subplots(2, 2)
    for axes, column in zip(panels.flat, FIGURE5, strict=True):
        history_panel(axes, runs, column)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    columns = len(labels) if len(labels) <= 4 else (len(labels) + 1) // 2
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
    bands = any(len(folds) > 1 for folds in histories.values())
    with_title(figure, "Validation during training" + (", mean ± 1 SD over folds" if bands else ""), simulated)
    return figure


def figure6(splits: Splits, threshold: float, simulated: bool) -> Figure:
    """Draw ROC and precision-recall curves with the operating point (paper III.B, Figure 6).

    Precision is drawn in steps, whose area is the average precision; dotted lines are chance (in B the share
    of OMI). A split with one class, or too few patients of one, has no curves, and its legend says so.

    Parameters
    ----------
    splits
        Name (``"validation"``, ``"test"``) → ``omi`` (n,) 0/1, ``probability`` (n,) and, where patients are known,
        ``patient_id`` (n,).
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
    return curves_figure(splits, checked_threshold(threshold), "Selected model", simulated)


def curves_figure(
    splits: Splits,
    limit: Limit,
    title: str,
    simulated: bool,
    rules: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Draw ROC and precision-recall curves beside each other; see :func:`~omi_keras.drawing.curves.roc_panel`."""
    figure = Figure(figsize=(10, 6), dpi=_DPI, layout=_layout())
    roc, recall = figure.subplots(1, 2)
    roc_panel(roc, splits, limit, rules)
    recall_panel(recall, splits, limit)
    # Below the panels: inside, a legend would cover the curves of a very good or a very poor model.
    figure.legend(*roc.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return with_title(figure, title, simulated)


def history_figures(histories: Mapping[str, Sequence[pd.DataFrame]]) -> dict[str, Figure]:
    """Draw each panel of :func:`figure5` as a figure of its own: heading → figure."""
    runs = {model: _joined(model, folds) for model, folds in histories.items()}
    return {
        heading: single(partial(history_panel, runs=runs, column=column), columns=2)
        for column, heading in FIGURE5.items()
    }


def single(draw: Callable[[Axes], None], columns: int = 1) -> Figure:
    """Draw one panel as a figure of its own, its legend below it in so many columns."""
    figure = Figure(figsize=_PANEL, dpi=_DPI, layout=_layout())
    axes = figure.subplots()
    draw(axes)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False)
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
    columns = ["epoch", *FIGURE5]
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


def with_title(figure: Figure, text: str, simulated: bool) -> Figure:
    """Write a title over a figure, and that its data are simulated; return the figure."""
    figure.suptitle(f"{text} — simulated data" if simulated else text, fontsize=13)
    return figure
