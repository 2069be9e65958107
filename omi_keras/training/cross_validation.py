"""Cross-validation: some or all folds of a dataset, here or elsewhere, resumable."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from omi_keras.data.artifacts import read_json, refuse_existing, remove, sha256, versions, write_json
from omi_keras.data.dataset import Dataset, load_dataset
from omi_keras.data.folds import assign_folds, check_both_classes
from omi_keras.models.catalogue import RANDOM_FOREST, build
from omi_keras.models.weights.imagenet import read_imagenet_weights, start_from_imagenet, weights_file
from omi_keras.recordings.errors import InputError
from omi_keras.training.fold import Cohort, train_fold
from omi_keras.training.jobs import Job, JobEpochDone, run_jobs
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import (
    CONFIG_FIELDS,
    FEATURES_FILE,
    FORMAT_VERSION,
    METRICS_FIELDS,
    fold_folder,
    read_folds,
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
    """

    jobs: int = 1
    scheduler: str = "local"

    @property
    def here(self) -> bool:
        """Whether in this very process."""
        return self.jobs == 1 and self.scheduler == "local"


def cross_validate(
    dataset: Dataset, run: Path, protocol: Protocol, *, folds: list[int] | None = None, n_folds: int
) -> dict[int, dict[str, Any]]:
    """A whole run in this process; return ``metrics.json`` of each fold. Raises as :func:`start_run` does."""
    wanted = start_run(dataset, run, protocol, folds=folds, n_folds=n_folds)
    train_folds([Job(dataset.path, run, fold) for fold in wanted], Where(), epoch_done=lambda job, row: None)
    return read_metrics(run, wanted)


def start_run(
    dataset: Dataset,
    run: Path,
    protocol: Protocol,
    *,
    folds: list[int] | None,
    n_folds: int,
    imagenet_weights: Path | None = None,
    resume: bool = False,
    force: bool = False,
) -> list[int]:
    """Make the run folder, or make sure that an existing one may be continued; return the folds to train.

    Each fold is the test fold once, the next one validates, the others train (section II.B).

    Raises
    ------
    InputError
        When ``run`` exists and neither ``resume`` nor ``force`` is set, when it was started differently, when a
        fold does not exist, or has one class only, or when the ImageNet weights do not fit the model.
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
    _start(run, dataset, protocol, n_folds, resume, force)
    write_table(run / "folds.csv", ecgs[["ecg_id", "patient_id"]].assign(fold=fold_of))
    return folds


def train_folds(jobs: list[Job], where: Where, *, epoch_done: JobEpochDone, **callbacks: Any) -> dict[Job, InputError]:
    """Do the jobs of runs that were started; return what failed.

    In this process the first failure is raised. A fold that is finished is left as it is.
    """
    jobs = [job for job in jobs if not fold_folder(job.run, job.fold).exists()]
    fold_done = callbacks.pop("fold_done", lambda job: None)
    if where.here:
        for job in jobs:
            do_job(job, epoch_done=functools.partial(epoch_done, job), **callbacks)
            fold_done(job)
    failed = {}
    elsewhere = [] if where.here else run_jobs(do_job, jobs, where.jobs, where.scheduler, epoch_done=epoch_done)
    for job, error in elsewhere:
        if error:
            failed[job] = error
        else:
            fold_done(job)
    if not failed:
        for job in jobs:
            (job.run / FEATURES_FILE).unlink(missing_ok=True)
    return failed


def read_metrics(run: Path, folds: list[int]) -> dict[int, dict[str, Any]]:
    """``metrics.json`` of those of the folds that are finished."""
    done = {fold: fold_folder(run, fold) / "metrics.json" for fold in folds}
    return {
        fold: read_json(path, "a finished fold", FORMAT_VERSION, METRICS_FIELDS)
        for fold, path in done.items()
        if path.exists()
    }


# Keras' seed and precision belong to the process: one fold at a time, whatever threads a cluster's worker has.
_ONE_AT_A_TIME = threading.Lock()


def do_job(job: Job, **callbacks: Any) -> None:
    """Train one fold of a run that was started. All it needs is in the files that the job names."""
    with _ONE_AT_A_TIME:
        if fold_folder(job.run, job.fold).exists():
            return
        cohort, protocol = _load(job.dataset, job.run, job.imagenet_weights, sha256(job.run / "config.json"))
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
    if protocol.model == RANDOM_FOREST:
        inputs = _features(dataset, run)
    else:
        from omi_keras.models.backend import load_backend

        load_backend()
        prepare_process(protocol.threads)
        inputs = dataset.beats
        if imagenet_weights:
            start = read_imagenet_weights(imagenet_weights)
            if sha256(weights_file(imagenet_weights)) != protocol.imagenet_sha256:
                raise InputError(f"{run} was started with other ImageNet weights", "other_settings")
    return Cohort(dataset, labels, fold_by_row, int(config["n_folds"]), inputs, start), protocol


def _features(dataset: Dataset, run: Path) -> np.ndarray:
    """Features of all median beats, computed once for all folds."""
    from omi_keras.measures.features import beat_features

    path = run / FEATURES_FILE
    if not path.exists():
        partial = path.with_suffix(f".{threading.get_native_id()}.partial.npy")
        np.save(partial, beat_features(dataset.beats))
        partial.rename(path)
    return np.load(path, mmap_mode="r", allow_pickle=False)


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
