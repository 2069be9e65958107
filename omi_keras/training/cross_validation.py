"""Cross-validation: some or all folds of a dataset, here or elsewhere, resumable."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from omi_keras.data.artifacts import FieldKind, read_json, sha256
from omi_keras.data.dataset import Dataset, load_dataset
from omi_keras.data.folds import FOLDS
from omi_keras.models.archive import errors_name
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.models.weights.imagenet import read_imagenet_weights, weights_file
from omi_keras.recordings.errors import InputError
from omi_keras.training.fold import Cohort, train_fold
from omi_keras.training.jobs import Job, JobEpochDone, run_jobs
from omi_keras.training.locks import in_turn
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import (
    CONFIG_FIELDS,
    FEATURES_FILE,
    FEATURES_LOCK,
    FORMAT_VERSION,
    METRICS_FIELDS,
    PARTIAL_FEATURES_FILE,
    Run,
    fold_folder,
    load_run,
    read_folds,
    refuse_foreign,
    run_id,
)
from omi_keras.training.runtime import prepare_process
from omi_keras.training.settings import settle, started_with
from omi_keras.training.started import place_of, possible_folds, started_run


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
    dataset: Dataset,
    run: str | Path,
    model: str = "ecg-smart-net",
    *,
    split: int = FOLDS,
    folds: Sequence[int] | None = None,
    resume: bool = False,
    force: bool = False,
    callbacks: Sequence[Any] = (),
    jobs: int = 1,
    scheduler: str = "local",
    imagenet_weights: str | Path | None = None,
    mixed_precision: bool | None = None,
    threads: int | None = None,
    devices: int | None = None,
    **protocol: Any,
) -> Run:
    """Train a model on some or all folds of a dataset by the paper's protocol (section II.B); return the run.

    Progress is saved after every epoch: interrupted, call it again with ``resume=True``.

    Parameters
    ----------
    dataset
        What to learn from. One that is in memory is written into the run, as ``run/dataset``.
    run
        The folder to make.
    model
        One of :data:`omi_keras.models.MODELS`.
    split
        Number of patient-grouped stratified folds; each is tested once, the next one validates, the others train. Small
        datasets have fewer, as many as there are patients of the rarer class.
    folds
        Those to train, by number; all when None.
    resume, force
        Go on with an interrupted run; replace a run that is there.
    callbacks
        :class:`keras.callbacks.Callback` objects that hear of every epoch.
    jobs, scheduler
        Folds at a time on this machine, or the address of a Dask scheduler, ``"dask://HOST:PORT"``.
    imagenet_weights
        What a ResNet-18 starts from.
    mixed_precision, threads, devices
        16 bits (None: on a GPU only), threads of each fold (None: the cores divided by ``jobs``), and devices that
        share each batch (JAX only).
    protocol
        Fields of :class:`omi_keras.training.Protocol`, such as ``epochs=20, learning_rate=1e-4, seed=1``; what is left
        out is the paper's.

    Raises
    ------
    InputError
        When a setting is unknown, a dataset on disk was changed in memory, the run exists or was started otherwise, a
        fold has one class only, training diverges, or a fold could not be trained.

    Examples
    --------
    >>> import omi_keras as omi
    >>> run = omi.cross_validate(dataset, folder / "run", model="mayo-alvd", split=3, folds=[0], epochs=1, batch_size=8)
    >>> [result.fold for result in run.results]
    [0]
    """
    run, weights = Path(run), Path(imagenet_weights).absolute() if imagenet_weights else None
    _refuse_changed(dataset)
    settled = settle(
        model, started_with(run) if resume else {}, jobs=jobs, mixed_precision=mixed_precision, threads=threads,
        imagenet_weights=weights, devices=devices, processes=jobs if scheduler == "local" else 0, **protocol,
    )  # fmt: skip
    wanted = None if folds is None else sorted(set(folds))
    with started_run(
        dataset, run, settled, folds=wanted, n_folds=possible_folds(dataset, split), imagenet_weights=weights,
        resume=resume, force=force,
    ) as started:  # fmt: skip
        place = place_of(dataset, run)
        work = [Job(place.absolute(), run.absolute(), fold, weights) for fold in started]
        heard = {"callbacks": tuple(callbacks)} if callbacks else {}
        failed = train_folds(work, Where(jobs, scheduler, settled.devices), epoch_done=lambda job, row: None, **heard)
        if failed:
            why = "; ".join(f"fold {job.fold}: {error}" for job, error in failed.items())
            raise InputError(f"{run} lacks {len(failed)} folds: {why}; continue with resume=True", "incomplete")
    return load_run(run)


def _refuse_changed(dataset: Dataset) -> None:
    """Who trains a fold reads the files; what was changed in memory since would divide the folds and train none."""
    if dataset.path is not None and not load_dataset(dataset.path).ecgs.equals(dataset.ecgs):
        raise InputError(
            f"the ECGs of {dataset.path} were changed in memory, and a run reads its files; train on dataset.part(), "
            "which is what is in memory, or save it",
            "changed",
        )


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
    elif callbacks.get("callbacks"):
        raise InputError(
            "Keras callbacks hear of folds that are trained in this process: with several jobs or a cluster, leave "
            "callbacks out and read history.csv, which grows with every epoch",
            "callbacks",
        )
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
