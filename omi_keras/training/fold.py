"""One fold of a run: train on its training part, judge on validation and test, write its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from omi_keras.data.artifacts import write_bytes, write_json
from omi_keras.data.dataset import Dataset
from omi_keras.data.folds import rotation
from omi_keras.evaluation.metrics import best_f1_threshold, operating_point_metrics, ranking_metrics
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import FORMAT_VERSION, HISTORY_COLUMNS, fold_folder


@dataclass(frozen=True)
class Cohort:
    """What the folds of a run have in common.

    Attributes
    ----------
    dataset
        The dataset.
    omi, fold
        (n_ecgs,) label and fold of every ECG of the dataset; −1 where it has no label.
    n_folds
        Number of folds.
    inputs
        What the model reads: the median beats (n_ecgs, 12, 600) for a network, the features (n_ecgs, n_features) for
        a random forest.
    start
        Parameters that a network starts from, or None.
    """

    dataset: Dataset
    omi: np.ndarray
    fold: np.ndarray
    n_folds: int
    inputs: np.ndarray
    start: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True)
class _Fitted:
    """A trained model of either kind."""

    history: list[dict[str, float]]
    best_epoch: int
    probability: Callable[[np.ndarray], np.ndarray]
    save: Callable[[Path], None]


def train_fold(cohort: Cohort, run: Path, protocol: Protocol, fold: int, callbacks: dict[str, Any]) -> None:
    """Train one fold and write ``run/fold-NN``; continues from the checkpoint that an interruption left."""
    training_folds, validation_fold, test_fold = rotation(fold, cohort.n_folds)
    parts = {
        "training": np.flatnonzero(np.isin(cohort.fold, training_folds)),
        "validation": np.flatnonzero(cohort.fold == validation_fold),
        "test": np.flatnonzero(cohort.fold == test_fold),
    }
    # The unfinished fold lives here; its last act is to take the name of a finished one.
    partial = run / f".fold-{fold:02d}.partial"
    partial.mkdir(exist_ok=True)
    fit = _fit_forest if protocol.model == RANDOM_FOREST else _fit_network
    fitted = fit(cohort, protocol, fold, parts, partial / "checkpoint.npz", callbacks)
    probability = {split: fitted.probability(cohort.inputs[parts[split]]) for split in ("validation", "test")}
    omi = {split: cohort.omi[rows] for split, rows in parts.items()}
    threshold = best_f1_threshold(omi["validation"], probability["validation"])
    metrics: dict[str, Any] = {"format_version": FORMAT_VERSION, "simulated": cohort.dataset.simulated}
    for split, values in probability.items():
        metrics[split] = ranking_metrics(omi[split], values) | operating_point_metrics(omi[split], values, threshold)
    metrics |= {"threshold": threshold, "best_epoch": fitted.best_epoch, "epochs": len(fitted.history)}
    metrics["ecgs"] = {split: len(rows) for split, rows in parts.items()}
    metrics["omi"] = {split: int(omi[split].sum()) for split in parts}
    ecg_ids = cohort.dataset.ecgs["ecg_id"].to_numpy()
    predictions = [
        pd.DataFrame({"ecg_id": ecg_ids[parts[split]], "split": split, "omi": omi[split], "probability": values})
        for split, values in probability.items()
    ]
    fitted.save(partial)
    # The fixed columns first, whatever else a model has to tell after them.
    history = pd.DataFrame(fitted.history)
    further = [column for column in history.columns if column not in HISTORY_COLUMNS]
    write_table(partial / "history.csv", history[[*HISTORY_COLUMNS, *further]])
    write_table(partial / "predictions.csv", pd.concat(predictions))
    write_json(partial / "metrics.json", metrics)
    (partial / "checkpoint.npz").unlink(missing_ok=True)
    partial.rename(fold_folder(run, fold))


def _fit_network(
    cohort: Cohort,
    protocol: Protocol,
    fold: int,
    parts: dict[str, np.ndarray],
    checkpoint: Path,
    callbacks: dict[str, Any],
) -> _Fitted:
    from omi_keras.models.inference import omi_probability, predict_logits
    from omi_keras.training.fit import fit_fold

    model, progress = fit_fold(
        protocol,
        fold,
        cohort.inputs,
        cohort.omi,
        parts["training"],
        parts["validation"],
        checkpoint,
        start=cohort.start,
        **callbacks,
    )
    return _Fitted(
        progress.history,
        progress.schedule.best_epoch,
        lambda beats: omi_probability(predict_logits(model, beats)),
        lambda folder: model.save(folder / "model.keras"),
    )


def _fit_forest(
    cohort: Cohort,
    protocol: Protocol,
    fold: int,
    parts: dict[str, np.ndarray],
    checkpoint: Path,
    callbacks: dict[str, Any],
) -> _Fitted:
    from omi_keras.models.random_forest import save_forest
    from omi_keras.training.forest import fit_forest

    forest, history, best = fit_forest(
        cohort.inputs,
        cohort.omi,
        parts["training"],
        parts["validation"],
        seed=int(np.random.SeedSequence([protocol.seed, fold]).generate_state(1)[0]),
        **callbacks,
    )

    def save(folder: Path) -> None:
        save_forest(folder / "model.skops", forest)
        table = pd.DataFrame({"feature": forest.features, "importance": forest.importances})
        write_table(folder / "importances.csv", table.sort_values("importance", ascending=False, kind="stable"))

    return _Fitted(history, best, forest.probability, save)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file, the same bytes on every system."""
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())
