"""Batches of model inputs as a ``tf.data.Dataset``: what the sampler drew, gathered and prefetched.

Chance is the sampler's alone (:mod:`omi_keras.data.batches`): the pipeline turns its rows into arrays,
deterministic and without a state that a checkpoint would have to hold. ``Dataset.from_generator`` would cost several
times as much.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from omi_keras.data.batches import read_batch

# Model inputs of as many bytes stay in memory, standardised once (100,000 ECGs); of more, each batch is read from the
# memory map when its turn comes.
IN_MEMORY_BYTES = 2 << 30
BYTES_PER_ECG = 12 * 400 * 4
# Steps that are ready before they are asked for: one that is copied, one that is being gathered.
AHEAD = 2
_PART = 2048


class TrainingPipeline:
    """Batches of one fold's training ECGs.

    Parameters
    ----------
    beats
        (n_ecgs, 12, 600) float32 mV of the whole dataset, may be a memory map.
    omi
        (n_ecgs,) labels 0/1.
    training
        Rows that batches are drawn from.
    memory
        Bytes of model inputs that may stay in memory.
    """

    def __init__(
        self, beats: np.ndarray, omi: np.ndarray, training: np.ndarray, *, memory: int = IN_MEMORY_BYTES
    ) -> None:
        self._beats = beats
        self._labels = tf.constant(np.asarray(omi), tf.int32)
        self._inputs: tf.Tensor | None = None
        if len(training) * BYTES_PER_ECG <= memory:
            inputs = np.empty((len(training), 12, 400, 1), np.float32)
            for start in range(0, len(training), _PART):
                part = slice(start, start + _PART)
                inputs[part] = read_batch(beats, training[part])
            with tf.device("CPU"):
                self._inputs = tf.constant(inputs)
            place = np.full(len(beats), -1, np.int64)
            place[training] = np.arange(len(training))
            self._place = tf.constant(place)

    def epoch(self, batches: Sequence[np.ndarray]) -> tf.data.Dataset:
        """The batches of rows as pairs of x (n, 12, 400, 1) float32 and y (n,) int32, in their order."""
        rows = tf.RaggedTensor.from_row_lengths(
            np.concatenate([np.empty(0, np.int64), *batches]), [len(batch) for batch in batches]
        )
        options = tf.data.Options()
        options.deterministic = True
        # Nothing here is worth a thread for each element, nor a search for better settings.
        options.autotune.enabled = False
        return tf.data.Dataset.from_tensor_slices(rows).map(self._gathered).prefetch(AHEAD).with_options(options)

    def _gathered(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if self._inputs is not None:
            x = tf.gather(self._inputs, tf.gather(self._place, rows))
        else:
            x = tf.ensure_shape(
                tf.numpy_function(lambda chosen: read_batch(self._beats, chosen), [rows], tf.float32, stateful=False),
                (None, 12, 400, 1),
            )
        return x, tf.gather(self._labels, rows)
