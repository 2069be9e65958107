"""Median beats → probabilities of OMI."""

from __future__ import annotations

import keras
import numpy as np

from omi_keras.signal.model_input import model_input

BATCH_SIZE = 128
# 20 MB of beats at a time, whatever the size of the memory map behind them.
CHUNK = 4 * BATCH_SIZE


def predict_logits(model: keras.Model, beats: np.ndarray) -> np.ndarray:
    """Logits (n, 2) float32 of median beats (n, 12, 600) in mV, with constant memory."""
    parts = [np.empty((0, 2), np.float32)]
    for start in range(0, len(beats), CHUNK):
        x = model_input(beats[start : start + CHUNK])[..., None]
        parts.append(model.predict(x, batch_size=BATCH_SIZE, verbose=0))
    return np.concatenate(parts)


def omi_probability(logits: np.ndarray) -> np.ndarray:
    """P(OMI) = softmax[1] of logits (n, 2), float64."""
    difference = logits[:, 1].astype(np.float64) - logits[:, 0]
    # exp of a negative number never overflows.
    tail = np.exp(-np.abs(difference))
    return np.where(difference >= 0, 1, tail) / (1 + tail)


def cross_entropy(logits: np.ndarray, omi: np.ndarray) -> float:
    """Mean cross-entropy of logits (n, 2) against labels 0/1."""
    sign = np.where(np.asarray(omi) == 1, 1.0, -1.0)
    return float(np.mean(np.logaddexp(0, -sign * (logits[:, 1].astype(np.float64) - logits[:, 0]))))
