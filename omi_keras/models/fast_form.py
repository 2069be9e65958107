"""The same networks in the order of computation that is fast when XLA compiles them.

Minimal filtering F(2, 3) (Winograd 1980, Arithmetic Complexity of Computations; Lavin and Gray 2016, section 4.1):
two neighbouring outputs of a kernel of three need four products instead of six. Its sums are those of the convolution
to the rounding of float32, so no weight is changed or trained anew. Every kernel of three and stride one is computed
so; a 3×3 kernel over an image of few rows sees its rows as further channels. Max-pooling is written as maxima, which
XLA joins with what comes before and after; its own pooling has a slow gradient, and none that is deterministic.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

from omi_keras.models.short_images import KERNEL, short_conv

TILE = 2  # outputs that share their products
WIDTH = 3  # of the kernel


def fast_form(model: keras.Model) -> keras.Model:
    """The same function of the same weights."""
    return keras.models.clone_model(model, clone_function=_faster)


def _faster(layer: keras.Layer) -> keras.Layer:
    if isinstance(layer, keras.layers.MaxPooling2D):
        return _MaxOfSlices(layer)
    if not isinstance(layer, keras.layers.Conv2D):
        return layer
    if layer.strides == (1, 1) and layer.kernel_size in ((1, WIDTH), KERNEL):
        return _MinimalConv(layer)
    return short_conv(layer)


class _MinimalConv(keras.layers.Layer):
    """A 1×3, or a padded 3×3, convolution of stride one on an input (batch, rows, padded time, channels)."""

    def __init__(self, conv: keras.layers.Conv2D) -> None:
        super().__init__(name=conv.name, dtype=conv.dtype_policy)
        self.conv = conv

    def call(self, x: Any) -> Any:
        kernel = ops.cast(self.conv.kernel, self.compute_dtype)
        rows, filters = x.shape[1], self.conv.filters
        if self.conv.kernel_size == KERNEL:
            # The rows above and below are padding: what remains is a dense map between rows, laid into the channels.
            rows, x = rows - 2, x[:, 1:-1]
            kernel = _rows_as_channels(kernel, rows)
            x = ops.transpose(x, (0, 2, 1, 3))
            x = ops.reshape(x, (-1, 1, x.shape[1], rows * x.shape[3]))
            y = _filtered(x, kernel)
            y = ops.reshape(y, (-1, y.shape[2], rows, filters))
            y = ops.transpose(y, (0, 2, 1, 3))
        else:
            y = _filtered(x, kernel[0])
        return y if self.conv.bias is None else y + ops.cast(self.conv.bias, self.compute_dtype)


class _MaxOfSlices(keras.layers.Layer):
    """Max-pooling as maxima of shifted images."""

    def __init__(self, pool: keras.layers.MaxPooling2D) -> None:
        super().__init__(name=pool.name, dtype=pool.dtype_policy)
        self.pool = pool

    def call(self, x: Any) -> Any:
        (high, wide), (down, right) = self.pool.pool_size, self.pool.strides
        rows, length = (x.shape[1] - high) // down + 1, (x.shape[2] - wide) // right + 1
        slices = [
            x[:, row : row + down * (rows - 1) + 1 : down, time : time + right * (length - 1) + 1 : right]
            for row in range(high)
            for time in range(wide)
        ]
        return functools.reduce(ops.maximum, slices)


def _rows_as_channels(kernel: Any, rows: int) -> Any:
    """(3, 3, channels, filters) → (3, rows × channels, rows × filters): output row o reads rows o − 1 to o + 1."""
    nothing = ops.zeros_like(kernel[0])
    columns = [
        ops.concatenate([kernel[i - o + 1] if abs(i - o) <= 1 else nothing for i in range(rows)], axis=1)
        for o in range(rows)
    ]
    return ops.concatenate(columns, axis=2)


def _filtered(x: Any, kernel: Any) -> Any:
    """Valid convolution of x (batch, rows, time, channels) with a kernel (3, channels, filters) along time."""
    _, rows, width, channels = x.shape
    length = width - WIDTH + 1
    tiles = -(-length // TILE)
    x = ops.pad(x, ((0, 0), (0, 0), (0, TILE * (tiles + 1) - width), (0, 0)))
    pairs = ops.reshape(x, (-1, rows, tiles + 1, TILE, channels))
    d = [pairs[:, :, :-1, 0], pairs[:, :, :-1, 1], pairs[:, :, 1:, 0], pairs[:, :, 1:, 1]]
    first, middle, last = kernel[0], kernel[1], kernel[2]
    products = [
        ops.matmul(ops.reshape(data, (-1, channels)), weights)
        for data, weights in (
            (d[0] - d[2], first),
            (d[1] + d[2], (first + middle + last) / 2),
            (d[2] - d[1], (first - middle + last) / 2),
            (d[1] - d[3], last),
        )
    ]
    even = products[0] + products[1] + products[2]
    odd = products[1] - products[2] - products[3]
    y = ops.reshape(ops.stack([even, odd], axis=1), (-1, rows, TILE * tiles, kernel.shape[-1]))
    return y[:, :, :length]
