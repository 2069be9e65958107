"""Batches of model inputs as a ``tf.data.Dataset``: what the sampler drew, gathered and prefetched.

Chance is the sampler's alone (:mod:`omi_keras.data.batches`): the pipeline turns its rows into arrays,
deterministic and without a state that a checkpoint would have to hold. ``Dataset.from_generator`` would cost several
times as much.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import get_args

import numpy as np
import tensorflow as tf

from omi_keras.beats.contracts import CONTRACT, input_shape
from omi_keras.data.augmentation import Augmentation, augmentation
from omi_keras.data.batches import Balance, fold_batches, read_batch
from omi_keras.data.dataset import Dataset
from omi_keras.data.folds import assign_folds, check_both_classes, rotation
from omi_keras.data.strengths import Augment
from omi_keras.recordings.errors import InputError

# Model inputs of as many bytes stay in memory, made once (100,000 ECGs); of more, each batch is read from the
# memory map when its turn comes.
IN_MEMORY_BYTES = 2 << 30
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
    contract
        Input contract of the network, one of :data:`omi_keras.beats.CONTRACTS`.
    memory
        Bytes of model inputs that may stay in memory; augmented ones are always made anew.
    """

    def __init__(
        self,
        beats: np.ndarray,
        omi: np.ndarray,
        training: np.ndarray,
        contract: str = CONTRACT,
        *,
        memory: int = IN_MEMORY_BYTES,
    ) -> None:
        self._beats, self._contract = beats, contract
        self._shape = (None, *input_shape(contract))
        self._labels = tf.constant(np.asarray(omi), tf.int32)
        self._inputs: tf.Tensor | None = None
        shape = (len(training), *input_shape(contract))
        if 4 * np.prod(shape) <= memory:
            inputs = np.empty(shape, np.float32)
            for start in range(0, len(training), _PART):
                part = slice(start, start + _PART)
                inputs[part] = read_batch(beats, training[part], contract)
            with tf.device("CPU"):
                self._inputs = tf.constant(inputs)
            place = np.full(len(beats), -1, np.int64)
            place[training] = np.arange(len(training))
            self._place = tf.constant(place)

    def epoch(self, batches: Sequence[np.ndarray], augment: Augmentation | None = None) -> tf.data.Dataset:
        """The batches of rows as pairs of x (n, 12, 400 or 200, 1) float32 and y (n,) int32, in order.

        With ``augment`` they show what it makes of their beats.
        """
        rows = tf.RaggedTensor.from_row_lengths(
            np.concatenate([np.empty(0, np.int64), *batches]), [len(batch) for batch in batches]
        )
        options = tf.data.Options()
        options.deterministic = True
        # Nothing here is worth a thread for each element, nor a search for better settings.
        options.autotune.enabled = False
        data = tf.data.Dataset.from_tensor_slices(rows)
        if augment is not None:
            data = data.enumerate(1).map(lambda number, rows: self._augmented(augment, number, rows))
        else:
            data = data.map(self._gathered)
        return data.prefetch(AHEAD).with_options(options)

    def _augmented(self, augment: Augmentation, number: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def read(number: np.ndarray, rows: np.ndarray) -> np.ndarray:
            return read_batch(self._beats, rows, self._contract, functools.partial(augment, int(number)))

        x = tf.numpy_function(read, [number, rows], tf.float32, stateful=False)
        return tf.ensure_shape(x, self._shape), tf.gather(self._labels, rows)

    def _gathered(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if self._inputs is not None:
            x = tf.gather(self._inputs, tf.gather(self._place, rows))
        else:
            x = tf.numpy_function(self._read, [rows], tf.float32, stateful=False)
            x = tf.ensure_shape(x, self._shape)
        return x, tf.gather(self._labels, rows)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        return read_batch(self._beats, rows, self._contract)


def training_data(
    dataset: Dataset,
    fold: int,
    epoch: int = 1,
    *,
    n_folds: int = 10,
    seed: int = 0,
    batch_size: int = 128,
    balance: Balance = "batch",
    contract: str = CONTRACT,
    augment: Augment = "none",
) -> tf.data.Dataset:
    """What a run of the same settings trains on in one epoch of one fold, for a network of one's own.

    Parameters
    ----------
    dataset
        The dataset; its ECGs without a label are left out.
    fold
        The test fold, from 0; the next one validates, the others train.
    epoch
        From 1: each draws other ECGs without OMI.
    n_folds, seed
        Of the division into patient-grouped folds.
    batch_size, balance
        As :func:`omi_keras.data.batches.epoch_batches`.
    contract
        Input contract of the network, one of :data:`omi_keras.beats.CONTRACTS`.
    augment
        Show the beats as other recordings might: ``"light"`` or ``"strong"`` (:mod:`omi_keras.data.augmentation`).

    Returns
    -------
    Pairs of x (n, 12, 400, 1) float32, z-scored per lead, and y (n,) int32; of ``maxabs-200``, x is (n, 12, 200, 1).
    The batches are shuffled already and of their own sizes: ``network.fit(data, shuffle=False)``.

    Raises
    ------
    InputError
        When there is no such fold, epoch or contract, or a part of the fold has one class only.

    Examples
    --------
    >>> from omi_keras.data.pipeline import training_data
    >>> network.fit(training_data(dataset, fold=0, epoch=1), shuffle=False)  # doctest: +SKIP
    """
    for what, number, first in (("fold", fold, 0), ("epoch", epoch, 1)):
        if number < first:
            raise InputError(f"{what} {number} does not exist: they count from {first}", f"no_such_{what}")
    if fold >= n_folds:
        raise InputError(f"fold {fold} does not exist: there are folds 0 to {n_folds - 1}", "no_such_fold")
    if batch_size < 2:
        raise InputError(f"a batch of {batch_size} cannot hold both classes; take 2 or more", "batch_size")
    if augment not in get_args(Augment):
        raise InputError(f"augment cannot be {augment!r}: take {' or '.join(get_args(Augment))}", "augment")
    rows = dataset.labelled()
    labels, patients = (dataset.ecgs[column].iloc[rows] for column in ("omi", "patient_id"))
    fold_of = assign_folds(labels.to_numpy(int), patients.to_numpy(str), n_folds, seed)
    check_both_classes(labels.to_numpy(int), fold_of, fold, n_folds)
    omi = np.full(len(dataset.ecgs), -1)
    omi[rows] = labels.to_numpy(int)
    training = rows[np.isin(fold_of, rotation(fold, n_folds)[0])]
    batches = fold_batches(omi, training, fold, epoch, seed=seed, batch_size=batch_size, balance=balance)
    # Of one epoch, the rows that it draws are enough.
    drawn = np.unique(np.concatenate(batches)) if batches else training[:0]
    memory = IN_MEMORY_BYTES if augment == "none" else 0
    pipeline = TrainingPipeline(dataset.beats, omi, drawn, contract, memory=memory)
    return pipeline.epoch(batches, augmentation(augment, seed, fold, epoch))
