"""A network of the catalogue with the weights of a PyTorch checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omi_keras.models.backend import load_backend
from omi_keras.models.catalogue import build
from omi_keras.models.weights.torch_checkpoint import read_checkpoint
from omi_keras.recordings.errors import InputError

if TYPE_CHECKING:
    import keras


def network_from_torch(checkpoint: Path, name: str, contract: str) -> keras.Model:
    """Build the network ``name`` for an input contract and put a checkpoint's parameters into it.

    Raises
    ------
    InputError
        When the checkpoint cannot be read or does not fit the network; every parameter that does not is listed.
    """
    parameters = read_checkpoint(checkpoint)
    load_backend()
    from omi_keras.models.weights.torch_weights import load_torch_parameters

    network = build(name, contract=contract)
    try:
        load_torch_parameters(network, parameters)
    except InputError as error:
        raise InputError(f"{checkpoint}: {error}", error.reason) from None
    return network
