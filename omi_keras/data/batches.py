"""Balanced batches of training ECGs, anew in each epoch (paper section II.B).

The sampler is NumPy and gives row numbers, the same for every backend. ``tf.data`` then reads the rows from the
memory-mapped beats while the model trains. Batches keep their own size: the batch axis of the pipeline is
unknown to TensorFlow, so nothing is traced again, nothing is padded, and batch normalisation sees ECGs only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from omi_keras.signal.model_input import model_input

if TYPE_CHECKING:
    import tensorflow as tf

Balance = Literal["batch", "class"]
BALANCES: tuple[Balance, ...] = ("batch", "class")


def epoch_batches(omi: np.ndarray, batch_size: int, balance: Balance, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows of each batch of one epoch.

    Parameters
    ----------
    omi
        (n,) labels 0/1 of the training ECGs.
    batch_size
        ECGs drawn for a batch (paper: 128).
    balance
        ``"batch"``: the paper's. Shuffle all ECGs, draw ``batch_size`` at a time, keep every OMI among them and
        undersample the others 1:1; a draw without both classes is skipped, so batches hold about 2 × prevalence ×
        ``batch_size`` ECGs. ``"class"``: full batches, one half of each class, the others
        without replacement while they last, OMI repeated as often as needed; as many batches as the first mode
        draws, while the others last.
    rng
        Source of all chance: the same state gives the same batches.

    Returns
    -------
    List of int arrays, rows in random order.
    """
    if balance == "class":
        return _class_batches(omi, batch_size, rng)
    return _undersampled_batches(omi, batch_size, rng)


def _undersampled_batches(omi: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    order = rng.permutation(len(omi))
    batches = []
    for start in range(0, len(order), batch_size):
        drawn = order[start : start + batch_size]
        positive, negative = drawn[omi[drawn] == 1], drawn[omi[drawn] == 0]
        kept = rng.choice(negative, min(len(positive), len(negative)), replace=False)
        if len(kept):
            batches.append(rng.permutation(np.concatenate([positive, kept])))
    return batches


def _class_batches(omi: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    half = batch_size // 2
    positive, negative = np.flatnonzero(omi == 1), rng.permutation(np.flatnonzero(omi == 0))
    count = max(1, min(len(omi) // batch_size, len(negative) // half))
    negative = np.resize(negative, count * half)
    rounds = -(-count * half // len(positive))
    positive = np.concatenate([rng.permutation(positive) for _ in range(rounds)])[: count * half]
    pairs = zip(positive.reshape(count, half), negative.reshape(count, half), strict=True)
    return [rng.permutation(np.concatenate(pair)) for pair in pairs]


def read_batch(beats: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Model input (len(rows), 12, 400, 1) float32 of some rows of (n, 12, 600) beats."""
    # A memory map reads ascending rows in one sweep of the disk.
    order = np.argsort(rows)
    x = np.empty((len(rows), 12, 400, 1), np.float32)
    x[order] = model_input(beats[rows[order]])[..., None]
    return x


def tf_batches(beats: np.ndarray, omi: np.ndarray, batches: list[np.ndarray]) -> tf.data.Dataset:
    """``tf.data`` of (x (n, 12, 400, 1) float32, y (n,) int32) in the order of ``batches``, read ahead.

    Parameters
    ----------
    beats
        (n_ecgs, 12, 600) float32 mV, may be a memory map.
    omi
        (n_ecgs,) labels.
    batches
        Row numbers into both.
    """
    import tensorflow as tf

    def read() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for rows in batches:
            yield read_batch(beats, rows), omi[rows].astype(np.int32)

    signature = (tf.TensorSpec((None, 12, 400, 1), tf.float32), tf.TensorSpec((None,), tf.int32))
    pipeline = tf.data.Dataset.from_generator(read, output_signature=signature)
    return pipeline.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(2)
