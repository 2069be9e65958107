"""How good models are against what they learned from."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from omi_keras.drawing.curves import finish, line
from omi_keras.drawing.figures import single, with_title

PANELS = {"auc": "A) AUC", "ap": "B) Average precision (AP)"}


def learning_panel(axes: Axes, summary: pd.DataFrame, metric: str) -> None:
    """Draw a metric of the test folds, with its intervals, against the number of OMI in the training part.

    Parameters
    ----------
    summary
        :attr:`omi_keras.training.LearningCurve.summary`.
    metric
        ``auc`` or ``ap``.
    """
    for k, (model, part) in enumerate(summary.groupby("model", sort=False)):
        value = part[f"test_{metric}"]
        reach = np.maximum([value - part[f"test_{metric}_lo"], part[f"test_{metric}_hi"] - value], 0)
        # Beside each other, so that bars of models that learned from the same do not hide each other.
        omi = part["training_omi"] * 1.02**k
        axes.errorbar(omi, value, reach, label=str(model), marker="o", ms=4, capsize=2, elinewidth=1, **line(k))
    axes.set_xscale("log")
    ticks = sorted(set(summary["training_omi"]))  # means over folds
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    finish(axes, PANELS[metric], "ECGs with OMI in the training part", "")


def learning_figure(summary: pd.DataFrame, simulated: bool) -> Figure:
    """Both panels beside each other, for a file."""
    figure = Figure(figsize=(10, 5), dpi=160, layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, name in zip(panels, PANELS, strict=True):
        learning_panel(axes, summary, name)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return with_title(figure, "The same tests, more to learn from [95 %, patients]", simulated)


def learning_figures(summary: pd.DataFrame) -> dict[str, Figure]:
    """Each panel as a figure of its own: heading → figure."""
    return {
        heading: single(partial(learning_panel, summary=summary, metric=metric), columns=2)
        for metric, heading in PANELS.items()
    }
