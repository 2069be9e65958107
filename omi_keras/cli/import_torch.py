"""omi-keras import-torch: a network that was trained in PyTorch."""

from __future__ import annotations

import math
from pathlib import Path

import click

from omi_keras.beats.contracts import CONTRACT, CONTRACTS, MAXABS
from omi_keras.cli.options import FOLDER, force_option, json_option, out_argument
from omi_keras.cli.terminal import finite, result
from omi_keras.models.catalogue import NETWORKS


@click.command("import-torch")
@click.argument("checkpoint", type=FOLDER)
@out_argument
@click.option("--model", type=click.Choice(NETWORKS), required=True, help="The network that CHECKPOINT belongs to.")
@click.option(
    "--input",
    "contract",
    type=click.Choice(CONTRACTS),
    help=f"What the network was trained on, which CHECKPOINT does not say: {CONTRACT}, the paper's, or {MAXABS}, that "
    f"of the weights which the paper's group published in 2025. Assumed: {CONTRACT}.",
)
@click.option(
    "--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True, callback=finite,
    help="Operating point, which a state dict does not hold: OMI when P(OMI) reaches it.",
)  # fmt: skip
@force_option
@json_option
def import_torch(
    checkpoint: Path, out: Path, model: str, contract: str | None, threshold: float, force: bool, as_json: bool
) -> None:
    """Turn a PyTorch CHECKPOINT into a model folder OUT that computes the same.

    CHECKPOINT is a state dict or a whole module: .safetensors, or what torch.save wrote, also under the key
    state_dict or model, and with module. or model. before its names. PyTorch is not needed, and nothing that
    CHECKPOINT holds is executed. Parameters that are missing, unexpected or of another shape are listed, and nothing
    is written. docs/reference/weights.md lists every name and shape, docs/how-to/published-weights.md the whole way.

    \b
    Example:
      omi-keras import-torch checkpoint.pt model/ --model ecg-smart-net --input zscore-400 --threshold 0.31
    """
    from omi_keras.data.artifacts import refuse_existing
    from omi_keras.models.backend import check_backend

    refuse_existing(out, "model.json", force)
    check_backend()
    from omi_keras.model import model_from_torch

    found = model_from_torch(checkpoint, model, threshold=threshold, contract=contract or CONTRACT)
    found.save(out, force=force)
    trainable = sum(math.prod(weight.shape) for weight in found.network.trainable_weights)
    about = {"model": model, "input": found.contract, "threshold": threshold, "trainable_parameters": trainable}
    about |= found.info["provenance"]
    if contract is None:
        click.echo(
            f"input {CONTRACT}, the paper's, is assumed, as {checkpoint.name} does not say what it was trained on; "
            f"weights that the paper's group published in 2025 take {MAXABS}, and although they fit in shape, their "
            "probabilities would be wrong: say --input",
            err=True,
        )
    sentence = (
        f"{model} with {trainable:,} trainable parameters in {out}, input {found.contract}, threshold {threshold:.4f}"
    )
    result(about, as_json, sentence)
