"""Layers as PyTorch defines them, so that weights trained there mean the same function here.

Three differences between the frameworks matter and are settled in this file. Padding is explicit, because
"same" with stride 2 pads one sample fewer on the left than PyTorch does. Batch normalisation uses PyTorch's
epsilon and running average. Initial weights are PyTorch's defaults: uniform in ±1/√fan_in.
"""

from __future__ import annotations

from typing import Any

import keras

# What Keras calls momentum is one minus what PyTorch calls momentum.
BATCH_NORM = {"epsilon": 1e-5, "momentum": 0.9}


def torch_uniform(seed: int | None = None) -> keras.initializers.Initializer:
    """PyTorch's default for convolution and linear kernels: uniform in ±1/√fan_in (Kaiming, a = √5)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=seed)


def conv_bn(
    x: Any,
    filters: int,
    kernel: tuple[int, int],
    *,
    conv: str,
    bn: str,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
) -> Any:
    """Zero-pad, convolve without bias, normalise over the batch.

    Parameters
    ----------
    x
        Keras tensor (batch, leads, time, channels).
    kernel, stride, padding
        (leads, time), as the paper's Table 1 and 2 write them; ``padding`` is on both sides of an axis.
    conv, bn
        Names of the two layers: PyTorch's module names with ``.`` written ``_``.
    """
    if padding != (0, 0):
        x = keras.layers.ZeroPadding2D(padding, data_format="channels_last", name=f"{conv}_pad")(x)
    x = keras.layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="valid",
        use_bias=False,
        data_format="channels_last",
        kernel_initializer=torch_uniform(),
        name=conv,
    )(x)
    return keras.layers.BatchNormalization(**BATCH_NORM, name=bn)(x)


def relu(x: Any, name: str) -> Any:
    """Rectified linear unit."""
    return keras.layers.ReLU(name=name)(x)


def logits(x: Any, classes: int, name: str) -> Any:
    """Linear read-out, PyTorch's initial weights and bias, float32 under any precision policy."""
    bound = float(x.shape[-1]) ** -0.5
    return keras.layers.Dense(
        classes,
        kernel_initializer=torch_uniform(),
        bias_initializer=keras.initializers.RandomUniform(-bound, bound),
        dtype="float32",
        name=name,
    )(x)
