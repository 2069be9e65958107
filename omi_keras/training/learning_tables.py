"""A learning curve's tables: whom each fold learned from, and how good its model is on the tests that all share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from omi_keras.data.dataset import Dataset
from omi_keras.evaluation.comparison import Resamples, intervals
from omi_keras.evaluation.separation import MIN_PATIENTS
from omi_keras.training.fold import learned_from
from omi_keras.training.fold_tests import fold_test
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import Run

RESAMPLES = 2000
METRICS = ("auc", "ap")
COLUMNS = (
    "model", "size", "fold", "training_ecgs", "training_patients", "training_omi", "best_epoch",
    "val_auc", "val_ap", "val_score", "test_auc", "test_ap", "test_score", "simulated",
)  # fmt: skip
SUMMARY_COLUMNS = (
    "model", "size", "folds", "training_ecgs", "training_patients", "training_omi",
    *(f"test_{name}{end}" for name in METRICS for end in ("", "_lo", "_hi")), "simulated",
)  # fmt: skip


@dataclass(frozen=True)
class LearningCurve:
    """What :func:`omi_keras.training.learning_curve` found.

    Attributes
    ----------
    path
        The folder.
    table
        A row for each model, size and fold, columns :data:`COLUMNS`: whom the fold learned from, and how good it is.
    summary
        A row for each model and size, columns :data:`SUMMARY_COLUMNS`: means over the test folds with 95 % intervals
        over patients (:func:`omi_keras.evaluation.comparison.intervals`), and mean sizes of the training parts.
    simulated
        Whether the ECGs are.
    lacking
        Model and size → the folds of the curve that are not finished, of what is therefore in no table.
    """

    path: Path
    table: pd.DataFrame
    summary: pd.DataFrame
    simulated: bool
    lacking: Mapping[tuple[str, float], list[int]] = field(default_factory=dict)

    @property
    def remarks(self) -> list[str]:
        """What there is to know about the tables, a sentence each."""
        found = []
        if self.lacking:
            parts = ", ".join(
                f"{name} size {size:g} (fold {', '.join(map(str, folds))})"
                for (name, size), folds in self.lacking.items()
            )
            why = "because folds of them are not finished"
            found.append(f"not in the tables, {why}: {parts}; --resume with them goes on")
        if self.summary["test_auc"].isna().any():
            found.append(
                f"AUC and average precision are undefined where a test fold has fewer than {MIN_PATIENTS} patients "
                f"of a class; take fewer folds, or more ECGs"
            )
        return found


def fold_rows(dataset: Dataset, run: Run) -> list[dict[str, Any]]:
    """A row of the table, columns :data:`COLUMNS`, for each fold of a run."""
    protocol = Protocol.of(run.config)
    rows = dataset.labelled()
    omi = np.full(len(dataset.ecgs), -1)
    omi[rows] = dataset.ecgs["omi"].iloc[rows].to_numpy(int)
    patients = dataset.ecgs["patient_id"].to_numpy(str)
    found = []
    for result in run.results:
        training = rows[run.split.parts(run.folds, result.fold)["training"]]
        training = learned_from(dataset, omi, training, protocol, result.fold)
        row = {"model": run.model, "size": protocol.training_fraction, "fold": result.fold}
        row |= {"training_ecgs": len(training), "training_patients": len(np.unique(patients[training]))}
        row |= {"training_omi": int(omi[training].sum()), "best_epoch": result.metrics["best_epoch"]}
        for split, short in (("validation", "val"), ("test", "test")):
            row |= {f"{short}_{name}": result.metrics[split][name] for name in ("auc", "ap", "score")}
        found.append(row | {"simulated": dataset.simulated})
    return found


def summarised(table: pd.DataFrame, runs: Mapping[tuple[str, float], Run], seed: int, simulated: bool) -> pd.DataFrame:
    """A row, columns :data:`SUMMARY_COLUMNS`, for each model and size; ``table`` has their rows in the same order."""
    tests = {
        f"{name} {size!r}": {result.fold: fold_test(run, result) for result in run.results}
        for (name, size), run in runs.items()
    }
    found = intervals(Resamples(tests, RESAMPLES, seed), simulated)
    ranked = [f"{name}{end}" for name in METRICS for end in ("", "_lo", "_hi")]
    found = found.rename(columns={name: f"test_{name}" for name in ranked})
    parts = table.groupby(["model", "size"], sort=False)[["training_ecgs", "training_patients", "training_omi"]]
    return pd.concat([parts.mean().reset_index(), found.drop(columns="model")], axis=1)[list(SUMMARY_COLUMNS)]
