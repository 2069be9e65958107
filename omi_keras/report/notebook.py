"""What a notebook shows of a run, and of a validation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from omi_keras.report.page import render

if TYPE_CHECKING:
    from omi_keras.report.validation import Validation
    from omi_keras.training.run import Run


def run_html(run: Run) -> str:
    """Its folds with their scores, and for networks the validation score by epoch, mean ± 1 SD over folds."""
    rows = [
        (
            result.fold,
            *(f"{result.metrics[split][name]:.3f}" for split in ("validation", "test") for name in ("auc", "score")),
            f"{result.metrics['threshold']:.3f}",
            result.metrics["best_epoch"],
        )
        for result in run.results
    ]
    best = "Best epoch" if run.has_epochs else "Best candidate"
    headings = ("Fold", "Val AUC", "Val score", "Test AUC", "Test score", "Threshold", best)
    curve = None
    if run.has_epochs:
        import pandas as pd

        from omi_keras.drawing.curves import history_panel
        from omi_keras.drawing.figures import single

        history = pd.concat([result.history for result in run.results], ignore_index=True)
        curve = single(partial(history_panel, runs={run.model: history}, column="val_score"))
    return render("run.html.j2", run=run, rows=rows, headings=headings, curve=curve)


def validation_cell(validation: Validation) -> str:
    """Its warnings, and the models with their numbers and intervals."""
    columns = ("model", "ecgs", "patients", "omi", "auc", "auc_lo", "auc_hi", "ap", "ap_lo", "ap_hi", "brier")
    table = validation.metrics[list(columns)]
    rows = [
        [f"{value:.3f}" if isinstance(value, float) else str(value) for value in row]
        for row in table.itertuples(index=False, name=None)
    ]
    return render("validation_cell.html.j2", headings=columns, rows=rows, warnings=validation.warnings)
