"""Batches filled up to a size that the compiler knows: what fills them does not count in batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops

_COUNTS: ContextVar[Any] = ContextVar("rows that count")


@contextmanager
def rows_that_count(counts: Any) -> Iterator[None]:
    """Within, networks of :func:`ignoring_filling` see rows with 1 in ``counts`` (batch,), and not those with 0."""
    token = _COUNTS.set(counts)
    try:
        yield
    finally:
        _COUNTS.reset(token)


def ignoring_filling(model: keras.Model) -> keras.Model:
    """The same function with the same weights, whose batch normalisation can leave rows out."""
    return keras.models.clone_model(model, clone_function=_ignoring)


def _ignoring(layer: keras.Layer) -> keras.Layer:
    return _CountingNorm(layer) if isinstance(layer, keras.layers.BatchNormalization) else layer


class _CountingNorm(keras.layers.Layer):
    def __init__(self, norm: keras.layers.BatchNormalization) -> None:
        super().__init__(name=norm.name, dtype=norm.dtype_policy)
        self.norm = norm

    def call(self, x: Any, training: bool = False, mask: Any = None) -> Any:
        counts = _COUNTS.get(None)
        if counts is None or not training:
            return self.norm(x, training=training)
        # Keras wants the mask in the shape of the input without its channels. Its own call would hand it on to layers
        # that do not know masks.
        mask = ops.reshape(counts, (-1, *[1] * (len(x.shape) - 2)))
        return self.norm.call(x, training=training, mask=ops.broadcast_to(mask, ops.shape(x)[:-1]))
