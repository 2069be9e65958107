"""How good models become with more patients to learn from: training parts of growing size, the same tests for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from omi_keras.data.dataset import Dataset
from omi_keras.data.folds import FOLDS
from omi_keras.model import Model
from omi_keras.recordings.errors import InputError
from omi_keras.training.cross_validation import Where, read_metrics, train_folds
from omi_keras.training.jobs import Job
from omi_keras.training.learning_folder import (
    finished_parts,
    note_results,
    refuse_missing_patients,
    run_folder,
    start_curve,
)
from omi_keras.training.learning_tables import COLUMNS, RESAMPLES, LearningCurve, fold_rows, summarised
from omi_keras.training.locks import at_work, beginning
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import load_run, write_table
from omi_keras.training.settings import read_curve, settle, started_with
from omi_keras.training.splits import Split, split_of
from omi_keras.training.start import open_start
from omi_keras.training.started import checked, place_of, started_run

SIZES = (0.1, 0.25, 0.5, 1.0)


def learning_curve(
    dataset: Dataset,
    out: str | Path,
    models: str | Sequence[str] = "ecg-smart-net",
    *,
    sizes: Sequence[float] = SIZES,
    split: int | str = FOLDS,
    leave_out: str | None = None,
    first_ecg_only: bool = False,
    folds: Sequence[int] | None = None,
    resume: bool = False,
    force: bool = False,
    jobs: int = 1,
    scheduler: str = "local",
    imagenet_weights: str | Path | None = None,
    start: str | Path | Model | None = None,
    other_patients: bool = False,
    mixed_precision: bool | None = None,
    threads: int | None = None,
    devices: int | None = None,
    **protocol: Any,
) -> LearningCurve:
    """Train models on growing parts of the training patients; test all of them on the same ECGs.

    Each size is a run; a smaller training part lies in every larger one, whole patients, the same share of those with
    OMI. Validation and test parts are those of :func:`omi_keras.cross_validate` with the same seed, whole.

    Parameters
    ----------
    dataset
        What to learn from.
    out
        The folder to make.
    models
        Names among :data:`omi_keras.models.MODELS`.
    sizes
        Shares of the training patients, above 0 to 1.
    resume
        Go on with a curve that was begun: with the same settings, and more models, sizes or folds if they are asked
        for. The tables are of all that is finished.
    split, leave_out, first_ecg_only, folds, force, jobs, scheduler
    imagenet_weights, start, other_patients, mixed_precision, threads, devices, protocol
        As :func:`omi_keras.cross_validate`; the settings of epochs are those of networks.

    Raises
    ------
    InputError
        As :func:`omi_keras.cross_validate`, when a size is none or leaves no patient of a class, and when a curve is
        resumed with another seed, or a model of it with other settings.

    Examples
    --------
    >>> from omi_keras.training import learning_curve
    >>> options = {"split": 3, "folds": [0], "epochs": 1, "batch_size": 8}
    >>> curve = learning_curve(dataset, folder / "curve", "mayo-alvd", sizes=[0.5, 1], **options)
    >>> curve.summary["size"].tolist()
    [0.5, 1.0]
    """
    if "training_fraction" in protocol:
        raise InputError("training_fraction is what sizes say; leave it out", "setting")
    names = [models] if isinstance(models, str) else list(models)
    weights = Path(imagenet_weights).absolute() if imagenet_weights else None
    begin = None if start is None else open_start(start)
    settled = {
        name: settle(
            name, started_with(Path(out), name) if resume else {}, jobs=jobs,
            mixed_precision=mixed_precision, threads=threads, devices=devices,
            imagenet_weights=weights if name == "resnet18" else None, start=begin,
            processes=jobs if scheduler == "local" else 0, **protocol,
        )
        for name in names
    }  # fmt: skip
    where = Where(jobs, scheduler, max((each.devices for each in settled.values()), default=1))
    if not resume:
        where.refuse_unreachable()
    return train_learning_curve(
        dataset, Path(out), settled, sizes, folds=None if folds is None else sorted(set(folds)),
        split=split_of(dataset, split, leave_out=leave_out, first_ecg_only=first_ecg_only), imagenet_weights=weights,
        start=begin, other_patients=other_patients, where=where, resume=resume, force=force,
    )  # fmt: skip


def train_learning_curve(
    dataset: Dataset,
    out: Path,
    protocols: Mapping[str, Protocol],
    sizes: Sequence[float],
    *,
    folds: list[int] | None,
    split: Split,
    imagenet_weights: Path | None = None,
    start: Model | None = None,
    other_patients: bool = False,
    where: Where,
    resume: bool = False,
    force: bool = False,
    epoch_done: Callable[[str, dict[str, float]], None] = lambda label, row: None,
    fold_done: Callable[[str], None] = lambda label: None,
    **callbacks: Any,
) -> LearningCurve:
    """:func:`learning_curve` with what was settled.

    Parameters
    ----------
    protocols
        Model → its protocol.
    epoch_done, fold_done
        Called with a fold's label and its row of ``history.csv`` for every epoch, and for every finished fold.
    callbacks
        Of :func:`omi_keras.training.cross_validation.train_folds`.
    """
    sizes = checked_sizes(sizes)
    if not protocols:
        raise InputError("no model is named; take some of those in omi_keras.models.MODELS", "unknown_model")
    jobs: dict[Job, str] = {}
    common: dict[str, Any] = {"split": split, "start": start, "other_patients": other_patients}
    for name, protocol in protocols.items():
        weights = imagenet_weights if name == "resnet18" else None
        wanted, _ = checked(dataset, protocol, folds=folds, imagenet_weights=weights, **common)
    refuse_missing_patients(dataset, split, protocol, wanted, sizes)
    with ExitStack() as work:
        with beginning(out):
            start_curve(out, dataset, split, protocols, wanted, start, resume=resume, force=force)
            work.enter_context(at_work(out))
        for name, protocol in protocols.items():
            weights = imagenet_weights if name == "resnet18" else None
            for size in sizes:
                run = run_folder(out, name, size)
                part = replace(protocol, training_fraction=size)
                work.enter_context(
                    started_run(
                        dataset, run, part, folds=wanted, imagenet_weights=weights, resume=resume, **common
                    )
                )  # fmt: skip
                place = place_of(dataset, run).absolute()
                for fold in wanted:
                    jobs[Job(place, run.absolute(), fold, weights)] = f"{name} size {size:g} fold {fold}"
                for fold in read_metrics(run, wanted):
                    fold_done(f"{name} size {size:g} fold {fold}")
        failed = train_folds(
            list(jobs), where, epoch_done=lambda job, row: epoch_done(jobs[job], row),
            fold_done=lambda job: fold_done(jobs[job]), **callbacks,
        )  # fmt: skip
        if failed:
            job, error = next(iter(failed.items()))
            raise InputError(
                f"{len(failed)} folds are missing, first {jobs[job]}: {error}; continue with the same command and "
                f"--resume",
                "incomplete",
            )
        return _finish(out, dataset)


def checked_sizes(sizes: Sequence[float]) -> list[float]:
    """The sizes, ascending, each once.

    Raises
    ------
    InputError
        When there is none, or one is not above 0 and at most 1.
    """
    try:
        found = sorted({float(size) for size in sizes})
    except (TypeError, ValueError):
        raise InputError(f"sizes {sizes!r} are no list of numbers above 0 up to 1", "sizes") from None
    if not found or not all(0 < size <= 1 for size in found):
        raise InputError(
            f"sizes {', '.join(f'{size:g}' for size in found) or 'of nothing'} are no shares of the training patients; "
            f"take numbers above 0 up to 1",
            "sizes",
        )
    return found


def _finish(out: Path, dataset: Dataset) -> LearningCurve:
    """Tables of all runs in the folder that were tested on every fold of the curve, whoever trained them when."""
    whole, lacking = finished_parts(out)
    curve = read_curve(out)
    runs = {}
    for name, size in whole:
        run = load_run(run_folder(out, name, size))
        runs[name, size] = replace(run, results=[result for result in run.results if result.fold in curve["folds"]])
    rows = [row for run in runs.values() for row in fold_rows(dataset, run)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    # Seeded as the runs are divided: the same patients are drawn for every model and size.
    summary = summarised(table, runs, curve["seed"], dataset.simulated)
    write_table(out / "learning_curve.csv", table)
    write_table(out / "learning_curve_summary.csv", summary)
    note_results(out, dataset, {"resamples": RESAMPLES, "summary": summary.to_dict("records")})
    return LearningCurve(out, table, summary, dataset.simulated, lacking)
