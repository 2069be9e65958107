"""Make a run's folder, or take up one that was begun, and hold it while its folds are trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from omi_keras.data.artifacts import new_folder, refuse_existing, versions, write_json
from omi_keras.data.dataset import Dataset
from omi_keras.data.foreign import refuse_inside
from omi_keras.data.writer import write_dataset
from omi_keras.model import Model
from omi_keras.models.catalogue import build
from omi_keras.models.known_ecgs import known_sums
from omi_keras.models.weights.imagenet import read_imagenet_weights, start_from_imagenet
from omi_keras.recordings.errors import InputError
from omi_keras.training.config import CONFIG_VERSION, deciding, read_config
from omi_keras.training.locks import at_work, beginning, clear_leftovers, refuse_busy
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import read_folds, wanted_folds, where_dataset_is, write_table
from omi_keras.training.splits import Split
from omi_keras.training.start import keep_start, refuse_known

# Of a run whose dataset was in memory.
DATASET_FOLDER = "dataset"


@contextmanager
def started_run(
    dataset: Dataset,
    run: Path,
    protocol: Protocol,
    *,
    folds: list[int] | None,
    split: Split,
    imagenet_weights: Path | None = None,
    start: Model | None = None,
    other_patients: bool = False,
    resume: bool = False,
    force: bool = False,
) -> Iterator[list[int]]:
    """Make the run folder, or make sure that an existing one may be continued; give the folds to train.

    ``split`` says what each fold trains, validates and tests. Until the block ends nobody can replace the run; other
    folds of it may be trained by other processes.

    Raises
    ------
    InputError
        When ``run`` exists and neither ``resume`` nor ``force`` is set, when it was started differently, when a column
        does not divide the ECGs, a fold does not exist, or has one class only, when the ImageNet weights do not fit the
        model, when ``start`` knows who is to be judged, or when the run is to be replaced while it is being trained.
    """
    folds, table = checked(
        dataset, protocol, folds=folds, split=split, imagenet_weights=imagenet_weights, start=start,
        other_patients=other_patients,
    )  # fmt: skip
    with ExitStack() as work:
        with beginning(run):
            continued = resume and run.exists()
            _start(run, dataset, protocol, split, table, start, resume, force)
            _note_wanted(run, folds, split, continued)
            work.enter_context(at_work(run))
        yield folds


def checked(
    dataset: Dataset,
    protocol: Protocol,
    *,
    folds: list[int] | None,
    split: Split,
    imagenet_weights: Path | None,
    start: Model | None,
    other_patients: bool,
) -> tuple[list[int], pd.DataFrame]:
    """The folds to train and how the ECGs are divided; whatever forbids a run is told before anything is made.

    Raises
    ------
    InputError
        As :func:`started_run`, but for what stands on the disk.
    """
    folds = list(split.rounds) if folds is None else folds
    for fold in folds:
        if fold not in split.rounds:
            there = f"are folds 0 to {split.rounds[-1]}" if len(split.rounds) > 1 else "is fold 0 only"
            raise InputError(f"fold {fold} does not exist: there {there}", "no_such_fold")
    ecgs = dataset.ecgs.iloc[dataset.labelled()]
    table = split.divide(ecgs, protocol.seed)
    for fold in folds:
        split.check(table, ecgs["omi"].to_numpy(int), fold)
    if imagenet_weights:
        start_from_imagenet(build(protocol.model, contract=protocol.input), read_imagenet_weights(imagenet_weights))
    if start is not None:
        refuse_known(start, dataset, table, split, folds, other_patients=other_patients)
        _ = start.network  # a damaged file is told now
    return folds, table


def place_of(dataset: Dataset, run: Path) -> Path:
    """Where the dataset of a run lies: one that was in memory, in the run."""
    return dataset.path or run / DATASET_FOLDER


def _start(
    run: Path,
    dataset: Dataset,
    protocol: Protocol,
    split: Split,
    folds: pd.DataFrame,
    start: Model | None,
    resume: bool,
    force: bool,
) -> None:
    """Make the run folder, or make sure that an existing one may be continued. Within :func:`beginning`."""
    settings = {**asdict(protocol), **split.settings(), "dataset_sha256": dataset.fingerprint()}
    if resume and run.exists():
        config = read_config(run)
        refuse_other_settings(run, deciding(config), deciding(settings))
        clear_leftovers(run)
        if (run / "folds.csv").exists():
            _refuse_other_folds(run / "folds.csv", split, folds)
        else:
            write_table(run / "folds.csv", folds)
        return
    with new_work(run, "config.json", dataset, start, force=force) as folder:
        write_table(folder / "folds.csv", folds)
        if dataset.path is None:
            (folder / DATASET_FOLDER).mkdir()
            write_dataset(dataset, folder / DATASET_FOLDER)
        if start is not None:
            keep_start(start, folder)
        about: dict[str, Any] = {
            **where_dataset_is(place_of(dataset, run), run),
            "simulated": dataset.simulated,
            "ecgs": len(dataset.labelled()),
            "versions": versions(),
        }
        if start is not None:
            _, complete = known_sums(start.info, start.folds)
            about["start"] = {"path": str(start.path), "simulated": start.simulated, "complete": complete}
        write_json(folder / "config.json", {"format_version": CONFIG_VERSION, "kind": "run", **settings, **about})


@contextmanager
def new_work(out: Path, marker: str, dataset: Dataset, start: Model | None, *, force: bool) -> Iterator[Path]:
    """The new folder of a run, or of several, where nothing is that may not be replaced, is at work or learned from."""
    refuse_existing(out, marker, force)
    for source in (dataset.path, None if start is None else start.weights):
        refuse_inside(out, source)
    if out.exists():
        refuse_busy(out)
    with new_folder(out, marker, force=force) as folder:
        yield folder


def _note_wanted(run: Path, folds: list[int], split: Split, continued: bool) -> None:
    """Note in ``config.json`` that some folds only are to be trained: an ensemble is of all that were ever asked for.

    A run without the note is to have all of them.
    """
    config = read_config(run)
    wanted = sorted({*folds, *(wanted_folds(config) if continued else ())})
    noted = {name: value for name, value in config.items() if name != "folds"}
    if len(wanted) < len(split.rounds):
        noted["folds"] = wanted
    if noted != config:
        write_json(run / "config.json", noted)


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


def _refuse_other_folds(path: Path, split: Split, folds: pd.DataFrame) -> None:
    found, wanted = read_folds(path, split), folds.reset_index(drop=True)
    if not found[list(wanted.columns)].equals(wanted.astype({"ecg_id": str, "patient_id": str, "fold": int})):
        raise InputError(
            f"{path} divides the ECGs otherwise than this version of omi-keras does; resume with the version that "
            f"started the run, or start another run",
            "other_folds",
        )
