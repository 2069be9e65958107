"""A network's answer scaled and shifted inside its last layer: whatever runs the network runs it calibrated."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from omi_keras.models.ensemble import read_outs
from omi_keras.recordings.errors import InputError

if TYPE_CHECKING:
    import keras


def folded(network: keras.Model, slope: float, intercept: float) -> keras.Model:
    """A network whose logit difference, OMI minus no OMI, is slope × that of ``network`` + intercept.

    Each read-out layer is scaled, and shifted by minus and plus half the intercept: to both logits alike, and so to the
    mean of several. float32, as the layer is: the difference is met to its rounding.
    """
    return _with_read_outs(network, [_scaled(layer.get_weights(), slope, intercept) for layer in read_outs(network)])


def unfolded(network: keras.Model, kept: Any, slope: float, intercept: float) -> keras.Model:
    """What :func:`folded` was given, to the bit.

    Parameters
    ----------
    network
        What it returned.
    kept
        What :func:`kept_read_outs` said of what it was given.

    Raises
    ------
    InputError
        When these do not belong together.
    """
    now = [layer.get_weights() for layer in read_outs(network)]
    try:
        before = [
            [_array(text, weights.shape) for text, weights in zip(texts, pair, strict=True)]
            for texts, pair in zip(kept, now, strict=True)
        ]
    except (TypeError, ValueError) as error:
        raise InputError(f"its calibration holds no read-out of this network ({error})", "altered") from None
    again = [_scaled(pair, slope, intercept) for pair in before]
    if not all(np.array_equal(a, b) for pairs in zip(again, now, strict=True) for a, b in zip(*pairs, strict=True)):
        raise InputError("its network is not the one that its calibration was fitted to", "altered")
    return _with_read_outs(network, before)


def as_trained(network: Any, calibration: Mapping[str, Any] | None, place: str) -> Any:
    """The network before a calibration was folded into it; a random forest, which holds none, is what it was.

    Raises
    ------
    InputError
        When network and calibration do not belong together; the sentence names ``place``.
    """
    if calibration is None or not hasattr(network, "layers"):
        return network
    try:
        return unfolded(network, calibration.get("read_out"), calibration["slope"], calibration["intercept"])
    except InputError as error:
        raise InputError(f"{place} was altered: {error}; make the model folder again", "altered") from None


def kept_read_outs(network: keras.Model) -> list[list[str]]:
    """Kernel and bias of each read-out, base64 of float32: what :func:`folded` rounds away."""
    return [
        [base64.b64encode(weights.astype("<f4").tobytes()).decode() for weights in layer.get_weights()]
        for layer in read_outs(network)
    ]


def _scaled(weights: Sequence[np.ndarray], slope: float, intercept: float) -> list[np.ndarray]:
    kernel, bias = (values.astype(np.float64) for values in weights)
    shift = np.array([-intercept / 2, intercept / 2])
    return [(slope * kernel).astype(np.float32), (slope * bias + shift).astype(np.float32)]


def _array(text: Any, shape: tuple[int, ...]) -> np.ndarray:
    found = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32).reshape(shape)
    if not np.isfinite(found).all():
        raise ValueError("values that are not finite")
    return found


def _with_read_outs(network: keras.Model, weights: Sequence[Sequence[np.ndarray]]) -> keras.Model:
    import keras

    twin = keras.models.clone_model(network)
    twin.set_weights(network.get_weights())
    for layer, values in zip(read_outs(twin), weights, strict=True):
        layer.set_weights(list(values))
    return twin
