"""Layers as PyTorch defines them, so that weights trained there mean the same function here.

Three differences between the frameworks matter and are settled in this file. Padding is explicit, because
"same" with stride 2 pads one sample fewer on the left than PyTorch does. Batch normalisation uses PyTorch's
epsilon and running average. Initial weights are PyTorch's defaults: uniform in ±1/√fan_in.

A layer's name is its PyTorch module's name with ``.`` written ``_`` (``layer2_0_conv1`` is ``layer2.0.conv1``), so
:mod:`omi_keras.models.weights.torch_weights` needs no table.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras

# What Keras calls momentum is one minus what PyTorch calls momentum.
BATCH_NORM = {"epsilon": 1e-5, "momentum": 0.9}


_SEEDS: ContextVar[random.Random | None] = ContextVar("seeds of initial weights", default=None)


@contextmanager
def weights_from(seed: int) -> Iterator[None]:
    """Within, initial weights come from ``seed`` alone.

    Keras takes the seeds of initializers from Python's own generator, which serves every thread of the process: on the
    worker of a cluster, another thread may draw from it at any time.
    """
    token = _SEEDS.set(random.Random(seed))
    try:
        yield
    finally:
        _SEEDS.reset(token)


def torch_uniform() -> keras.initializers.Initializer:
    """PyTorch's default for convolution and linear kernels: uniform in ±1/√fan_in (Kaiming, a = √5)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=_next_seed())


def torchvision_normal() -> keras.initializers.Initializer:
    """torchvision's choice for the convolutions of a ResNet: Kaiming normal, √(2/fan_out)."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=_next_seed())


def torch_bias(fan_in: int) -> keras.initializers.Initializer:
    """PyTorch's default for biases: uniform in ±1/√fan_in."""
    bound = fan_in**-0.5
    return keras.initializers.RandomUniform(-bound, bound, seed=_next_seed())


def _next_seed() -> int | None:
    # As Keras draws one.
    seeds = _SEEDS.get()
    return seeds.randint(1, 10**9) if seeds else None


def conv_bn(
    x: Any,
    filters: int,
    kernel: tuple[int, int],
    *,
    conv: str,
    bn: str,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    bias: bool = False,
    initializer: keras.initializers.Initializer | None = None,
) -> Any:
    """Zero-pad, convolve, normalise over the batch.

    Parameters
    ----------
    x
        Keras tensor (batch, leads, time, channels).
    kernel, stride, padding
        (leads, time), as the paper's Table 1 and 2 write them; ``padding`` is on both sides of an axis.
    conv, bn
        Names of the two layers.
    bias
        Whether the convolution has a bias.
    initializer
        Of the kernel; PyTorch's default when None.
    """
    if padding != (0, 0):
        x = keras.layers.ZeroPadding2D(padding, data_format="channels_last", name=f"{conv}_pad")(x)
    x = keras.layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="valid",
        use_bias=bias,
        data_format="channels_last",
        kernel_initializer=initializer or torch_uniform(),
        bias_initializer=torch_bias(math.prod(kernel) * x.shape[-1]),
        name=conv,
    )(x)
    return keras.layers.BatchNormalization(**BATCH_NORM, name=bn)(x)


def max_pool(
    x: Any, kernel: tuple[int, int], stride: tuple[int, int], *, name: str, padding: tuple[int, int] = (0, 0)
) -> Any:
    """Zero-pad, take maxima. Only after a ReLU, where zeros equal PyTorch's padding with −∞."""
    if padding != (0, 0):
        x = keras.layers.ZeroPadding2D(padding, data_format="channels_last", name=f"{name}_pad")(x)
    return keras.layers.MaxPooling2D(kernel, stride, padding="valid", data_format="channels_last", name=name)(x)


def relu(x: Any, name: str) -> Any:
    """Rectified linear unit."""
    return keras.layers.ReLU(name=name)(x)


def average_pool(x: Any) -> Any:
    """Mean over leads and time."""
    return keras.layers.GlobalAveragePooling2D(data_format="channels_last", name="avgpool")(x)


def dense(x: Any, units: int, name: str, dtype: str | None = None) -> Any:
    """Linear layer with bias."""
    fan_in = int(x.shape[-1])
    return keras.layers.Dense(
        units, kernel_initializer=torch_uniform(), bias_initializer=torch_bias(fan_in), dtype=dtype, name=name
    )(x)


def logits(x: Any, name: str) -> Any:
    """Linear read-out (batch, 2): no OMI, OMI; float32 under any precision policy."""
    return dense(x, 2, name, dtype="float32")
