"""A learning curve → its figure and its page, in its own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omi_keras.data.artifacts import write_bytes
from omi_keras.drawing.figures import save_figure
from omi_keras.drawing.learning_curve import learning_figure, learning_figures
from omi_keras.report.cells import Cell, Table, count, metric, number
from omi_keras.report.page import render
from omi_keras.report.page_tables import records
from omi_keras.training.learning_tables import RESAMPLES, LearningCurve


def write_learning_curve(curve: LearningCurve) -> Path:
    """Write ``learning_curve.png`` and ``report.html`` into the folder of a learning curve; return the page."""
    save_figure(learning_figure(curve.summary, curve.simulated), curve.path / "learning_curve.png")
    page = curve.path / "report.html"
    html = render(
        "learning_curve.html.j2",
        title="Learning curve",
        simulated=curve.simulated,
        figures=learning_figures(curve.summary),
        remarks=curve.remarks,
        summary=Table(
            ("Model", "Size", "Folds", "Training ECGs", "Patients", "OMI", "Test AUC", "Test AP"),
            [[str(row["model"]), *_cells(row, "folds"), *(metric(row, f"test_{name}") for name in ("auc", "ap"))]
             for row in records(curve.summary)],
        ),
        folds=Table(
            ("Model", "Size", "Fold", "Training ECGs", "Patients", "OMI", "Kept epoch or candidate",
             "Val AUC", "Val AP", "Test AUC", "Test AP"),
            [[str(row["model"]), *_cells(row, "fold"), count(row["best_epoch"]),
              *(number(row[f"{part}_{name}"]) for part in ("val", "test") for name in ("auc", "ap"))]
             for row in records(curve.table)],
        ),
        resamples=RESAMPLES,
    )  # fmt: skip
    write_bytes(page, html.encode())
    return page


def _cells(row: dict[str, Any], folds: str) -> list[Cell]:
    sizes = (row[name] for name in (folds, "training_ecgs", "training_patients", "training_omi"))
    return [Cell(f"{row['size']:g}", row["size"]), *(count(size) for size in sizes)]
