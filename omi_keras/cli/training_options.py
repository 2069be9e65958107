"""What the commands that train have in common: their options, and what these make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omi_keras.beats.contracts import CONTRACTS
from omi_keras.cli.options import FOLDER, force_option, json_option, seed_option
from omi_keras.cli.terminal import INTERRUPTED, fail, finite, fold_list
from omi_keras.models.catalogue import NETWORKS, RANDOM_FOREST
from omi_keras.training.protocol import Protocol

if TYPE_CHECKING:
    from omi_keras.data.dataset import Dataset

# What is not asked for is as in the paper, for every network.
PAPER = Protocol(NETWORKS[0])
# Options that are fields of the protocol as they are.
SETTINGS = (
    "epochs", "batch_size", "balance", "seed", "weight_decay", "schedule", "stop_after", "monitor", "input",
    "augment", "loss", "label_smoothing", "dropout",
)  # fmt: skip

# Options that a forest has no use for.
NETWORK_OPTIONS = (
    "epochs", "batch_size", "learning_rate", "balance", "weight_decay", "schedule", "stop_after", "monitor",
    "augment", "loss", "label_smoothing", "dropout", "mixed_precision", "tensorboard", "threads", "devices",
)  # fmt: skip


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
            "--other-patients", is_flag=True,
            help="Equal ids in DATASET and in --start name other people, as two hospitals' own numbers do.",
        ),
        click.option(
            "--start", type=FOLDER, metavar="MODEL",
            help="Go on from a model folder (fine-tuning). Who trained it must not be validated or tested on here.",
        ),
        click.option(
            "--imagenet-weights", type=FOLDER,
            help="Start resnet18 from torchvision's state dict, or from the folder of KerasHub's resnet_18_imagenet.",
        ),
        click.option(
            "--mixed-precision/--no-mixed-precision", default=None,
            help="Compute in 16 bits: float16 with loss scaling on a GPU, bfloat16 on a CPU that has it. What is "
            "saved, and judged after each epoch, is float32. Which form is taken, and why, is told.  "
            "[default: on a GPU only]",
        ),
        click.option(
            "--monitor", type=click.Choice(["score", "loss"]), default=PAPER.monitor, show_default=True,
            help="What decides the kept epoch, the learning rate's fall and --stop-after: the validation score, or the "
            "validation loss in which each class counts one half.",
        ),
        click.option(
            "--stop-after", type=click.IntRange(1), default=PAPER.stop_after, metavar="N",
            help="End a fold after N epochs without a better one.  [default: never]",
        ),
        click.option(
            "--schedule", type=click.Choice(["plateau", "constant"]), default=PAPER.schedule, show_default=True,
            help="plateau: the learning rate falls by 0.8 after 3 epochs without a better one; constant: it stays.",
        ),
        click.option(
            "--dropout", type=click.FloatRange(0, 1, max_open=True), default=PAPER.dropout, show_default=True,
            callback=finite, help="Probability that an input of the network's last layer is dropped in a step.",
        ),
        click.option(
            "--label-smoothing", type=click.FloatRange(0, 1, max_open=True), default=PAPER.label_smoothing,
            show_default=True, callback=finite,
            help="Learn 1 - X/2 and X/2 instead of 1 and 0, as torch.nn.CrossEntropyLoss.",
        ),
        click.option(
            "--loss", type=click.Choice(["plain", "weighted", "focal"]), default=PAPER.loss, show_default=True,
            help="plain: cross-entropy, as the paper; weighted: each OMI counts as often as the training part has "
            "others for it; focal: what the network is sure of counts less (Lin et al. 2017, gamma 2).",
        ),
        click.option(
            "--augment", type=click.Choice(["none", "light", "strong"]), default=PAPER.augment, show_default=True,
            help="Show each ECG, each time, as another recording of the same heart might: noise, electrodes, axis, "
            "voltage, R, masked leads and stretches. No ST deviation is given to the heart or taken from it.",
        ),
        click.option(
            "--weight-decay", type=click.FloatRange(0), default=PAPER.weight_decay, show_default=True, callback=finite,
            help="So many times each parameter is added to its gradient, as in torch.optim.Adam.",
        ),
        click.option(
            "--balance", type=click.Choice(["batch", "class", "none"]), default=PAPER.balance, show_default=True,
            help="batch: undersample within each batch, as the paper; class: full batches, half of them OMI; none: all "
            "ECGs, for --loss weighted.",
        ),
        click.option(
            "--input", type=click.Choice(CONTRACTS), default=PAPER.input, show_default=True,
            help="Input contract of the network. zscore-400, the paper's: 400 samples at 500 Hz, z-scored per lead; "
            "maxabs-200, of weights published in 2025: 200 at 250 Hz, each lead divided by its largest absolute value.",
        ),
        click.option("--batch-size", type=click.IntRange(2), default=PAPER.batch_size, show_default=True),
        click.option("--epochs", type=click.IntRange(1), default=PAPER.epochs, show_default=True),
        click.option(
            "--first-ecg-only", is_flag=True,
            help="Validate and test on one ECG of each patient: the first by time, if a column says it, else by row.",
        ),
        click.option(
            "--leave-out", metavar="COLUMN",
            help="Instead of folds: test each value of COLUMN (a site, a year) once, with a model that saw the others, "
            "a tenth of which validates.",
        ),
        click.option(
            "--split-column", metavar="COLUMN",
            help="Instead of folds: COLUMN says train, validation or test of every ECG.",
        ),
        click.option(
            "--n-folds", type=click.IntRange(3, 100), default=10, show_default=True, help="Folds to divide into."
        ),
        click.option("--folds", default="all", show_default=True, help="all, or test folds by number: 0,3"),
    ):  # fmt: skip
        command = option(command)
    return command


def prepared(
    dataset: Path, run: Path, model: str, rate: float | None, options: dict[str, Any], *, told: bool = True
) -> tuple[Dataset, Protocol, dict[str, Any], Any]:
    """Dataset, protocol, what else starts a run, and where it is trained; without a rate, the paper's.

    What is strange about the dataset is ``told`` on standard error.
    """
    folds, weights = fold_list(options["folds"]), options["imagenet_weights"]
    if weights and model != "resnet18":
        raise click.UsageError("--imagenet-weights is for --model resnet18")
    # Wherever a worker stands, it is the same file.
    weights = weights and weights.absolute()
    column, leave_out = options["split_column"], options["leave_out"]
    if column is not None and leave_out is not None:
        raise click.UsageError("--split-column and --leave-out exclude each other")
    if (column is not None or leave_out is not None) and _on_command_line("n_folds"):
        raise click.UsageError("--n-folds is for folds, and here a column divides the patients; leave one of them out")
    from omi_keras.data.dataset import load_dataset
    from omi_keras.data.duplicates import duplicates_of, duplicates_sentence

    data = load_dataset(dataset)
    if told and (shared := duplicates_sentence(duplicates_of(data))):
        click.echo(f"in {dataset}, {shared}", err=True)
    from omi_keras.training.splits import split_of
    from omi_keras.training.start import open_start

    # An empty name, as of a shell's variable that is not set, is a column that is not there.
    by = options["n_folds"] if column is None else column
    split = split_of(data, by, leave_out=leave_out, first_ecg_only=options["first_ecg_only"])
    if told and split.column is None and split.n_folds < options["n_folds"]:
        why = f"only {split.n_folds} patients have the rarer label"
        click.echo(f"{why}: {split.n_folds} folds instead of {options['n_folds']}", err=True)
    start = None
    if options["start"]:
        start = open_start(options["start"])
        if told and (start.folds is None or "imported_from" in start.info["provenance"]):
            why = "so nobody can say whether it knows who is tested"
            click.echo(f"what {start} was trained on is not known, {why}", err=True)
    from omi_keras.models.backend import load_backend
    from omi_keras.training.cross_validation import Where
    from omi_keras.training.devices import visible_gpus
    from omi_keras.training.settings import settle, started_with

    started = started_with(run, model) if options["resume"] else {}
    devices = options["devices"] or started.get("devices") or 1
    if model == RANDOM_FOREST:
        devices = 1
    else:
        load_backend()
    jobs = options["jobs"] or max(1, len(visible_gpus()) // devices if model != RANDOM_FOREST else 1)
    protocol = settle(
        model, started, jobs=jobs, mixed_precision=options["mixed_precision"], threads=options["threads"],
        imagenet_weights=weights, start=start, learning_rate=rate, devices=devices,
        processes=jobs if options["scheduler"] == "local" else 0, **{name: options[name] for name in SETTINGS},
    )  # fmt: skip
    if protocol.precision != "float32":
        from omi_keras.training.runtime import precision_sentence

        click.echo(precision_sentence(protocol.precision), err=True)
    where = Where(jobs, options["scheduler"], devices)
    if told and not options["resume"]:
        where.refuse_unreachable()
    begin = {"folds": folds, "split": split, "imagenet_weights": weights, "start": start}
    return data, protocol, begin | {"other_patients": options["other_patients"]}, where


def tell_unused(models: tuple[str, ...]) -> None:
    """Say which options on the command line are of no use where there are forests only.

    Raises
    ------
    click.UsageError
        For ``--input``, which would be a wish that is not granted.
    """
    if set(models) != {RANDOM_FOREST}:
        return
    if unused := [f"--{name.replace('_', '-')}" for name in NETWORK_OPTIONS if _on_command_line(name)]:
        click.echo(f"random-forest has no use for {', '.join(unused)}", err=True)
    if _on_command_line("input"):
        raise click.UsageError("--input is for networks: random-forest reads features of the median beat; leave it out")


def _on_command_line(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE


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
