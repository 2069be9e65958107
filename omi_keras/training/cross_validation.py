"""Cross-validation: some or all folds of a dataset, here or elsewhere, resumable."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from omi_keras.data.artifacts import FieldKind, read_json, sha256
from omi_keras.data.dataset import Dataset, load_dataset
from omi_keras.data.folds import FOLDS
from omi_keras.data.stops import python_ctrl_c
from omi_keras.data.workers import dask_client
from omi_keras.model import Model
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.models.weights.imagenet import read_imagenet_weights, start_from_imagenet, weights_file
from omi_keras.recordings.errors import InputError
from omi_keras.training.config import read_config, run_id
from omi_keras.training.fold import Cohort, train_fold
from omi_keras.training.forest_features import features_of
from omi_keras.training.jobs import Job, JobEpochDone, run_jobs
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import (
    FORMAT_VERSION,
    METRICS_FIELDS,
    Run,
    fold_folder,
    load_run,
    read_folds,
    refuse_foreign,
)
from omi_keras.training.runtime import prepare_process
from omi_keras.training.settings import settle, started_with
from omi_keras.training.splits import Split, split_of
from omi_keras.training.start import Start, open_start, start_of
from omi_keras.training.started import place_of, started_run


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

    def refuse_unreachable(self) -> None:
        """Raise InputError when nobody answers at the scheduler: before a folder is made, not after."""
        if self.scheduler != "local":
            with dask_client(self.scheduler):
                pass


def cross_validate(
    dataset: Dataset,
    run: str | Path,
    model: str = "ecg-smart-net",
    *,
    split: int | str = FOLDS,
    leave_out: str | None = None,
    first_ecg_only: bool = False,
    folds: Sequence[int] | None = None,
    resume: bool = False,
    force: bool = False,
    callbacks: Sequence[Any] = (),
    jobs: int = 1,
    scheduler: str = "local",
    imagenet_weights: str | Path | None = None,
    start: str | Path | Model | None = None,
    other_patients: bool = False,
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
        datasets have fewer, as many as there are patients of the rarer class. Or a column of the dataset whose values
        are ``train``, ``validation`` and ``test``: one round.
    leave_out
        A column of the dataset, such as ``"site"``: the ECGs with each of its values are tested once, by a model that
        saw the others; a patient-grouped stratified tenth of these validates.
    first_ecg_only
        Validate and test on one ECG of each patient (:func:`omi_keras.data.first_ecgs.first_ecgs`).
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
    start
        The model, or its folder, that training goes on from (fine-tuning), with the learning rate of the protocol. Who
        trained or validated it must not be in the test or validation part here.
    other_patients
        Equal ids in ``start`` and ``dataset`` name other people, as two hospitals' own numbers do.
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
        column does not divide the patients, a fold has one class only, ``start`` is another network or knows who is
        tested, training diverges, or a fold could not be trained.

    Examples
    --------
    >>> import omi_keras as omi
    >>> run = omi.cross_validate(dataset, folder / "run", model="mayo-alvd", split=3, folds=[0], epochs=1, batch_size=8)
    >>> [result.fold for result in run.results]
    [0]
    """
    run, weights = Path(run), Path(imagenet_weights).absolute() if imagenet_weights else None
    begun = None if start is None else open_start(start)
    _refuse_changed(dataset)
    settled = settle(
        model, started_with(run, model) if resume else {}, jobs=jobs, mixed_precision=mixed_precision, threads=threads,
        imagenet_weights=weights, start=begun, devices=devices, processes=jobs if scheduler == "local" else 0,
        **protocol,
    )  # fmt: skip
    where = Where(jobs, scheduler, settled.devices)
    if not resume:
        where.refuse_unreachable()
    divided = split_of(dataset, split, leave_out=leave_out, first_ecg_only=first_ecg_only)
    wanted = None if folds is None else sorted(set(folds))
    with started_run(
        dataset, run, settled, folds=wanted, split=divided, imagenet_weights=weights, start=begun,
        other_patients=other_patients, resume=resume, force=force,
    ) as started:  # fmt: skip
        place = place_of(dataset, run)
        work = [Job(place.absolute(), run.absolute(), fold, weights) for fold in started]
        heard = {"callbacks": tuple(callbacks)} if callbacks else {}
        failed = train_folds(work, where, epoch_done=lambda job, row: None, **heard)
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
    config = read_config(run)
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
    with _ONE_AT_A_TIME, python_ctrl_c():
        if fold_folder(job.run, job.fold).exists():
            return
        cohort, protocol = _load(job.dataset, job.run, job.imagenet_weights, sha256(job.run / "config.json"))
        if protocol.model == RANDOM_FOREST:
            # Opened for each fold and closed after it: no system but Linux removes a file that is open.
            cohort = replace(cohort, inputs=features_of(cohort.dataset, job.run))
        train_fold(cohort, job, protocol, callbacks)


@functools.lru_cache(maxsize=1)
def _load(dataset_path: Path, run: Path, imagenet_weights: Path | None, config_sha256: str) -> tuple[Cohort, Protocol]:
    """What all folds of a run have in common; the checksum tells a run from one that was there before it."""
    config = read_config(run)
    protocol = Protocol.of(config)
    dataset = load_dataset(dataset_path)
    if dataset.fingerprint() != config["dataset_sha256"]:
        raise InputError(f"{run} was started with another dataset than {dataset_path}", "other_settings")
    split = Split.of(config)
    folds = read_folds(run / "folds.csv", split)
    rows = dataset.labelled()
    labels = np.full(len(dataset.ecgs), -1)
    labels[rows] = dataset.ecgs["omi"].iloc[rows].to_numpy(int)
    start: Start | None = None
    if protocol.model != RANDOM_FOREST:
        _prepare_backend(run, protocol)
        if imagenet_weights:
            start = functools.partial(start_from_imagenet, parameters=read_imagenet_weights(imagenet_weights))
            if sha256(weights_file(imagenet_weights)) != protocol.imagenet_sha256:
                raise InputError(f"{run} was started with other ImageNet weights", "other_settings")
        elif protocol.start_sha256:
            start = start_of(run, protocol)
    return Cohort(dataset, labels, split, folds, dataset.beats, start, run_id(config)), protocol


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
