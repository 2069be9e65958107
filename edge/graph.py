"""The network as a device meets it: millivolts in, P(OMI) and logits out. Runs where TensorFlow or JAX is.

What :func:`omi_keras.beats.model_inputs.model_input` does by the network's input contract is done in float32 inside the
graph, so that C++ or Kotlin code hands over what a monitor has and cannot get the preprocessing wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge.float_layers import AFTER, BEFORE
from edge.resampling import CHUNK, halving_kernel
from omi_keras.beats.contracts import CONTRACT
from omi_keras.beats.model_inputs import BEAT_SAMPLES, CROP_START, CROP_STOP, FLAT_SD
from omi_keras.recordings.record import LEADS

if TYPE_CHECKING:
    import keras

SAMPLES = (BEAT_SAMPLES, CROP_STOP - CROP_START)


def device_graph(network: keras.Model, samples: int, contract: str = CONTRACT) -> keras.Model:
    """Wrap a network (n, 12, 400 or 200, 1) → logits for devices.

    Parameters
    ----------
    network
        float32, see :func:`in_float32`.
    samples
        600: the graph takes whole median beats and crops them; 400: it takes what the crop leaves.
    contract
        Input contract of the network, one of :data:`omi_keras.beats.CONTRACTS`.

    Returns
    -------
    Input ``beat`` (1, 12, samples) float32, mV. Outputs ``logits`` (1, 2), no OMI and OMI, and ``probability`` (1,),
    P(OMI). Both are NaN when the beat holds a value that is not finite: integers inside would turn it into a number.
    """
    import keras

    beat = keras.Input((len(LEADS), samples), batch_size=1, name="beat")
    zscore, maxabs, refuse = _layers()
    found = network((zscore if contract == CONTRACT else maxabs)(name=BEFORE)(beat))
    logits, probability = refuse(name=AFTER)([found, beat])
    return keras.Model(beat, {"logits": logits, "probability": probability}, name="device")


def in_float32(network: keras.Model, contract: str = CONTRACT) -> keras.Model:
    """The same weights in a network that computes in float32, whatever precision it was trained in."""
    import keras

    from omi_keras.models.catalogue import NETWORKS, build

    if {layer.dtype_policy.name for layer in network.layers} == {"float32"}:
        return network
    name = next(name for name in NETWORKS if name.replace("-", "_") == network.name)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        twin = build(name, contract=contract)
    finally:
        keras.config.set_dtype_policy(policy)
    twin.set_weights(network.get_weights())
    return twin


def _layers() -> tuple[Any, Any, Any]:
    import keras
    from keras import ops

    def cropped(beat: Any) -> Any:
        return beat if beat.shape[-1] == SAMPLES[1] else beat[:, :, CROP_START:CROP_STOP]

    class ZScore(keras.layers.Layer):
        """(1, 12, samples) mV → (1, 12, 400, 1) by the contract zscore-400."""

        def call(self, beat: Any) -> Any:
            window = cropped(beat)
            # An offset far larger than the swing goes first, by an exact difference; the mean of what is left is
            # then as good in float32 as in float64.
            window = window - window[:, :, :1]
            window = window - ops.mean(window, axis=-1, keepdims=True)
            sd = ops.sqrt(ops.mean(window * window, axis=-1, keepdims=True))
            z = window / ops.maximum(sd, FLAT_SD)
            return ops.expand_dims(ops.where(sd < FLAT_SD, ops.zeros_like(z), z), -1)

    class MaxAbs(keras.layers.Layer):
        """(1, 12, samples) mV → (1, 12, 200, 1) by the contract maxabs-200."""

        def call(self, beat: Any) -> Any:
            window, leads = cropped(beat), beat.shape[1]
            twice = ops.concatenate([window, window], axis=-1)
            chunks = ops.reshape(twice, (1, leads, -1, CHUNK))
            kernel = ops.convert_to_tensor(halving_kernel(window.shape[-1]))
            half = ops.conv(chunks, kernel, 1, "valid", data_format="channels_last")
            half = ops.reshape(half, (1, leads, window.shape[-1] // 2))
            largest = ops.max(ops.abs(half), axis=-1, keepdims=True)
            sign = np.where(np.array(LEADS) == "aVR", -1, 1).astype(np.float32)[:, None]
            x = half / (ops.maximum(largest, FLAT_SD) * sign)
            return ops.expand_dims(ops.where(largest < FLAT_SD, ops.zeros_like(x), x), -1)

    class Refuse(keras.layers.Layer):
        """Logits, beat → logits and P(OMI), NaN for a beat that is not finite."""

        def call(self, found: Any) -> Any:
            logits, beat = found
            # A sum is not finite when one of its terms is not; comparisons with NaN are false.
            finite = ops.abs(ops.sum(beat)) <= np.finfo(np.float32).max
            told = ops.where(finite, logits, ops.full_like(logits, float("nan")))
            return told, ops.softmax(told)[:, 1]

    return ZScore, MaxAbs, Refuse
