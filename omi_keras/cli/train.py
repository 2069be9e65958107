"""Commands that train: train, search-lr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omi_keras.cli.display import Display
from omi_keras.cli.options import FOLDER, force_option, json_option, out_argument, seed_option
from omi_keras.cli.terminal import CHECK_FAILED, INTERRUPTED, fail, finite, fold_list, number_list, result
from omi_keras.models.catalogue import MODELS, NETWORKS, RANDOM_FOREST
from omi_keras.recordings.errors import InputError

if TYPE_CHECKING:
    from omi_keras.data.dataset import Dataset
    from omi_keras.training.protocol import Protocol

# What train's options call the settings that a forest does not have.
NETWORK_OPTIONS = ("epochs", "batch_size", "learning_rate", "balance", "mixed_precision", "tensorboard", "threads")


def protocol_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of everything that trains."""
    for option in (
        json_option,
        force_option,
        seed_option,
        click.option("--resume", is_flag=True, help="Continue what was interrupted, with the same settings."),
        click.option(
            "--scheduler", default="local", show_default=True, metavar="local|dask://HOST:PORT",
            help="Train folds on a Dask cluster whose workers see the same files (needs the distributed extra).",
        ),
        click.option(
            "--jobs", type=click.IntRange(1),
            help="Folds at the same time, each with a GPU or its part of the cores  [default: one for each GPU, or 1]",
        ),
        click.option(
            "--threads", type=click.IntRange(1),
            help="Threads of each fold on a CPU: the same number gives the same bits.  [default: the cores of this "
            "machine divided by --jobs]",
        ),
        click.option(
            "--imagenet-weights", type=FOLDER,
            help="Start resnet18 from torchvision's state dict, or from the folder of KerasHub's resnet_18_imagenet.",
        ),
        click.option(
            "--mixed-precision/--no-mixed-precision", default=None,
            help="Compute in 16 bits: float16 with loss scaling on a GPU, bfloat16 on a CPU that has it. What is "
            "saved, and judged after each epoch, is float32.  [default: on a GPU only]",
        ),
        click.option(
            "--balance", type=click.Choice(["batch", "class"]), default="batch", show_default=True,
            help="batch: undersample within each batch, as the paper; class: full batches, half of them OMI.",
        ),
        click.option("--batch-size", type=click.IntRange(2), default=128, show_default=True),
        click.option("--epochs", type=click.IntRange(1), default=100, show_default=True),
        click.option(
            "--n-folds", type=click.IntRange(3, 100), default=10, show_default=True, help="Folds to divide into."
        ),
        click.option("--folds", default="all", show_default=True, help="all, or test folds by number: 0,3"),
    ):  # fmt: skip
        command = option(command)
    return command


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
@click.pass_context
def train(
    context: click.Context, dataset: Path, run: Path, model: str, learning_rate: float | None, tensorboard: bool,
    as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Cross-validate a model on DATASET into folder RUN, by the paper's protocol.

    Patient-grouped stratified folds; each is tested once, the next one validates, the others train. The epoch
    with the best validation score (2/3 AUC + 1/3 average precision) is kept. Progress is saved after every
    epoch: stop with Ctrl-C, continue with --resume. At the end, RUN/report.html shows curves and tables.

    Folds are independent: --jobs trains several at the same time on this machine, --scheduler on a cluster. A fold
    whose process dies is taken up again from its last epoch. With KERAS_BACKEND=jax in the environment the networks
    train on JAX, without TensorFlow. Several commands may train different --folds of one RUN at the same time.

    random-forest grows on engineered features of the median beats instead: it has no epochs, batches or learning
    rate; its few hyper-parameters are chosen by the same validation score on the same folds.

    \b
    Examples:
      omi-keras train dataset/ run/ --model ecg-smart-net --folds 0 --epochs 20 --learning-rate 1e-4
      omi-keras train dataset/ run/ --model mayo-alvd --scheduler dask://cluster:8786
    """
    if model == RANDOM_FOREST and (unused := _given(context, NETWORK_OPTIONS)):
        click.echo(f"random-forest has no use for {', '.join(unused)}", err=True)
    from omi_keras.data.artifacts import refuse_existing
    from omi_keras.models.catalogue import LEARNING_RATES

    if not options["resume"]:
        refuse_existing(run, "config.json", options["force"])
    rate = learning_rate or LEARNING_RATES.get(model, 0.0)
    data, protocol, start, where = _prepare(dataset, run, model, rate, options)
    from omi_keras.training.cross_validation import read_metrics, started_run, train_folds
    from omi_keras.training.jobs import Job

    if tensorboard and model != RANDOM_FOREST:
        _needs_tensorflow()
    resume, force = options["resume"], options["force"]
    with (
        _stoppable(f"omi-keras train {dataset} {run} ... --resume"),
        started_run(data, run, protocol, **start, resume=resume, force=force) as folds,
    ):
        jobs = [
            Job(dataset.absolute(), run.absolute(), fold, start["imagenet_weights"], tensorboard=tensorboard)
            for fold in folds
        ]
        with Display(len(jobs), already=len(read_metrics(run, folds)), epochs=_rows(protocol)) as display:
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
        f"fold {fold}{mark}: validation AUC {m['validation']['auc']:.3f}, AP {m['validation']['ap']:.3f}; "
        f"test AUC {m['test']['auc']:.3f}, AP {m['test']['ap']:.3f}; best {step} {m['best_epoch']}"
        for fold, m in results.items()
    ]
    missing = [fold for fold in folds if fold not in results]
    content = {"run": str(run), "simulated": data.simulated, "folds": results, "missing": missing}
    result(content, as_json, "\n".join([*text, *page]))
    if failed:
        why = "; ".join(f"fold {job.fold}: {error}" for job, error in failed.items())
        fail(f"{run} lacks {len(missing)} of {len(folds)} folds: {why}; continue with --resume", CHECK_FAILED)


@click.command("search-lr")
@click.argument("dataset", type=FOLDER)
@out_argument
@click.option("--model", type=click.Choice(NETWORKS), default=NETWORKS[0], show_default=True)
@click.option("--rates", default="1e-6,3e-6,1e-5,3e-5,1e-4,3e-4", show_default=True, help="Initial rates to compare.")
@protocol_options
def search_lr(dataset: Path, out: Path, model: str, rates: str, as_json: bool, **options: Any) -> None:
    """Compare initial learning rates on DATASET by their average validation score, as the paper chose its own.

    Every fold is trained with every rate; test folds are never looked at. OUT/rates.csv has the rates, best first.

    \b
    Example:
      omi-keras search-lr dataset/ search/ --model mayo-alvd --rates 3e-5,1e-4,3e-4 --folds 0,1 --epochs 20
    """
    wanted = number_list(rates, "--rates")
    from omi_keras.data.artifacts import refuse_existing

    if not options["resume"]:
        refuse_existing(out, "search.json", options["force"])
    data, protocol, start, where = _prepare(dataset, out, model, wanted[0], options)
    from omi_keras.training.search import search_learning_rate

    count = len(start["folds"] or range(start["n_folds"])) * len(wanted)
    with (
        _stoppable(f"omi-keras search-lr {dataset} {out} ... --resume"),
        Display(count, epochs=protocol.epochs) as display,
    ):
        steps: dict[str, Any] = {"step_done": display.step} if where.here else {}
        found = search_learning_rate(
            data, out, protocol, wanted, **start, where=where, resume=options["resume"], force=options["force"],
            rate_epoch_done=lambda rate, fold, row: display.epoch(f"rate {rate:g} fold {fold}", row),
            fold_done=lambda rate, fold: display.fold_done(f"rate {rate:g} fold {fold}"), **steps,
        )  # fmt: skip
    mark = " (simulated)" if data.simulated else ""
    text = [
        f"{row['learning_rate']:g}{mark}: validation score {row['val_score_mean']:.4f} over {row['folds']} folds, "
        f"AUC {row['val_auc_mean']:.4f}, AP {row['val_ap_mean']:.4f}"
        for row in found["rates"]
    ]
    result(found, as_json, "\n".join([*text, f"best: --learning-rate {found['learning_rate']:g}"]))


def _prepare(
    dataset: Path, run: Path, model: str, rate: float, options: dict[str, Any]
) -> tuple[Dataset, Protocol, dict[str, Any], Any]:
    """Dataset, protocol, what else starts a run, and where it is trained."""
    folds, weights = fold_list(options["folds"]), options["imagenet_weights"]
    if weights and model != "resnet18":
        raise click.UsageError("--imagenet-weights is for --model resnet18")
    from omi_keras.data.artifacts import sha256
    from omi_keras.data.dataset import load_dataset
    from omi_keras.data.duplicates import duplicates_of, duplicates_sentence
    from omi_keras.data.folds import most_folds

    data = load_dataset(dataset)
    if shared := duplicates_sentence(duplicates_of(data)):
        click.echo(f"in {dataset}, {shared}", err=True)
    ecgs = data.ecgs.iloc[data.labelled()]
    possible = most_folds(ecgs["omi"].to_numpy(int), ecgs["patient_id"].to_numpy(str), options["n_folds"])
    if possible < options["n_folds"]:
        why = f"only {possible} patients have the rarer label"
        click.echo(f"{why}: {possible} folds instead of {options['n_folds']}", err=True)
    from omi_keras.models.backend import load_backend
    from omi_keras.training.cross_validation import Where
    from omi_keras.training.devices import visible_gpus
    from omi_keras.training.protocol import Protocol
    from omi_keras.training.runtime import available_cores, use_threads

    jobs = options["jobs"] or max(1, len(visible_gpus()) if model != RANDOM_FOREST else 1)
    if model == RANDOM_FOREST:
        protocol = Protocol(model, 0, 0, 0.0, "class", options["seed"], backend=None)
    else:
        backend = load_backend()
        checksum = None
        if weights:
            from omi_keras.models.weights.imagenet import weights_file

            checksum = sha256(weights_file(weights))
        started = _started(run) if options["resume"] else {}
        threads = options["threads"] or started.get("threads") or max(1, available_cores() // jobs)
        use_threads(threads)  # before JAX is asked whether it has a GPU, which starts it
        protocol = Protocol(
            model, options["epochs"], options["batch_size"], rate, options["balance"], options["seed"],
            _precision(options["mixed_precision"], started), checksum, threads, backend,
        )  # fmt: skip
    where = Where(jobs, options["scheduler"])
    return data, protocol, {"folds": folds, "n_folds": possible, "imagenet_weights": weights}, where


def _started(folder: Path) -> dict[str, Any]:
    """What the run or search in the folder was started with, if it was."""
    from omi_keras.data.artifacts import read_json
    from omi_keras.training.run import CONFIG_FIELDS, FORMAT_VERSION

    for name, what, fields in (("config.json", "a run", CONFIG_FIELDS), ("search.json", "a search", {})):
        if (folder / name).exists():
            return read_json(folder / name, what, FORMAT_VERSION, fields)
    return {}


def _precision(wanted: bool | None, started: dict[str, Any]) -> Any:
    """What was asked for, in the form that the run was started with; else in the form that the machine is made for."""
    from omi_keras.training.runtime import has_gpu, mixed_precision

    if started:
        precision = started.get("precision", "float32")
        if wanted in (None, precision != "float32"):
            return precision
    return mixed_precision() if wanted or (wanted is None and has_gpu()) else "float32"


def _needs_tensorflow() -> None:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"--tensorboard needs TensorFlow and the backend is {keras.backend.backend()}; leave it out: history.csv "
            f"has the same numbers",
            "backend",
        )


def _rows(protocol: Protocol) -> int:
    """How many rows a fold's history.csv gets."""
    if protocol.model != RANDOM_FOREST:
        return protocol.epochs
    from omi_keras.training.forest import CANDIDATES

    return len(CANDIDATES)


@contextmanager
def _stoppable(command: str) -> Iterator[None]:
    """Within, Ctrl-C and SIGTERM end everything in order; who stopped hears how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        fail(f"stopped; continue with the same command and --resume: {command}", INTERRUPTED)


def _given(context: click.Context, names: tuple[str, ...]) -> list[str]:
    """The options among ``names`` that stand on the command line, as they are written there."""
    source = click.core.ParameterSource.COMMANDLINE
    return [f"--{name.replace('_', '-')}" for name in names if context.get_parameter_source(name) == source]
