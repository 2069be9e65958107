"""Cross-validation: some or all folds of a dataset, here or elsewhere, resumable."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from omi_keras.data.artifacts import FieldKind, new_folder, read_json, refuse_existing, sha256, versions, write_json
from omi_keras.data.dataset import Dataset, load_dataset
from omi_keras.data.folds import assign_folds, check_both_classes
from omi_keras.models.archive import errors_name
from omi_keras.models.catalogue import RANDOM_FOREST, build
from omi_keras.models.weights.imagenet import read_imagenet_weights, start_from_imagenet, weights_file
from omi_keras.recordings.errors import InputError
from omi_keras.training.fold import Cohort, train_fold
from omi_keras.training.jobs import Job, JobEpochDone, run_jobs
from omi_keras.training.locks import at_work, beginning, clear_leftovers, in_turn, refuse_busy
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import (
    CONFIG_FIELDS,
    FEATURES_FILE,
    FEATURES_LOCK,
    FORMAT_VERSION,
    METRICS_FIELDS,
    PARTIAL_FEATURES_FILE,
    deciding,
    fold_folder,
    read_folds,
    refuse_foreign,
    run_id,
    where_dataset_is,
    write_table,
)
from omi_keras.training.runtime import prepare_process


@dataclass(frozen=True)
class Where:
    """Where the folds are trained.

    Attributes
    ----------
    jobs
        Processes on this machine; 1 trains in this process.
    scheduler
        ``"local"``, or ``"dask://HOST:PORT"``.
    devices
        GPUs of each process on this machine.
    """

    jobs: int = 1
    scheduler: str = "local"
    devices: int = 1

    @property
    def here(self) -> bool:
        """Whether in this very process."""
        return self.jobs == 1 and self.scheduler == "local"


def cross_validate(
    dataset: Dataset, run: Path, protocol: Protocol, *, folds: list[int] | None = None, n_folds: int
) -> dict[int, dict[str, Any]]:
    """A whole run in this process; return ``metrics.json`` of each fold. Raises as :func:`start_run` does."""
    with started_run(dataset, run, protocol, folds=folds, n_folds=n_folds) as wanted:
        train_folds([Job(dataset.path, run, fold) for fold in wanted], Where(), epoch_done=lambda job, row: None)
        return read_metrics(run, wanted)


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
        start_from_imagenet(build(protocol.model), read_imagenet_weights(imagenet_weights))
    table = ecgs[["ecg_id", "patient_id"]].assign(fold=fold_of)
    with ExitStack() as work:
        with beginning(run):
            _start(run, dataset, protocol, n_folds, table, resume, force)
            work.enter_context(at_work(run))
        yield folds


def train_folds(jobs: list[Job], where: Where, *, epoch_done: JobEpochDone, **callbacks: Any) -> dict[Job, InputError]:
    """Do the jobs of runs that were started; return what failed.

    In this process the first failure is raised. A fold that is finished is left as it is.
    """
    jobs = [job for job in jobs if not fold_folder(job.run, job.fold).exists()]
    fold_done = callbacks.pop("fold_done", lambda job: None)
    failed = {}
    if where.here:
        for job in jobs:
            do_job(job, epoch_done=functools.partial(epoch_done, job), **callbacks)
            fold_done(job)
    elif jobs:
        with closing(
            run_jobs(do_job, jobs, where.jobs, where.scheduler, devices=where.devices, epoch_done=epoch_done)
        ) as elsewhere:
            for job, error in elsewhere:
                if error:
                    failed[job] = error
                else:
                    fold_done(job)
    return failed


def read_metrics(
    run: Path, folds: list[int], fields: Mapping[str, FieldKind] = METRICS_FIELDS
) -> dict[int, dict[str, Any]]:
    """``metrics.json``, with these ``fields``, of those of the folds that are finished.

    Raises
    ------
    InputError
        When one of them was not made by this version or an older one, or belongs to another run.
    """
    config = read_json(run / "config.json", "a run", FORMAT_VERSION, CONFIG_FIELDS)
    found = {}
    for fold in folds:
        folder = fold_folder(run, fold)
        if (folder / "metrics.json").exists():
            found[fold] = read_json(folder / "metrics.json", "a finished fold", FORMAT_VERSION, fields)
            refuse_foreign(folder, found[fold], config)
    return found


# Keras' seed and precision belong to the process: one fold at a time, whatever threads a cluster's worker has.
_ONE_AT_A_TIME = threading.Lock()


def do_job(job: Job, **callbacks: Any) -> None:
    """Train one fold of a run that was started. All it needs is in the files that the job names."""
    with _ONE_AT_A_TIME:
        if fold_folder(job.run, job.fold).exists():
            return
        cohort, protocol = _load(job.dataset, job.run, job.imagenet_weights, sha256(job.run / "config.json"))
        if protocol.model == RANDOM_FOREST:
            # Opened for each fold and closed after it: no system but Linux removes a file that is open.
            cohort = replace(cohort, inputs=_features(cohort.dataset, job.run))
        train_fold(cohort, job, protocol, callbacks)


@functools.lru_cache(maxsize=1)
def _load(dataset_path: Path, run: Path, imagenet_weights: Path | None, config_sha256: str) -> tuple[Cohort, Protocol]:
    """What all folds of a run have in common; the checksum tells a run from one that was there before it."""
    config = read_json(run / "config.json", "a run", FORMAT_VERSION, CONFIG_FIELDS)
    protocol = Protocol(**{field.name: config.get(field.name, field.default) for field in fields(Protocol)})
    dataset = load_dataset(dataset_path)
    if dataset.fingerprint() != config["dataset_sha256"]:
        raise InputError(f"{run} was started with another dataset than {dataset_path}", "other_settings")
    folds = read_folds(run / "folds.csv")
    rows = dataset.labelled()
    labels, fold_by_row = np.full(len(dataset.ecgs), -1), np.full(len(dataset.ecgs), -1)
    labels[rows] = dataset.ecgs["omi"].iloc[rows].to_numpy(int)
    fold_by_row[rows] = folds["fold"].to_numpy()
    start: Mapping[str, np.ndarray] | None = None
    if protocol.model != RANDOM_FOREST:
        _prepare_backend(run, protocol)
        if imagenet_weights:
            start = read_imagenet_weights(imagenet_weights)
            if sha256(weights_file(imagenet_weights)) != protocol.imagenet_sha256:
                raise InputError(f"{run} was started with other ImageNet weights", "other_settings")
    return (
        Cohort(dataset, labels, fold_by_row, int(config["n_folds"]), dataset.beats, start, run_id(config)),
        protocol,
    )


def _prepare_backend(run: Path, protocol: Protocol) -> None:
    from omi_keras.models.backend import load_backend

    if (backend := load_backend()) != protocol.backend:
        raise InputError(
            f"{run} is trained on {protocol.backend}, and the process that took a fold of it has {backend}; start the "
            f"workers with KERAS_BACKEND={protocol.backend} in their environment",
            "other_backend",
        )
    prepare_process(protocol.threads)
    from omi_keras.training.data_parallel import check_devices

    check_devices(protocol.devices)


def _features(dataset: Dataset, run: Path) -> np.ndarray:
    """Features of all median beats, computed once for all folds."""
    from omi_keras.measures.features import beat_features

    path, partial = run / FEATURES_FILE, run / PARTIAL_FEATURES_FILE
    busy = f"the features of {dataset.path} are being computed by another process; continue later with --resume"
    while True:
        # Another process that finishes the run removes them.
        with contextlib.suppress(FileNotFoundError):
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with in_turn(run / FEATURES_LOCK, busy, patience=3600):
            if path.exists():
                continue
            try:
                with errors_name(partial):
                    np.save(partial, beat_features(dataset.beats))
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise


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
    if run.exists():
        refuse_busy(run)
    with new_folder(run, "config.json", force=force) as folder:
        write_table(folder / "folds.csv", folds)
        about = {
            **where_dataset_is(dataset.path, run),
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
