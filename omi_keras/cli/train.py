"""omi-keras train: cross-validate a model on a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from omi_keras.cli.display import Display
from omi_keras.cli.options import FOLDER
from omi_keras.cli.terminal import CHECK_FAILED, fail, finite, result
from omi_keras.cli.training_options import prepared, protocol_options, rows_of, stoppable, tell_unused
from omi_keras.models.catalogue import MODELS, RANDOM_FOREST
from omi_keras.recordings.errors import InputError


@click.command()
@click.argument("dataset", type=FOLDER)
@click.argument("run", type=FOLDER)
@click.option("--model", type=click.Choice(MODELS), default=MODELS[0], show_default=True)
@click.option(
    "--learning-rate",
    callback=finite,
    type=click.FloatRange(0, 10, min_open=True),
    help="Initial rate  [default: the paper's]",
)
@click.option("--tensorboard", is_flag=True, help="Also write RUN/tensorboard: every epoch for TensorBoard.")
@protocol_options
def train(
    dataset: Path, run: Path, model: str, learning_rate: float | None, tensorboard: bool,
    as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Cross-validate a model on DATASET into folder RUN, by the paper's protocol.

    Patient-grouped stratified folds; each is tested once, the next one validates, the others train. The epoch
    with the best validation score (2/3 AUC + 1/3 average precision) is kept. Progress is saved after every
    epoch: stop with Ctrl-C, continue with --resume. At the end, RUN/report.html shows curves and tables.

    Folds are independent: --jobs trains several at the same time on this machine, --scheduler on a cluster. A fold
    whose process dies is taken up again from its last epoch. With KERAS_BACKEND=jax in the environment the networks
    train on JAX, without TensorFlow. Several commands may train different --folds of one RUN at the same time.

    --split-column and --leave-out divide the patients by a column of the dataset instead, and --start goes on from a
    model: docs/how-to/own-splits.md.

    random-forest grows on engineered features of the median beats instead: it has no epochs, batches or learning
    rate; its few hyper-parameters are chosen by the same validation score on the same folds.

    \b
    Examples:
      omi-keras train dataset/ run/ --model ecg-smart-net --folds 0 --epochs 20 --learning-rate 1e-4
      omi-keras train dataset/ run/ --model mayo-alvd --scheduler dask://cluster:8786
      omi-keras train dataset/ run/ --leave-out site
      omi-keras train dataset/ run/ --split-column part --start model/
    """
    tell_unused((model,))
    from omi_keras.data.artifacts import refuse_existing

    if not options["resume"]:
        refuse_existing(run, "config.json", options["force"])
    data, protocol, start, where = prepared(dataset, run, model, learning_rate, options)
    from omi_keras.training.cross_validation import read_metrics, train_folds
    from omi_keras.training.jobs import Job
    from omi_keras.training.started import started_run

    if tensorboard and model != RANDOM_FOREST:
        _needs_tensorflow()
    resume, force = options["resume"], options["force"]
    with (
        stoppable(f"omi-keras train {dataset} {run} ... --resume"),
        started_run(data, run, protocol, **start, resume=resume, force=force) as folds,
    ):
        jobs = [
            Job(dataset.absolute(), run.absolute(), fold, start["imagenet_weights"], tensorboard=tensorboard)
            for fold in folds
        ]
        with Display(len(jobs), already=len(read_metrics(run, folds)), epochs=rows_of(protocol)) as display:
            failed = train_folds(
                jobs, where, epoch_done=lambda job, row: display.epoch(f"fold {job.fold}", row),
                fold_done=lambda job: display.fold_done(f"fold {job.fold}"),
                **({"step_done": display.step} if where.here else {}),
            )  # fmt: skip
        results, page = read_metrics(run, folds), []
        if results:
            from omi_keras.report import write_run_page

            page = [f"to read: {write_run_page(run, dataset)}"]
    mark, step = " (simulated)" if data.simulated else "", "candidate" if model == RANDOM_FOREST else "epoch"
    text = [
        f"fold {fold}{_left_out(m)}{mark}: "
        f"validation AUC {m['validation']['auc']:.3f}, AP {m['validation']['ap']:.3f}; "
        f"test AUC {m['test']['auc']:.3f}, AP {m['test']['ap']:.3f}; best {step} {m['best_epoch']}"
        for fold, m in results.items()
    ]
    missing = [fold for fold in folds if fold not in results]
    content = {"run": str(run), "simulated": data.simulated, "folds": results, "missing": missing}
    if model != RANDOM_FOREST:
        content["precision"] = protocol.precision
    result(content, as_json, "\n".join([*text, *page]))
    if failed:
        why = "; ".join(f"fold {job.fold}: {error}" for job, error in failed.items())
        fail(f"{run} lacks {len(missing)} of {len(folds)} folds: {why}; continue with --resume", CHECK_FAILED)


def _left_out(metrics: dict[str, Any]) -> str:
    return f", {metrics['left_out']} left out" if "left_out" in metrics else ""


def _needs_tensorflow() -> None:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"--tensorboard needs TensorFlow and the backend is {keras.backend.backend()}; leave it out: history.csv "
            f"has the same numbers",
            "backend",
        )
