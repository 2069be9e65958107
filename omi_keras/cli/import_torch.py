"""omi-keras import-torch: a network that was trained in PyTorch."""

from __future__ import annotations

import math
from pathlib import Path

import click

from omi_keras.cli.options import FOLDER, force_option, json_option, out_argument
from omi_keras.cli.terminal import finite, result
from omi_keras.models.catalogue import NETWORKS


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
    another shape are listed, and nothing is written. docs/reference/weights.md lists every name and shape.

    \b
    Example:
      omi-keras import-torch checkpoint.pt model/ --model ecg-smart-net --threshold 0.31
    """
    from omi_keras.data.artifacts import refuse_existing
    from omi_keras.models.backend import load_backend

    refuse_existing(out, "model.json", force)
    load_backend()
    from omi_keras.model import model_from_torch

    found = model_from_torch(checkpoint, model, threshold=threshold)
    found.save(out, force=force)
    trainable = sum(math.prod(weight.shape) for weight in found.network.trainable_weights)
    about = {"model": model, "threshold": threshold, "trainable_parameters": trainable, **found.info["provenance"]}
    result(about, as_json, f"{model} with {trainable:,} trainable parameters in {out}, threshold {threshold:.4f}")
