"""A network that was trained in PyTorch → a model folder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from omi_keras.data.artifacts import new_folder, refuse_existing, sha256
from omi_keras.model import write_model_info
from omi_keras.models.archive import save_network
from omi_keras.models.catalogue import build
from omi_keras.models.weights.torch_checkpoint import read_checkpoint
from omi_keras.models.weights.torch_weights import load_torch_parameters
from omi_keras.recordings.errors import InputError


def import_torch(
    checkpoint: Path, out: Path, name: str, *, threshold: float = 0.5, force: bool = False
) -> dict[str, Any]:
    """Write a model folder from a PyTorch state dict; return a summary.

    Parameters
    ----------
    checkpoint
        As :func:`omi_keras.models.weights.torch_checkpoint.read_checkpoint` reads it.
    name
        Which network the parameters belong to.
    threshold
        Operating point: OMI when P(OMI) ≥ threshold. A state dict does not hold one.

    Raises
    ------
    InputError
        When the checkpoint cannot be read or does not fit the network; every parameter that does not is listed.
    """
    refuse_existing(out, "model.json", force)
    parameters = read_checkpoint(checkpoint)
    model = build(name)
    try:
        load_torch_parameters(model, parameters)
    except InputError as error:
        raise InputError(f"{checkpoint}: {error}", error.reason) from None
    origin = {"imported_from": "PyTorch", "checkpoint": checkpoint.name, "checkpoint_sha256": sha256(checkpoint)}
    info = {
        "model": name,
        "simulated": False,
        "threshold": threshold,
        "metrics": {},
        "provenance": {
            "imported_from": "PyTorch",
            "checkpoint": checkpoint.name,
            "checkpoint_sha256": sha256(checkpoint),
        },
    }
    with new_folder(out, "model.json", force=force) as folder:
        save_network(folder / "model.keras", model)
        write_model_info(folder, info)
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return {"model": name, "threshold": threshold, "trainable_parameters": trainable, **origin}
