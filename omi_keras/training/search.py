"""Choose the initial learning rate as the paper did: the highest average validation score (section II.B)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from omi_keras.data.artifacts import read_json, versions, write_json
from omi_keras.data.dataset import Dataset
from omi_keras.model import Model
from omi_keras.recordings.errors import InputError
from omi_keras.training.config import DEFAULTS
from omi_keras.training.cross_validation import Where, read_metrics, train_folds
from omi_keras.training.jobs import Job
from omi_keras.training.locks import at_work, beginning
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import FORMAT_VERSION, where_dataset_is, write_table
from omi_keras.training.splits import Split
from omi_keras.training.started import checked, new_work, place_of, refuse_other_settings, started_run

KIND = "learning-rate search"
# Test folds are not looked at.
_FIELDS = {"validation.score": float, "best_epoch": int}


def search_learning_rate(
    dataset: Dataset,
    out: Path,
    protocol: Protocol,
    rates: list[float],
    *,
    folds: list[int] | None,
    split: Split,
    imagenet_weights: Path | None = None,
    start: Model | None = None,
    other_patients: bool = False,
    where: Where,
    resume: bool = False,
    force: bool = False,
    rate_epoch_done: Callable[[float, int, dict[str, float]], None] = lambda rate, fold, row: None,
    fold_done: Callable[[float, int], None] = lambda rate, fold: None,
    **callbacks: Any,
) -> dict[str, Any]:
    """Train every fold with every rate and compare validation scores; no test fold is ever looked at.

    Writes ``out/rates.csv`` (``learning_rate, folds, val_score_mean, val_score_sd, val_auc_mean, val_ap_mean,
    best_epoch_mean``, best first; SD over folds, ddof 1) and ``out/search.json``; the folds of each rate stay in
    ``out/rate-…``.

    Parameters
    ----------
    rate_epoch_done, fold_done
        Called with rate, fold and row of ``history.csv`` for every epoch, and with rate and fold for every finished
        fold.
    callbacks
        Of :func:`omi_keras.training.cross_validation.train_folds`.

    Raises
    ------
    InputError
        As :func:`omi_keras.training.cross_validation.started_run`, and when a fold failed.
    """
    settings = asdict(protocol) | split.settings()
    del settings["learning_rate"]
    checked(
        dataset, protocol, folds=folds, split=split, imagenet_weights=imagenet_weights, start=start,
        other_patients=other_patients,
    )  # fmt: skip
    jobs: dict[Job, float] = {}
    with ExitStack() as work:
        with beginning(out):
            _start(out, dataset, settings, start, resume, force)
            work.enter_context(at_work(out))
        for rate in rates:
            run = out / f"rate-{rate:g}" if float(f"{rate:g}") == rate else out / f"rate-{rate!r}"
            wanted = work.enter_context(
                started_run(
                    dataset, run, replace(protocol, learning_rate=rate), folds=folds, split=split,
                    imagenet_weights=imagenet_weights, start=start, other_patients=other_patients, resume=resume,
                )
            )  # fmt: skip
            place = place_of(dataset, run).absolute()
            jobs |= {Job(place, run, fold, imagenet_weights, tested=False): rate for fold in wanted}
            for fold in read_metrics(run, wanted, _FIELDS):
                fold_done(rate, fold)
        failed = train_folds(
            list(jobs), where, epoch_done=lambda job, row: rate_epoch_done(jobs[job], job.fold, row),
            fold_done=lambda job: fold_done(jobs[job], job.fold), **callbacks,
        )  # fmt: skip
        if failed:
            job, error = next(iter(failed.items()))
            raise InputError(
                f"{len(failed)} folds are missing, first fold {job.fold} of {job.run.name}: {error}; continue with the "
                f"same command and --resume",
                "incomplete",
            )
        return _finish(out, dataset, settings, jobs)


def _start(
    out: Path, dataset: Dataset, settings: dict[str, Any], start: Model | None, resume: bool, force: bool
) -> None:
    """Make the folder, or make sure that an existing one may be continued."""
    if resume and out.exists():
        started = read_json(out / "search.json", "a learning-rate search", FORMAT_VERSION, {"dataset_sha256": dict})
        # One of omi-keras 0.1.0 does not say into how many folds; its runs do.
        known = DEFAULTS | {"n_folds": settings["n_folds"]} | started
        wanted = settings | {"dataset_sha256": dataset.fingerprint()}
        refuse_other_settings(out, known, wanted)
        return
    with new_work(out, "search.json", dataset, start, force=force) as folder:
        _note(folder, out, dataset, settings)


def _finish(out: Path, dataset: Dataset, settings: dict[str, Any], jobs: dict[Job, float]) -> dict[str, Any]:
    table = _table(jobs)
    write_table(out / "rates.csv", table)
    best = {"learning_rate": float(table["learning_rate"].iloc[0]), "rates": table.to_dict("records")}
    return _note(out, out, dataset, settings | best)


def _table(jobs: dict[Job, float]) -> pd.DataFrame:
    rows = []
    for job, rate in jobs.items():
        metrics = read_metrics(job.run, [job.fold], _FIELDS)[job.fold]
        found = metrics["validation"]
        rows.append((rate, found["score"], found["auc"], found["ap"], metrics["best_epoch"]))
    folds = pd.DataFrame(rows, columns=["learning_rate", "score", "auc", "ap", "best_epoch"])
    table = folds.groupby("learning_rate", sort=True).agg(
        folds=("score", "size"),
        val_score_mean=("score", "mean"),
        val_score_sd=("score", "std"),
        val_auc_mean=("auc", "mean"),
        val_ap_mean=("ap", "mean"),
        best_epoch_mean=("best_epoch", "mean"),
    )
    # Of equal scores the lower rate, as sorting is stable.
    return table.reset_index().sort_values("val_score_mean", ascending=False, kind="stable")


def _note(folder: Path, out: Path, dataset: Dataset, content: dict[str, Any]) -> dict[str, Any]:
    content = {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "simulated": dataset.simulated,
        **where_dataset_is(dataset.path or out, out),
        "dataset_sha256": dataset.fingerprint(),
        "versions": versions(),
        **content,
    }
    write_json(folder / "search.json", content)
    return content
