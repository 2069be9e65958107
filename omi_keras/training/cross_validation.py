"""Cross-validation: some or all folds of a dataset, one after the other, resumable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from omi_keras.data.artifacts import read_json, refuse_existing, remove, versions, write_json
from omi_keras.data.dataset import Dataset
from omi_keras.data.folds import assign_folds, check_both_classes
from omi_keras.models.catalogue import RANDOM_FOREST, build
from omi_keras.models.imagenet import start_from_imagenet
from omi_keras.signal.errors import InputError
from omi_keras.training.fold import Cohort, train_fold, write_table
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import CONFIG_FIELDS, FORMAT_VERSION, METRICS_FIELDS, fold_folder
from omi_keras.training.runtime import prepare_process

FoldStarts = Callable[[int], None]


def cross_validate(
    dataset: Dataset,
    run: Path,
    protocol: Protocol,
    *,
    folds: list[int] | None,
    n_folds: int,
    start: Mapping[str, np.ndarray] | None = None,
    resume: bool = False,
    force: bool = False,
    fold_starts: FoldStarts = lambda fold: None,
    **callbacks: Any,
) -> dict[int, dict[str, Any]]:
    """Train, validate and test on ``folds`` (None = all); return ``metrics.json`` of each.

    Each fold is the test fold once, the next one validates, the others train (section II.B). A finished fold is
    a folder ``fold-NN``; one that was interrupted continues from its last epoch. ``start`` holds the ImageNet
    parameters of a ResNet-18, whose checksum is in ``protocol``.

    Raises
    ------
    InputError
        When ``run`` exists and neither ``resume`` nor ``force`` is set, when it was started differently, when a
        fold does not exist, or has one class only, or when ``start`` does not fit the model.
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
    if start is not None:
        start_from_imagenet(build(protocol.model), start)
    _start(run, dataset, protocol, n_folds, resume, force)
    write_table(run / "folds.csv", ecgs[["ecg_id", "patient_id"]].assign(fold=fold_of))
    labels, fold_by_row = np.full(len(dataset.ecgs), -1), np.full(len(dataset.ecgs), -1)
    labels[rows], fold_by_row[rows] = omi, fold_of
    if protocol.model == RANDOM_FOREST:
        from omi_keras.signal.features import beat_features

        inputs = beat_features(dataset.beats)
    else:
        prepare_process()
        inputs = dataset.beats
    cohort = Cohort(dataset, labels, fold_by_row, n_folds, inputs, start)
    results = {}
    for fold in folds:
        done = fold_folder(run, fold)
        if not done.exists():
            fold_starts(fold)
            train_fold(cohort, run, protocol, fold, callbacks)
        results[fold] = read_json(done / "metrics.json", "a finished fold", FORMAT_VERSION, METRICS_FIELDS)
    return results


def _start(run: Path, dataset: Dataset, protocol: Protocol, n_folds: int, resume: bool, force: bool) -> None:
    """Make the run folder with ``config.json``, or make sure that an existing one may be continued."""
    # Whatever changes the result of a fold; versions and paths are told but may differ.
    decides = {**asdict(protocol), "n_folds": n_folds, "dataset_sha256": dataset.fingerprint()}
    if resume and run.exists():
        config = read_json(run / "config.json", "a run", FORMAT_VERSION, CONFIG_FIELDS)
        # A setting that is younger than the run had its default then.
        given = {field.name: field.default for field in fields(Protocol) if field.default is not MISSING} | config
        for name, value in decides.items():
            if given.get(name) != value:
                raise InputError(
                    f"{run} was started with {name} {given.get(name)}, not {value}; resume with the same "
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
