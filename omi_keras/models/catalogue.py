"""The models by name. Importing this loads no framework."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal

from omi_keras.beats.contracts import CONTRACT, input_shape
from omi_keras.recordings.errors import InputError

if TYPE_CHECKING:
    import keras

# Initial learning rates of the paper, section II.B.
LEARNING_RATES = {"ecg-smart-net": 1e-5, "temporal-resnet18": 1e-5, "resnet18": 1e-5, "mayo-alvd": 1e-4}
NETWORKS = tuple(LEARNING_RATES)
RANDOM_FOREST = "random-forest"
MODELS = (*NETWORKS, RANDOM_FOREST)

# What the pooling of a network leaves one sample of.
SHORTEST = {"mayo-alvd": 256}

Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]


def build(
    name: str, precision: Precision = "float32", seed: int | None = None, contract: str = CONTRACT
) -> keras.Model:
    """A new network of one of the names in :data:`NETWORKS`, random weights from ``seed``, or from Keras' global one.

    With a mixed ``precision``, layers compute in 16 bits and keep float32 variables: the weights fit a network of
    any other precision. The logits are float32 in all of them. The input is that of the ``contract``, one of
    :data:`omi_keras.beats.CONTRACTS`.

    Raises
    ------
    InputError
        When the contract is not known, or its input is too short for the network.

    Examples
    --------
    >>> import omi_keras as omi
    >>> network = omi.build("mayo-alvd", seed=0)
    >>> network.input_shape, network.output_shape
    ((None, 12, 400, 1), (None, 2))
    """
    from omi_keras.models.backend import load_backend

    _, samples, _ = input_for(name, contract)
    load_backend()
    import keras

    from omi_keras.models.ecg_smart_net import ecg_smart_net
    from omi_keras.models.layers import weights_from
    from omi_keras.models.mayo_alvd import mayo_alvd
    from omi_keras.models.resnet18 import resnet18, temporal_resnet18

    builders = {
        "ecg-smart-net": ecg_smart_net,
        "temporal-resnet18": temporal_resnet18,
        "resnet18": resnet18,
        "mayo-alvd": mayo_alvd,
    }
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        with nullcontext() if seed is None else weights_from(seed):
            return builders[name](samples)
    finally:
        keras.config.set_dtype_policy(before)


def input_for(name: str, contract: str) -> tuple[int, int, int]:
    """:func:`omi_keras.beats.input_shape` of a contract that a network can take.

    Raises
    ------
    InputError
        When the contract is not known, its input is too short for the network, or there is no network that takes one.
    """
    shape = input_shape(contract)
    if name == RANDOM_FOREST and contract != CONTRACT:
        raise InputError(
            f"a random forest reads features of the median beat and has no input contract {contract}; leave it out",
            "contract",
        )
    if shape[1] < SHORTEST.get(name, 0):
        raise InputError(
            f"{name} pools {SHORTEST[name]} samples into one, and input contract {contract} has {shape[1]} samples; "
            f"take {CONTRACT}",
            "contract",
        )
    return shape
