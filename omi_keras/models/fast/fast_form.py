"""The same networks in the order of computation that is fast when XLA compiles them.

Minimal filtering (Winograd 1980, Arithmetic Complexity of Computations; Lavin and Gray 2016, sections 4.1 and 4.3):
F(2, 3) takes four products for two neighbouring outputs of a kernel of three instead of six, F(4, 3) six for four
instead of twelve. Its sums are those of the convolution to the rounding of float32, so no weight is changed or trained
anew. Every kernel of three and stride one is computed so; a 3×3 kernel over an image of few rows sees its rows as
further channels. Max-pooling is written as maxima, which XLA joins with what comes before and after; its own pooling
has a slow gradient, and none that is deterministic.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import keras
from keras import ops

from omi_keras.models.fast.short_images import KERNEL, short_conv

WIDTH = 3  # of the kernel


class Filtering(NamedTuple):
    """F(m, 3): outputs = ``back`` ((``kernel`` · kernel) ⊙ (``data`` · data)), the matrices of Lavin and Gray."""

    data: tuple[tuple[float, ...], ...]
    kernel: tuple[tuple[float, ...], ...]
    back: tuple[tuple[float, ...], ...]


F2 = Filtering(
    data=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    kernel=((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    back=((1, 1, 1, 0), (0, 1, -1, -1)),
)
F4 = Filtering(
    data=(
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    kernel=(
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
    back=((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
)


def fast_form(model: keras.Model, filtering: Filtering = F2) -> keras.Model:
    """The same function of the same weights.

    ``F4`` is for inference: up to a sixth faster. Training gains nothing from it. Layers that compute in 16 bits are
    given ``F2`` in its place.
    """
    return keras.models.clone_model(model, clone_function=lambda layer: _faster(layer, filtering))


def _faster(layer: keras.Layer, filtering: Filtering) -> keras.Layer:
    if isinstance(layer, keras.layers.MaxPooling2D):
        return _MaxOfSlices(layer)
    if not isinstance(layer, keras.layers.Conv2D):
        return layer
    if layer.strides == (1, 1) and layer.kernel_size in ((1, WIDTH), KERNEL):
        return _MinimalConv(layer, filtering)
    return short_conv(layer)


class _MinimalConv(keras.layers.Layer):
    """A 1×3, or a padded 3×3, convolution of stride one on an input (batch, rows, padded time, channels)."""

    def __init__(self, conv: keras.layers.Conv2D, filtering: Filtering) -> None:
        super().__init__(name=conv.name, dtype=conv.dtype_policy)
        self.conv = conv
        # The factors of F(4, 3) would cost a layer of 16 bits most of its digits.
        self.filtering = filtering if self.compute_dtype == "float32" else F2

    def call(self, x: Any) -> Any:
        kernel = ops.cast(self.conv.kernel, self.compute_dtype)
        rows, filters = x.shape[1], self.conv.filters
        if self.conv.kernel_size == KERNEL:
            # The rows above and below are padding: what remains is a dense map between rows, laid into the channels.
            rows, x = rows - 2, x[:, 1:-1]
            kernel = _rows_as_channels(kernel, rows)
            x = ops.transpose(x, (0, 2, 1, 3))
            x = ops.reshape(x, (-1, 1, x.shape[1], rows * x.shape[3]))
            y = _filtered(x, kernel, self.filtering)
            y = ops.reshape(y, (-1, y.shape[2], rows, filters))
            y = ops.transpose(y, (0, 2, 1, 3))
        else:
            y = _filtered(x, kernel[0], self.filtering)
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


def _filtered(x: Any, kernel: Any, filtering: Filtering) -> Any:
    """Valid convolution of x (batch, rows, time, channels) with a kernel (3, channels, filters) along time."""
    _, rows, width, channels = x.shape
    tile = len(filtering.back)  # outputs that share their products
    length = width - WIDTH + 1
    tiles = -(-length // tile)
    x = ops.pad(x, ((0, 0), (0, 0), (0, tile * (tiles + 1) - width), (0, 0)))
    groups = ops.reshape(x, (-1, rows, tiles + 1, tile, channels))
    # Each tile, and the two samples that it shares with the next.
    data = [groups[:, :, :-1, i] for i in range(tile)] + [groups[:, :, 1:, i] for i in range(WIDTH - 1)]
    weights = [kernel[i] for i in range(WIDTH)]
    products = [
        ops.matmul(ops.reshape(_sum(data_row, data), (-1, channels)), _sum(kernel_row, weights))
        for data_row, kernel_row in zip(filtering.data, filtering.kernel, strict=True)
    ]
    outputs = ops.stack([_sum(row, products) for row in filtering.back], axis=1)
    y = ops.reshape(outputs, (-1, rows, tile * tiles, kernel.shape[-1]))
    return y[:, :, :length]


def _sum(factors: tuple[float, ...], terms: list[Any]) -> Any:
    """Weighted sum that leaves out what is multiplied by nothing, and multiplications by one."""
    weighted = [term if factor == 1 else term * factor for factor, term in zip(factors, terms, strict=True) if factor]
    return functools.reduce(ops.add, weighted)
