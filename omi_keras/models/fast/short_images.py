"""Convolutions over images of few rows, without the products with rows that are only padding.

After its first pooling, ResNet-18 sees an ECG as an image of three rows, then two, then one: more than half of the
products of its 3×3 kernels are with zeros above and below. What is left out here changes no sum.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

KERNEL = (3, 3)


def without_padded_rows(model: keras.Model) -> keras.Model:
    """The same function with the same weights; a network without 3×3 kernels stays as it is."""
    return keras.models.clone_model(model, clone_function=short_conv)


def short_conv(layer: keras.Layer) -> keras.Layer:
    """A padded 3×3 convolution without those products; any other layer as it is."""
    return _ShortConv(layer) if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == KERNEL else layer


class _ShortConv(keras.layers.Layer):
    """A 3×3 convolution whose input (batch, rows, time, channels) was padded with one row on either side."""

    def __init__(self, conv: keras.layers.Conv2D) -> None:
        super().__init__(name=conv.name, dtype=conv.dtype_policy)
        self.conv = conv

    def call(self, x: Any) -> Any:
        rows, (size, _), (step, stride) = x.shape[1], KERNEL, self.conv.strides
        found = []
        for top in range(0, rows - size + 1, step):
            first, last = max(top, 1), min(top + size, rows - 1)
            kernel = ops.cast(self.conv.kernel[first - top : last - top], self.compute_dtype)
            part = x[:, first:last]
            found.append(ops.conv(part, kernel, (1, stride), "valid", data_format="channels_last"))
        return ops.concatenate(found, axis=1)
