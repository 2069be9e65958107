"""Cross-validation: some or all folds of a dataset, one after the other, resumable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from omi_keras.data.artifacts import read_json, refuse_existing, remove, versions, write_bytes, write_json
from omi_keras.data.dataset import Dataset
from omi_keras.data.folds import assign_folds, check_both_classes, rotation
from omi_keras.evaluation.metrics import best_f1_threshold, operating_point_metrics, ranking_metrics
from omi_keras.models.inference import omi_probability, predict_logits
from omi_keras.signal.errors import InputError
from omi_keras.training.fit import Protocol, fit_fold
from omi_keras.training.run import CONFIG_FIELDS, FORMAT_VERSION, HISTORY_COLUMNS, METRICS_FIELDS, fold_folder
from omi_keras.training.runtime import prepare_process

FoldStarts = Callable[[int], None]


def cross_validate(
    dataset: Dataset,
    run: Path,
    protocol: Protocol,
    *,
    folds: list[int] | None,
    n_folds: int,
    resume: bool = False,
    force: bool = False,
    fold_starts: FoldStarts = lambda fold: None,
    **callbacks: Any,
) -> dict[int, dict[str, Any]]:
    """Train, validate and test on ``folds`` (None = all); return ``metrics.json`` of each.

    Each fold is the test fold once, the next one validates, the others train (section II.B). A finished fold is
    a folder ``fold-NN``; one that was interrupted continues from its last epoch.

    Raises
    ------
    InputError
        When ``run`` exists and neither ``resume`` nor ``force`` is set, when it was started differently, when a
        fold does not exist, or has one class only.
    """
    folds = list(range(n_folds)) if folds is None else folds
    for fold in folds:
        if not 0 <= fold < n_folds:
            raise InputError(f"fold {fold} does not exist: there are folds 0 to {n_folds - 1}", "no_such_fold")
    rows = dataset.labelled()
    ecgs = dataset.ecgs.iloc[rows]
    omi = ecgs["omi"].to_numpy(int)
    fold_of = assign_folds(omi, ecgs["patient_id"].to_numpy(str), n_folds, protocol.seed)
    for fold in folds:
        check_both_classes(omi, fold_of, fold, n_folds)
    _start(run, dataset, protocol, n_folds, resume, force)
    table = ecgs[["ecg_id", "patient_id"]].assign(fold=fold_of)
    write_bytes(run / "folds.csv", table.to_csv(index=False, lineterminator="\n").encode())
    prepare_process()
    # Labels by row of the dataset; an unlabelled ECG is in no fold, so its −1 is never used.
    labels, fold_by_row = np.full(len(dataset.ecgs), -1), np.full(len(dataset.ecgs), -1)
    labels[rows], fold_by_row[rows] = omi, fold_of
    results = {}
    for fold in folds:
        done = fold_folder(run, fold)
        if not done.exists():
            fold_starts(fold)
            _train_fold(dataset, run, protocol, fold, n_folds, labels, fold_by_row, callbacks)
        results[fold] = read_json(done / "metrics.json", "a finished fold", FORMAT_VERSION, METRICS_FIELDS)
    return results


def _start(run: Path, dataset: Dataset, protocol: Protocol, n_folds: int, resume: bool, force: bool) -> None:
    """Make the run folder with ``config.json``, or make sure that an existing one may be continued."""
    # Whatever changes the result of a fold; versions and paths are told but may differ.
    decides = {**asdict(protocol), "n_folds": n_folds, "dataset_sha256": dataset.fingerprint()}
    if resume and run.exists():
        config = read_json(run / "config.json", "a run", FORMAT_VERSION, CONFIG_FIELDS)
        for name, value in decides.items():
            if config.get(name) != value:
                raise InputError(
                    f"{run} was started with {name} {config.get(name)}, not {value}; resume with the same "
                    f"settings and dataset, or start another run",
                    "other_settings",
                )
        return
    refuse_existing(run, "config.json", force)
    remove(run)
    run.mkdir(parents=True)
    about = {
        "dataset": str(dataset.path),
        "simulated": dataset.simulated,
        "ecgs": len(dataset.labelled()),
        "versions": versions(),
    }
    write_json(run / "config.json", {"format_version": FORMAT_VERSION, "kind": "run", **decides, **about})


def _train_fold(
    dataset: Dataset,
    run: Path,
    protocol: Protocol,
    fold: int,
    n_folds: int,
    labels: np.ndarray,
    fold_by_row: np.ndarray,
    callbacks: dict[str, Any],
) -> None:
    training_folds, validation_fold, test_fold = rotation(fold, n_folds)
    parts = {
        "training": np.flatnonzero(np.isin(fold_by_row, training_folds)),
        "validation": np.flatnonzero(fold_by_row == validation_fold),
        "test": np.flatnonzero(fold_by_row == test_fold),
    }
    # The unfinished fold lives here; its last act is to take the name of a finished one.
    partial = run / f".fold-{fold:02d}.partial"
    partial.mkdir(exist_ok=True)
    model, progress = fit_fold(
        protocol,
        fold,
        dataset.beats,
        labels,
        parts["training"],
        parts["validation"],
        partial / "checkpoint.npz",
        **callbacks,
    )
    probability = {
        split: omi_probability(predict_logits(model, dataset.beats[parts[split]])) for split in ("validation", "test")
    }
    threshold = best_f1_threshold(labels[parts["validation"]], probability["validation"])
    tables = [
        pd.DataFrame(
            {
                "ecg_id": dataset.ecgs["ecg_id"].to_numpy()[parts[split]],
                "split": split,
                "omi": labels[parts[split]],
                "probability": values,
            }
        )
        for split, values in probability.items()
    ]
    metrics: dict[str, Any] = {"format_version": FORMAT_VERSION, "simulated": dataset.simulated}
    for split, values in probability.items():
        truth = labels[parts[split]]
        metrics[split] = ranking_metrics(truth, values) | operating_point_metrics(truth, values, threshold)
    metrics |= {"threshold": threshold, "best_epoch": progress.schedule.best_epoch, "epochs": progress.epoch}
    metrics["ecgs"] = {name: len(part) for name, part in parts.items()}
    metrics["omi"] = {name: int(labels[part].sum()) for name, part in parts.items()}
    model.save(partial / "model.keras")
    history = pd.DataFrame(progress.history, columns=list(HISTORY_COLUMNS))
    _write_csv(partial / "history.csv", history)
    _write_csv(partial / "predictions.csv", pd.concat(tables))
    write_json(partial / "metrics.json", metrics)
    (partial / "checkpoint.npz").unlink()
    partial.rename(fold_folder(run, fold))


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())
