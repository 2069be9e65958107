"""Choose the initial learning rate as the paper did: the highest average validation score (section II.B)."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from omi_keras.data.artifacts import read_json, refuse_existing, remove, versions, write_json
from omi_keras.data.dataset import Dataset
from omi_keras.recordings.errors import InputError
from omi_keras.training.cross_validation import Where, start_run, train_folds
from omi_keras.training.jobs import Job
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import FORMAT_VERSION, fold_folder, write_table

KIND = "learning-rate search"


def search_learning_rate(
    dataset: Dataset,
    out: Path,
    protocol: Protocol,
    rates: list[float],
    *,
    folds: list[int] | None,
    n_folds: int,
    imagenet_weights: Path | None = None,
    where: Where,
    resume: bool = False,
    force: bool = False,
    rate_epoch_done: Any = lambda rate, fold, row: None,
) -> dict[str, Any]:
    """Train every fold with every rate and compare validation scores; no test fold is ever looked at.

    Writes ``out/rates.csv`` (``learning_rate, folds, val_score_mean, val_score_sd, val_auc_mean, val_ap_mean,
    best_epoch_mean``, best first; SD over folds, ddof 1) and ``out/search.json``; the folds of each rate stay in
    ``out/rate-…``.

    Raises
    ------
    InputError
        As :func:`omi_keras.training.cross_validation.start_run`, and when a fold failed.
    """
    settings = {name: value for name, value in asdict(protocol).items() if name != "learning_rate"}
    if not (resume and out.exists()):
        refuse_existing(out, "search.json", force)
        remove(out)
        out.mkdir(parents=True)
        _note(out, dataset, settings)
    else:
        read_json(out / "search.json", "a learning-rate search", FORMAT_VERSION, {"kind": str})
    jobs: dict[Job, float] = {}
    for rate in rates:
        run = out / f"rate-{rate:g}"
        wanted = start_run(
            dataset, run, replace(protocol, learning_rate=rate), folds=folds, n_folds=n_folds,
            imagenet_weights=imagenet_weights, resume=resume,
        )  # fmt: skip
        jobs |= {Job(dataset.path.absolute(), run, fold, imagenet_weights, tested=False): rate for fold in wanted}
    failed = train_folds(list(jobs), where, epoch_done=lambda job, row: rate_epoch_done(jobs[job], job.fold, row))
    if failed:
        job, error = next(iter(failed.items()))
        raise InputError(
            f"{len(failed)} folds are missing, first fold {job.fold} of {job.run.name}: {error}; continue with the "
            f"same command and --resume",
            "incomplete",
        )
    table = _table(jobs)
    write_table(out / "rates.csv", table)
    best = {"learning_rate": float(table["learning_rate"].iloc[0]), "rates": table.to_dict("records")}
    return _note(out, dataset, settings | best)


def _table(jobs: dict[Job, float]) -> pd.DataFrame:
    rows = []
    for job, rate in jobs.items():
        fields = {"validation.score": float, "best_epoch": int}
        metrics = read_json(fold_folder(job.run, job.fold) / "metrics.json", "a finished fold", FORMAT_VERSION, fields)
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


def _note(out: Path, dataset: Dataset, content: dict[str, Any]) -> dict[str, Any]:
    content = {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "simulated": dataset.simulated,
        "dataset": str(dataset.path),
        "dataset_sha256": dataset.fingerprint(),
        "versions": versions(),
        **content,
    }
    write_json(out / "search.json", content)
    return content
