"""What is drawn in one panel, on axes that somebody else made: a page of panels, or one panel for a telephone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from omi_keras.evaluation.metrics import ranking_metrics, threshold_counts
from omi_keras.evaluation.separation import MIN_PATIENTS, enough_patients

# Okabe and Ito's colours, without the yellow that vanishes on white; lines differ in dash as well.
# Name → omi (n,), probability (n,) and, where patients are known, patient_id (n,).
Splits = Mapping[str, Sequence[npt.ArrayLike]]
Limit = float | Mapping[str, float]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (3, 3)))

# Column of history.csv → heading, in the order of the panels A to D of the paper's Figure 5.
FIGURE5 = {
    "val_auc": "A) AUC",
    "val_ap": "B) Average precision (AP)",
    "val_loss": "C) Cross-entropy loss",
    "val_score": "D) ⅔ AUC + ⅓ AP",
}


def history_panel(axes: Axes, runs: Mapping[str, pd.DataFrame], column: str) -> None:
    """Draw the mean over folds of a column of ``history.csv``, with a band of ±1 SD.

    Parameters
    ----------
    runs
        Model → the histories of its folds, one below the other.
    """
    for k, (model, folds) in enumerate(runs.items()):
        by_epoch = folds.groupby("epoch")[column]
        mean, sd = by_epoch.mean(), by_epoch.std(ddof=1)
        epochs = mean.index.to_numpy()
        axes.plot(epochs, mean, label=model, marker="o" if mean.size == 1 else None, **line(k))
        # A single fold has no SD: NaN draws nothing.
        axes.fill_between(epochs, mean - sd, mean + sd, color=COLOURS[k % len(COLOURS)], alpha=0.15, lw=0)
    finish(axes, FIGURE5[column], "Epoch", "")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.ticklabel_format(axis="y", useOffset=False, style="plain")


def roc_panel(axes: Axes, splits: Splits, limit: Limit, rules: Mapping[str, tuple[float, float]] | None = None) -> None:
    """Draw ROC curves with the operating point; a split with one class has no curve, and its label says so.

    Parameters
    ----------
    limit
        Operating point of all, or of each.
    rules
        What decides without a probability → specificity and sensitivity, drawn as points.
    """
    for k, (split, (omi, probability, *patient)) in enumerate(splits.items()):
        ranking = ranking_metrics(omi, probability)
        name = _named(split)
        if missing := _undefined(omi, patient):
            axes.plot([], [], label=f"{name}: AUC and AP undefined ({missing})", **line(k))
            continue
        thresholds, true, false = threshold_counts(omi, probability)
        sensitivity = true / true[-1]
        label = f"{name}: AUC {ranking['auc']:.3f}, AP {ranking['ap']:.3f}"
        axes.plot(np.r_[0, false / false[-1]], np.r_[0, sensitivity], label=label, **line(k))
        selected = int((thresholds >= _limit_of(limit, split)).sum()) - 1
        if selected >= 0:
            _mark(axes, k, false[selected] / false[-1], sensitivity[selected])
    for marker, (rule, (specificity, sensitive)) in zip("Xs^vPD", (rules or {}).items(), strict=False):
        axes.plot([1 - specificity], [sensitive], marker, color="0.2", markersize=7, label=rule, zorder=6)
    axes.plot([0, 1], [0, 1], color="0.5", linestyle=":", linewidth=1.2)
    _name_operating_point(axes, limit)
    axes.plot([], [], ":", color="0.5", linewidth=1.2, label="Chance")
    _unit_square(axes)
    finish(axes, "A) ROC curve", "1 − specificity", "Sensitivity")


def recall_panel(axes: Axes, splits: Splits, limit: Limit) -> None:
    """Draw precision in steps, whose area is the average precision; dotted lines are the share of OMI."""
    for k, (split, (omi, probability, *patient)) in enumerate(splits.items()):
        ap, name = ranking_metrics(omi, probability)["ap"], _named(split)
        if missing := _undefined(omi, patient):
            axes.plot([], [], label=f"{name}: AP undefined ({missing})", **line(k))
            continue
        thresholds, true, false = threshold_counts(omi, probability)
        sensitivity, precision = true / true[-1], true / (true + false)
        steps = {"drawstyle": "steps-pre", "label": f"{name}: AP {ap:.3f}", **line(k)}
        axes.plot(np.r_[0, sensitivity], np.r_[precision[0], precision], **steps)
        prevalence = true[-1] / (true[-1] + false[-1])
        axes.axhline(prevalence, color=COLOURS[k % len(COLOURS)], linestyle=":", linewidth=1.2)
        selected = int((thresholds >= _limit_of(limit, split)).sum()) - 1
        if selected >= 0:
            _mark(axes, k, sensitivity[selected], precision[selected])
    _name_operating_point(axes, limit)
    axes.plot([], [], ":", color="0.5", linewidth=1.2, label="Chance: the share of OMI")
    _unit_square(axes)
    finish(axes, "B) Precision-recall curve", "Sensitivity (recall)", "PPV (precision)")


def calibration_panel(axes: Axes, curves: Mapping[str, pd.DataFrame]) -> None:
    """Draw the share of OMI against the mean probability of groups of ECGs, with 95 % intervals.

    Parameters
    ----------
    curves
        Model → :func:`~omi_keras.evaluation.calibration.calibration_curve`.
    """
    for k, (model, curve) in enumerate(curves.items()):
        # Rounding may put a limit on the wrong side of the point by 1e-17.
        reach = np.maximum([curve["observed"] - curve["lo"], curve["hi"] - curve["observed"]], 0)
        style = {**line(k), "linewidth": 1.4}
        axes.errorbar(curve["probability"], curve["observed"], reach, label=model, marker="o", ms=4, **style)
    axes.plot([0, 1], [0, 1], color="0.5", linestyle=":", linewidth=1.2, label="As it should be")
    _unit_square(axes)
    finish(axes, "Calibration", "Mean P(OMI) of the group", "Share of OMI")


def decision_panel(axes: Axes, thresholds: np.ndarray, curves: Mapping[str, np.ndarray]) -> None:
    """Draw net benefit against threshold probability; what is worse than a little below none is cut off.

    Parameters
    ----------
    curves
        Rule → (k,) net benefit; ``treat all`` and ``treat none`` are drawn in grey.
    """
    rules = {name: curve for name, curve in curves.items() if name not in ("treat all", "treat none")}
    for k, (name, curve) in enumerate(rules.items()):
        axes.plot(thresholds, curve, label=name, **line(k))
    for name, dash in (("treat all", "--"), ("treat none", ":")):
        axes.plot(thresholds, curves[name], label=name, color="0.5", linestyle=dash, linewidth=1.2)
    best = max(float(np.nanmax(curve)) for curve in curves.values())
    axes.set(xlim=(0, thresholds[-1]), ylim=(-0.2 * max(best, 0.01), 1.1 * max(best, 0.01)))
    finish(axes, "Decision curve", "Threshold probability of OMI", "Net benefit per ECG")


def finish(axes: Axes, heading: str, x: str, y: str) -> None:
    """Give a panel its heading, names of axes and grid."""
    axes.set_title(heading, loc="left", fontweight="bold", fontsize=11)
    axes.set(xlabel=x, ylabel=y)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def line(number: int) -> dict[str, Any]:
    """Colour, dash and width of the k-th curve."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": _DASHES[number % len(_DASHES)],
        "linewidth": 1.8,
    }


def _undefined(omi: npt.ArrayLike, patient: Sequence[npt.ArrayLike]) -> str:
    """Why there are no AUC and AP, or nothing."""
    label = np.asarray(omi)
    if not label.any() or label.all():
        return "one class"
    few = patient and not enough_patients(label, np.asarray(patient[0]))
    return f"fewer than {MIN_PATIENTS} patients of a class" if few else ""


def _named(split: str) -> str:
    """A split's name as it begins a legend; models keep theirs."""
    return split.capitalize() if split in ("validation", "test") else split


def _limit_of(limit: Limit, split: str) -> float:
    return limit[split] if isinstance(limit, Mapping) else limit


def _name_operating_point(axes: Axes, limit: Limit) -> None:
    label = "Operating points" if isinstance(limit, Mapping) else f"Operating point {limit:.3g}"
    axes.plot([], [], "o", color="white", markeredgecolor="0.2", label=label)


def _unit_square(axes: Axes) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")


def _mark(axes: Axes, number: int, x: float, y: float) -> None:
    axes.plot(
        [x],
        [y],
        "o",
        color="white",
        markeredgecolor=COLOURS[number % len(COLOURS)],
        markersize=8,
        markeredgewidth=2,
        zorder=5,
        clip_on=False,  # a perfect model's point lies in the corner
    )
