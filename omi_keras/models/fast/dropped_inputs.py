"""Dropout before the read-out (Srivastava et al. 2014), in the network that is trained and in no other.

What is kept is drawn in NumPy by whoever trains, as the rows of a batch are: the same on every backend, and without a
state that a checkpoint would have to hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np
from keras import ops

_KEPT: ContextVar[Any] = ContextVar("inputs of the read-out that are kept")


@contextmanager
def keeping(kept: Any) -> Iterator[None]:
    """Within, networks of :func:`dropping_inputs` that are called for training see what ``kept`` says.

    ``kept`` is (batch, inputs) of :func:`draw_kept`, or None: everything.
    """
    token = _KEPT.set(kept)
    try:
        yield
    finally:
        _KEPT.reset(token)


def dropping_inputs(network: keras.Model) -> keras.Model:
    """The same function of the same weights, whose read-out, the last layer, can lose some of its inputs."""
    last = network.layers[-1]
    return keras.models.clone_model(network, clone_function=lambda layer: _Dropping(layer) if layer is last else layer)


def read_out_inputs(network: keras.Model) -> int:
    """How many inputs the read-out of a network has."""
    return int(network.layers[-1].kernel.shape[0])


def draw_kept(rng: np.random.Generator, ecgs: int, inputs: int, rate: float) -> np.ndarray:
    """(ecgs, inputs) float32: 0 for what is dropped, with probability ``rate``, else 1 / (1 − rate)."""
    return (rng.random((ecgs, inputs)) >= rate).astype(np.float32) / np.float32(1 - rate)


class _Dropping(keras.layers.Layer):
    def __init__(self, read_out: keras.layers.Dense) -> None:
        super().__init__(name=read_out.name, dtype=read_out.dtype_policy)
        self.read_out = read_out

    def call(self, x: Any, training: bool = False) -> Any:
        kept = _KEPT.get(None)
        return self.read_out(x if kept is None or not training else x * ops.cast(kept, x.dtype))
