"""Make a run's folder, or take up one that was begun, and hold it while its folds are trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from omi_keras.data.artifacts import new_folder, read_json, refuse_existing, versions, write_json
from omi_keras.data.dataset import Dataset
from omi_keras.data.folds import assign_folds, check_both_classes, most_folds
from omi_keras.data.foreign import refuse_inside
from omi_keras.data.writer import write_dataset
from omi_keras.models.catalogue import build
from omi_keras.models.weights.imagenet import read_imagenet_weights, start_from_imagenet
from omi_keras.recordings.errors import InputError
from omi_keras.training.locks import at_work, beginning, clear_leftovers, refuse_busy
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import (
    CONFIG_FIELDS,
    FORMAT_VERSION,
    deciding,
    read_folds,
    where_dataset_is,
    write_table,
)

# Of a run whose dataset was in memory.
DATASET_FOLDER = "dataset"


@contextmanager
def started_run(
    dataset: Dataset,
    run: Path,
    protocol: Protocol,
    *,
    folds: list[int] | None,
    n_folds: int,
    imagenet_weights: Path | None = None,
    resume: bool = False,
    force: bool = False,
) -> Iterator[list[int]]:
    """Make the run folder, or make sure that an existing one may be continued; give the folds to train.

    Each fold is the test fold once, the next one validates, the others train (section II.B). Until the block ends
    nobody can replace the run; other folds of it may be trained by other processes.

    Raises
    ------
    InputError
        When ``run`` exists and neither ``resume`` nor ``force`` is set, when it was started differently, when a
        fold does not exist, or has one class only, when the ImageNet weights do not fit the model, or when the run is
        to be replaced while it is being trained.
    """
    folds = list(range(n_folds)) if folds is None else folds
    for fold in folds:
        if not 0 <= fold < n_folds:
            raise InputError(f"fold {fold} does not exist: there are folds 0 to {n_folds - 1}", "no_such_fold")
    ecgs = dataset.ecgs.iloc[dataset.labelled()]
    omi = ecgs["omi"].to_numpy(int)
    fold_of = assign_folds(omi, ecgs["patient_id"].to_numpy(str), n_folds, protocol.seed)
    for fold in folds:
        check_both_classes(omi, fold_of, fold, n_folds)
    if imagenet_weights:
        start_from_imagenet(build(protocol.model, contract=protocol.input), read_imagenet_weights(imagenet_weights))
    table = ecgs[["ecg_id", "patient_id"]].assign(fold=fold_of)
    with ExitStack() as work:
        with beginning(run):
            _start(run, dataset, protocol, n_folds, table, resume, force)
            work.enter_context(at_work(run))
        yield folds


def possible_folds(dataset: Dataset, wanted: int) -> int:
    """The number of folds that the dataset's patients allow, at most ``wanted``."""
    ecgs = dataset.ecgs.iloc[dataset.labelled()]
    return most_folds(ecgs["omi"].to_numpy(int), ecgs["patient_id"].to_numpy(str), wanted)


def place_of(dataset: Dataset, run: Path) -> Path:
    """Where the dataset of a run lies: one that was in memory, in the run."""
    return dataset.path or run / DATASET_FOLDER


def _start(
    run: Path, dataset: Dataset, protocol: Protocol, n_folds: int, folds: pd.DataFrame, resume: bool, force: bool
) -> None:
    """Make the run folder, or make sure that an existing one may be continued. Within :func:`beginning`."""
    settings = {**asdict(protocol), "n_folds": n_folds, "dataset_sha256": dataset.fingerprint()}
    if resume and run.exists():
        config = read_json(run / "config.json", "a run", FORMAT_VERSION, CONFIG_FIELDS)
        refuse_other_settings(run, deciding(config), deciding(settings))
        clear_leftovers(run)
        if (run / "folds.csv").exists():
            _refuse_other_folds(run / "folds.csv", folds)
        else:
            write_table(run / "folds.csv", folds)
        return
    refuse_existing(run, "config.json", force)
    refuse_inside(run, dataset.path)
    refuse_inside(run, dataset.path)
    if run.exists():
        refuse_busy(run)
    with new_folder(run, "config.json", force=force) as folder:
        write_table(folder / "folds.csv", folds)
        if dataset.path is None:
            (folder / DATASET_FOLDER).mkdir()
            write_dataset(dataset, folder / DATASET_FOLDER)
        about = {
            **where_dataset_is(place_of(dataset, run), run),
            "simulated": dataset.simulated,
            "ecgs": len(dataset.labelled()),
            "versions": versions(),
        }
        write_json(folder / "config.json", {"format_version": FORMAT_VERSION, "kind": "run", **settings, **about})


def refuse_other_settings(run: Path, started: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise InputError when what decides a result is not what it was when ``run`` was started."""
    for name, value in wanted.items():
        if started.get(name) == value:
            continue
        how = "resume with the same settings and dataset"
        if name == "backend":
            how = f"resume with KERAS_BACKEND={started.get(name)} in the environment"
        raise InputError(
            f"{run} was started with {name} {started.get(name)}, not {value}; {how}, or start another run",
            "other_settings",
        )


def _refuse_other_folds(path: Path, folds: pd.DataFrame) -> None:
    found = read_folds(path)[["ecg_id", "patient_id", "fold"]].reset_index(drop=True)
    if not found.equals(folds.astype({"ecg_id": str, "patient_id": str, "fold": int}).reset_index(drop=True)):
        raise InputError(
            f"{path} divides the ECGs otherwise than this version of omi-keras does; resume with the version that "
            f"started the run, or start another run",
            "other_folds",
        )
