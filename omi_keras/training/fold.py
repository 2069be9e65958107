"""One fold of a run: train on its training part, judge on validation and test, write its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from omi_keras.data.artifacts import remove_half_written, write_json
from omi_keras.data.dataset import Dataset
from omi_keras.data.folds import rotation
from omi_keras.evaluation.metrics import best_f1_threshold, operating_point_metrics, ranking_metrics
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.recordings.errors import InputError
from omi_keras.training.jobs import Job
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import FORMAT_VERSION, fold_folder, partial_folder, write_history, write_table
from omi_keras.training.tensorboard import with_tensorboard


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
    # Of rows of the cohort.
    probability: Callable[[np.ndarray], np.ndarray]
    save: Callable[[Path], None]


def train_fold(cohort: Cohort, job: Job, protocol: Protocol, callbacks: dict[str, Any]) -> None:
    """Train the fold of ``job`` and write ``run/fold-NN``; continues from the checkpoint that an interruption left.

    Raises
    ------
    InputError
        When another process is training the same fold.
    """
    training_folds, validation_fold, test_fold = rotation(job.fold, cohort.n_folds)
    parts = {
        "training": np.flatnonzero(np.isin(cohort.fold, training_folds)),
        "validation": np.flatnonzero(cohort.fold == validation_fold),
        "test": np.flatnonzero(cohort.fold == test_fold),
    }
    partial = partial_folder(job.run, job.fold)
    partial.mkdir(exist_ok=True)
    with _alone(partial, job):
        remove_half_written(partial)
        _train(cohort, partial, protocol, job, parts, callbacks)
        partial.rename(fold_folder(job.run, job.fold))


@contextmanager
def _alone(partial: Path, job: Job) -> Iterator[None]:
    """Keep other processes from training the same fold. The system frees the lock of a process that dies."""
    lock = partial / "lock"
    with lock.open("w", encoding="utf-8") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            pass
        except OSError:
            raise InputError(
                f"fold {job.fold} of {job.run} is being trained by another process; wait for it, or stop it", "busy"
            ) from None
        yield
    (fold_folder(job.run, job.fold) / "lock").unlink(missing_ok=True)


def _train(
    cohort: Cohort,
    partial: Path,
    protocol: Protocol,
    job: Job,
    parts: dict[str, np.ndarray],
    callbacks: dict[str, Any],
) -> None:
    if job.tensorboard:
        callbacks = with_tensorboard(job.run / "tensorboard" / f"fold-{job.fold:02d}", callbacks)
    fit = _fit_forest if protocol.model == RANDOM_FOREST else _fit_network
    fitted = fit(cohort, protocol, job.fold, parts, partial / "checkpoint.npz", callbacks)
    splits = ("validation", "test") if job.tested else ("validation",)
    probability = {split: fitted.probability(parts[split]) for split in splits}
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
    write_history(partial, fitted.history)
    write_table(partial / "predictions.csv", pd.concat(predictions))
    write_json(partial / "metrics.json", metrics)
    (partial / "checkpoint.npz").unlink(missing_ok=True)


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
        lambda rows: omi_probability(predict_logits(model, cohort.inputs, rows)),
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

    return _Fitted(history, best, lambda rows: forest.probability(cohort.inputs[rows]), save)
