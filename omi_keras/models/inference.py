"""Median beats → probabilities of OMI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np

from omi_keras.beats.contracts import CONTRACT
from omi_keras.beats.model_inputs import model_input
from omi_keras.evaluation.platt import probability_of
from omi_keras.models.ensemble import members_of
from omi_keras.models.fast.fast_form import F4, fast_form
from omi_keras.models.fast.memory import keep_freed_memory

# On a CPU, what flows between the layers for 32 ECGs stays in its cache: ECG-SMART-NET is a sixth faster than with 128.
BATCH_SIZE = 32
# 20 MB of beats at a time, whatever the size of the memory map behind them.
CHUNK = 16 * BATCH_SIZE

_COMPILED: WeakKeyDictionary[keras.Model, Callable[[np.ndarray], Any]] = WeakKeyDictionary()


def predict_logits(
    model: keras.Model, beats: np.ndarray, rows: np.ndarray | None = None, *, contract: str = CONTRACT
) -> np.ndarray:
    """Logits (n, 2) float32 of median beats (n, 12, 600) in mV, or of some rows of them, with constant memory.

    ``contract`` is the input contract of the model.
    """
    parts = [np.empty((0, 2), np.float32)]
    for start in range(0, len(beats if rows is None else rows), CHUNK):
        chunk = slice(start, start + CHUNK)
        x = model_input(beats[chunk if rows is None else rows[chunk]], contract)
        parts.append(input_logits(model, x[..., None]))
    return np.concatenate(parts)


def input_logits(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Logits (n, 2) float32 of model inputs (n, 12, 400, 1), or as the contract of the model has them.

    In batches of one size, the last one filled up with zeros, because XLA compiles every size anew. Fewer ECGs than
    a batch are not worth it, or than a batch for each member of an ensemble, each of which is compiled.
    """
    if len(x) < BATCH_SIZE * members_of(model):
        parts = [x[start : start + BATCH_SIZE] for start in range(0, len(x), BATCH_SIZE)] or [x]
        return np.concatenate([np.asarray(model.predict_on_batch(part)) for part in parts])
    network = _compiled(model)
    logits = np.empty((len(x), 2), np.float32)
    for start in range(0, len(x), BATCH_SIZE):
        batch = x[start : start + BATCH_SIZE]
        full = np.zeros((BATCH_SIZE, *x.shape[1:]), x.dtype)
        full[: len(batch)] = batch
        logits[start : start + len(batch)] = np.asarray(network(full))[: len(batch)]
    return logits


def _compiled(model: keras.Model) -> Callable[[np.ndarray], Any]:
    """Model inputs → logits, compiled by XLA. Made once for each model."""
    if keras.backend.backend() != "tensorflow":
        return model.predict_on_batch  # compiled by JAX
    if model not in _COMPILED:
        import tensorflow as tf

        keep_freed_memory()
        # Shares the weights, and does not keep the model alive.
        twin = fast_form(model, F4)
        # Keras itself would refuse XLA where TensorFlow is told to be deterministic, which these operators are.
        _COMPILED[model] = tf.function(lambda x: twin(x, training=False), jit_compile=True)
    return _COMPILED[model]


def omi_probability(logits: np.ndarray) -> np.ndarray:
    """P(OMI) = softmax[1] of logits (n, 2), float64."""
    return probability_of(logits[:, 1].astype(np.float64) - logits[:, 0])


def cross_entropy(logits: np.ndarray, omi: np.ndarray) -> float:
    """Mean cross-entropy of logits (n, 2) against labels 0/1."""
    sign = np.where(np.asarray(omi) == 1, 1.0, -1.0)
    return float(np.mean(np.logaddexp(0, -sign * (logits[:, 1].astype(np.float64) - logits[:, 0]))))
