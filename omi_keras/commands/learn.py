"""Commands that make and judge models: train, evaluate, select, import-torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from omi_keras.commands.options import FOLDER, force_option, json_option, out_argument, seed_option
from omi_keras.models.catalogue import MODELS, NETWORKS, RANDOM_FOREST
from omi_keras.terminal import (
    INTERRUPTED,
    fail,
    finite,
    fold_list,
    result,
    show_epoch,
    show_step,
)

# What train's options call the settings that a forest does not have.
NETWORK_OPTIONS = ("epochs", "batch_size", "learning_rate", "balance", "mixed_precision")


@click.command()
@click.argument("dataset", type=FOLDER)
@click.argument("run", type=FOLDER)
@click.option("--model", type=click.Choice(MODELS), default=MODELS[0], show_default=True)
@click.option("--folds", default="all", show_default=True, help="all, or test folds by number: 0,3")
@click.option("--n-folds", type=click.IntRange(3, 100), default=10, show_default=True, help="Folds to divide into.")
@click.option("--epochs", type=click.IntRange(1), default=100, show_default=True)
@click.option("--batch-size", type=click.IntRange(2), default=128, show_default=True)
@click.option(
    "--learning-rate",
    callback=finite,
    type=click.FloatRange(0, 10, min_open=True),
    help="Initial rate  [default: the paper's]",
)
@click.option(
    "--balance", type=click.Choice(["batch", "class"]), default="batch", show_default=True,
    help="batch: undersample within each batch, as the paper; class: full batches, half of them OMI.",
)  # fmt: skip
@click.option(
    "--mixed-precision/--no-mixed-precision", default=False, show_default=True,
    help="Compute in float16 with loss scaling: for a GPU; slow on a CPU. What is saved is float32.",
)  # fmt: skip
@click.option(
    "--imagenet-weights", type=FOLDER,
    help="Start resnet18 from torchvision's state dict, or from the folder of KerasHub's resnet_18_imagenet.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Continue a run that was interrupted.")
@seed_option
@force_option
@json_option
@click.pass_context
def train(
    context: click.Context, dataset: Path, run: Path, model: str, folds: str, n_folds: int, epochs: int,
    batch_size: int, learning_rate: float | None, balance: Any, mixed_precision: bool, imagenet_weights: Path | None,
    resume: bool, seed: int, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Cross-validate a model on DATASET into folder RUN, by the paper's protocol.

    Patient-grouped stratified folds; each is tested once, the next one validates, the others train. The epoch
    with the best validation score (2/3 AUC + 1/3 average precision) is kept. Progress is saved after every
    epoch: stop with Ctrl-C, continue with --resume.

    random-forest grows on engineered features of the median beats instead: it has no epochs, batches or learning
    rate; its few hyper-parameters are chosen by the same validation score on the same folds.

    \b
    Example:
      omi-keras train dataset/ run/ --model ecg-smart-net --folds 0 --epochs 20 --learning-rate 1e-4
    """
    wanted = fold_list(folds)
    if imagenet_weights and model != "resnet18":
        raise click.UsageError("--imagenet-weights is for --model resnet18")
    if model == RANDOM_FOREST and (unused := _given(context, NETWORK_OPTIONS)):
        click.echo(f"random-forest has no use for {', '.join(unused)}", err=True)
    from omi_keras.data.artifacts import refuse_existing, sha256

    if not resume:
        refuse_existing(run, "config.json", force)
    from omi_keras.data.dataset import load_dataset
    from omi_keras.data.folds import most_folds

    data = load_dataset(dataset)
    ecgs = data.ecgs.iloc[data.labelled()]
    possible = most_folds(ecgs["omi"].to_numpy(int), ecgs["patient_id"].to_numpy(str), n_folds)
    if possible < n_folds:
        click.echo(f"only {possible} patients have the rarer label: {possible} folds instead of {n_folds}", err=True)
    from omi_keras.models.backend import load_backend
    from omi_keras.models.catalogue import LEARNING_RATES

    if model != RANDOM_FOREST:
        load_backend()
    start, checksum = None, None
    if imagenet_weights:
        from omi_keras.models.imagenet import read_imagenet_weights, weights_file

        start, checksum = read_imagenet_weights(imagenet_weights), sha256(weights_file(imagenet_weights))
    from omi_keras.training.cross_validation import cross_validate
    from omi_keras.training.protocol import Protocol

    rate = learning_rate or LEARNING_RATES.get(model, 0.0)
    protocol = Protocol(model, epochs, batch_size, rate, balance, seed, mixed_precision, checksum)
    if model == RANDOM_FOREST:
        protocol = Protocol(model, 0, 0, 0.0, "class", seed)
    try:
        results = cross_validate(
            data, run, protocol, folds=wanted, n_folds=possible, start=start, resume=resume, force=force,
            fold_starts=lambda fold: click.echo(f"fold {fold}", err=True),
            epoch_done=show_epoch, step_done=show_step,
        )  # fmt: skip
    except KeyboardInterrupt:
        fail(
            f"stopped; continue with the same command and --resume: omi-keras train {dataset} {run} ... --resume",
            INTERRUPTED,
        )
    mark, step = " (simulated)" if data.simulated else "", "candidate" if model == RANDOM_FOREST else "epoch"
    text = [
        f"fold {fold}{mark}: validation AUC {m['validation']['auc']:.3f}, AP {m['validation']['ap']:.3f}; "
        f"test AUC {m['test']['auc']:.3f}, AP {m['test']['ap']:.3f}; best {step} {m['best_epoch']}"
        for fold, m in results.items()
    ]
    result({"run": str(run), "simulated": data.simulated, "folds": results}, as_json, "\n".join(text))


@click.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUN [RUN ...]")
@out_argument
@seed_option
@force_option
@json_option
def evaluate(runs: tuple[Path, ...], out: Path, seed: int, force: bool, as_json: bool) -> None:
    """Judge one or more RUNs: Tables 4 and 5, Figures 5 and 6 of the paper, in folder OUT.

    \b
    Example:
      omi-keras evaluate run/ report/
    """
    from omi_keras.report import write_report

    content = write_report(list(runs), out, seed=seed, force=force)
    text = content.pop("text")
    result(content, as_json, f"{text['table4']}\n\n{text['table5']}\n\nfigures in {out / 'figures'}")


@click.command()
@click.argument("run", type=FOLDER)
@out_argument
@click.option(
    "--by", type=click.Choice(["validation", "test"]), default="validation", show_default=True,
    help="Score that chooses the fold; the paper chose by test, which is optimistic.",
)  # fmt: skip
@force_option
@json_option
def select(run: Path, out: Path, by: Any, force: bool, as_json: bool) -> None:
    """Take the best fold's model out of RUN into a model folder OUT.

    \b
    Example:
      omi-keras select run/ model/
    """
    from omi_keras.training.select import select_model

    info = select_model(run, out, by=by, force=force)
    result(info, as_json, f"{info['model']} of fold {info['fold']} in {out}, threshold {info['threshold']:.4f}")


@click.command("import-torch")
@click.argument("checkpoint", type=FOLDER)
@out_argument
@click.option("--model", type=click.Choice(NETWORKS), required=True, help="The network that CHECKPOINT belongs to.")
@click.option(
    "--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True, callback=finite,
    help="Operating point, which a state dict does not hold: OMI when P(OMI) reaches it.",
)  # fmt: skip
@force_option
@json_option
def import_torch(checkpoint: Path, out: Path, model: str, threshold: float, force: bool, as_json: bool) -> None:
    """Turn a PyTorch CHECKPOINT into a model folder OUT that computes the same.

    CHECKPOINT is a state dict: .safetensors, or what torch.save wrote (needs the torch extra), also under the key
    state_dict or model, and with module. or model. before its names. Parameters that are missing, unexpected or of
    another shape are listed, and nothing is written. docs/weights.md lists every name and shape.

    \b
    Example:
      omi-keras import-torch checkpoint.pt model/ --model ecg-smart-net --threshold 0.31
    """
    from omi_keras.data.artifacts import refuse_existing
    from omi_keras.models.backend import load_backend

    refuse_existing(out, "model.json", force)
    load_backend()
    from omi_keras.models.import_torch import import_torch as convert

    info = convert(checkpoint, out, model, threshold=threshold, force=force)
    result(
        info,
        as_json,
        f"{model} with {info['trainable_parameters']:,} trainable parameters in {out}, threshold {threshold:.4f}",
    )


def _given(context: click.Context, names: tuple[str, ...]) -> list[str]:
    """The options among ``names`` that stand on the command line, as they are written there."""
    source = click.core.ParameterSource.COMMANDLINE
    return [f"--{name.replace('_', '-')}" for name in names if context.get_parameter_source(name) == source]
