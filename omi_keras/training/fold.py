"""One fold of a run: train on its training part, judge on validation and test, write its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from omi_keras.data.artifacts import remove, write_json
from omi_keras.data.dataset import Dataset
from omi_keras.data.folds import nested_part
from omi_keras.data.in_place import Journal, put_or_keep
from omi_keras.evaluation.bands import chosen_bands
from omi_keras.evaluation.metrics import best_f1_threshold, operating_point_metrics, ranking_metrics
from omi_keras.models.archive import errors_name
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.recordings.errors import InputError
from omi_keras.training.config import read_config, run_id
from omi_keras.training.jobs import Job
from omi_keras.training.locks import clear_partial, fold_at_work
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import FORMAT_VERSION, fold_folder, partial_folder, write_history, write_table
from omi_keras.training.splits import Split
from omi_keras.training.start import Start


@dataclass(frozen=True)
class Cohort:
    """What the folds of a run have in common.

    Attributes
    ----------
    dataset
        The dataset.
    omi
        (n_ecgs,) label of every ECG of the dataset; −1 where it has none.
    split, folds
        How the labelled ECGs are divided, and the run's ``folds.csv``, in their order.
    inputs
        What the model reads: the median beats (n_ecgs, 12, 600) for a network, the features (n_ecgs, n_features) for
        a random forest.
    start
        Puts the parameters that training starts from into a new network; None: those that the seed gives.
    run_id
        :func:`omi_keras.training.run.run_id` of the run.
    """

    dataset: Dataset
    omi: np.ndarray
    split: Split
    folds: pd.DataFrame
    inputs: np.ndarray
    start: Start | None
    run_id: str


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

    A fold that another process has finished meanwhile is left as it is.

    Raises
    ------
    InputError
        When another process is training the same fold, or has replaced the run, when Keras callbacks are to watch a
        random forest, or something else took the fold's name meanwhile: then the sentence says where the fold is.
    """
    if protocol.model == RANDOM_FOREST and callbacks.get("callbacks"):
        raise InputError(
            "a random forest has no epochs that Keras callbacks could be told; leave callbacks out", "input"
        )
    rows = cohort.dataset.labelled()
    parts = {name: rows[part] for name, part in cohort.split.parts(cohort.folds, job.fold).items()}
    parts["training"] = learned_from(cohort.dataset, cohort.omi, parts["training"], protocol, job.fold)
    with fold_at_work(job.run, job.fold):
        # Only now is it certain that no other process finishes the fold or replaces the run.
        clear_partial(job.run, job.fold)
        folder, partial = fold_folder(job.run, job.fold), partial_folder(job.run, job.fold)
        config = read_config(job.run)
        if run_id(config) != cohort.run_id:
            raise InputError(f"{job.run} was replaced by another run while this one began", "replaced")
        if folder.exists():
            remove(partial)
            return
        partial.mkdir(exist_ok=True)
        try:
            with errors_name(partial):
                _train(cohort, partial, protocol, job, parts, callbacks)
                put_or_keep(partial, folder, None, Journal(folder, None))
        finally:
            clear_partial(job.run, job.fold)


def learned_from(dataset: Dataset, omi: np.ndarray, training: np.ndarray, protocol: Protocol, fold: int) -> np.ndarray:
    """The rows of a training part that a protocol learns from: those of ``training_fraction`` of its patients.

    Parameters
    ----------
    omi
        (n_ecgs,) labels of the dataset.
    training
        Rows of the training part.
    """
    if protocol.training_fraction == 1:
        return training
    patients = dataset.ecgs["patient_id"].to_numpy(str)[training]
    return training[nested_part(omi[training], patients, protocol.training_fraction, [protocol.seed, fold])]


def _train(
    cohort: Cohort,
    partial: Path,
    protocol: Protocol,
    job: Job,
    parts: dict[str, np.ndarray],
    callbacks: dict[str, Any],
) -> None:
    if protocol.model == RANDOM_FOREST:
        fit = _fit_forest
    else:
        fit = _fit_network
        if job.tensorboard:
            from omi_keras.training.tensorboard import EpochsForTensorBoard

            written = EpochsForTensorBoard(job.run / "tensorboard" / f"fold-{job.fold:02d}")
            callbacks = {**callbacks, "callbacks": [written, *callbacks.get("callbacks", ())]}
    fitted = fit(cohort, protocol, job.fold, parts, partial / "checkpoint.npz", callbacks)
    splits = ("validation", "test") if job.tested else ("validation",)
    probability = {split: fitted.probability(parts[split]) for split in splits}
    omi = {split: cohort.omi[rows] for split, rows in parts.items()}
    threshold = best_f1_threshold(omi["validation"], probability["validation"])
    metrics: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "simulated": cohort.dataset.simulated,
        "run": cohort.run_id,
    }
    if (left_out := cohort.split.left_out(cohort.folds, job.fold)) is not None:
        metrics["left_out"] = left_out
    for split, values in probability.items():
        metrics[split] = ranking_metrics(omi[split], values) | operating_point_metrics(omi[split], values, threshold)
    patient_id = cohort.dataset.ecgs["patient_id"].to_numpy()[parts["validation"]]
    metrics |= chosen_bands(omi["validation"], probability["validation"], patient_id)
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
    from omi_keras.models.archive import save_network
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
        run_id=cohort.run_id,
        start=cohort.start,
        **callbacks,
    )
    return _Fitted(
        progress.history,
        progress.best.epoch,
        lambda rows: omi_probability(predict_logits(model, cohort.inputs, rows, contract=protocol.input)),
        lambda folder: save_network(folder / "model.keras", model),
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

    callbacks = {name: told for name, told in callbacks.items() if name != "callbacks"}

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
