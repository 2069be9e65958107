"""What the commands that train have in common: their options, and what these make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omi_keras.cli.options import FOLDER, force_option, json_option, seed_option
from omi_keras.cli.terminal import INTERRUPTED, fail, fold_list
from omi_keras.models.catalogue import RANDOM_FOREST

if TYPE_CHECKING:
    from omi_keras.data.dataset import Dataset
    from omi_keras.training.protocol import Protocol


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
            "--devices", type=click.IntRange(1),
            help="GPUs that share each batch of a fold, with KERAS_BACKEND=jax; --jobs times as many must be there.  "
            "[default: 1]",
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


def prepared(
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

    started = _started(run) if options["resume"] else {}
    devices = options["devices"] or started.get("devices") or 1
    jobs = options["jobs"] or max(1, len(visible_gpus()) // devices if model != RANDOM_FOREST else 1)
    if model == RANDOM_FOREST:
        devices = 1
        protocol = Protocol(model, 0, 0, 0.0, "class", options["seed"], backend=None)
    else:
        backend = load_backend()
        checksum = None
        if weights:
            from omi_keras.models.weights.imagenet import weights_file

            checksum = sha256(weights_file(weights))
        threads = options["threads"] or started.get("threads") or max(1, available_cores() // jobs)
        use_threads(threads)  # before JAX is asked whether it has a GPU, which starts it
        from omi_keras.training.data_parallel import check_devices

        check_devices(devices, jobs if options["scheduler"] == "local" else 0)
        protocol = Protocol(
            model, options["epochs"], options["batch_size"], rate, options["balance"], options["seed"],
            _precision(options["mixed_precision"], started), checksum, threads, backend, devices,
        )  # fmt: skip
    where = Where(jobs, options["scheduler"], devices)
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


def rows_of(protocol: Protocol) -> int:
    """How many rows a fold's history.csv gets."""
    if protocol.model != RANDOM_FOREST:
        return protocol.epochs
    from omi_keras.training.forest import CANDIDATES

    return len(CANDIDATES)


@contextmanager
def stoppable(command: str) -> Iterator[None]:
    """Within, Ctrl-C and SIGTERM end everything in order; who stopped hears how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        fail(f"stopped; continue with the same command and --resume: {command}", INTERRUPTED)
