"""Balanced batches of training ECGs, anew in each epoch (paper section II.B).

The sampler is NumPy and gives row numbers, the same for every backend; :mod:`omi_keras.data.pipeline` and the epochs on
JAX turn them into model inputs. Batches keep their own size: batch normalisation sees ECGs only, no padding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from omi_keras.beats.contracts import CONTRACT, input_shape
from omi_keras.beats.model_inputs import model_input

Balance = Literal["batch", "class", "none"]
BALANCES: tuple[Balance, ...] = ("batch", "class", "none")


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
        draws, while the others last. ``"none"``: all ECGs, in batches of at most ``batch_size`` and nearly one size.
    rng
        Source of all chance: the same state gives the same batches.

    Returns
    -------
    List of int arrays, rows in random order.
    """
    if balance == "class":
        return _class_batches(omi, batch_size, rng)
    if balance == "none":
        return list(np.array_split(rng.permutation(len(omi)), max(1, -(-len(omi) // batch_size))))
    return _undersampled_batches(omi, batch_size, rng)


def fold_batches(
    omi: np.ndarray,
    training: np.ndarray,
    fold: int,
    epoch: int,
    *,
    seed: int = 0,
    batch_size: int = 128,
    balance: Balance = "batch",
) -> list[np.ndarray]:
    """Rows of the batches of one epoch of one fold: a function of its arguments and nothing else.

    Parameters
    ----------
    omi
        (n_ecgs,) labels of the whole dataset.
    training
        Rows of it that the fold is trained on.
    fold, epoch
        Test fold, from 0, and epoch, from 1.
    seed
        Of the run.
    batch_size, balance
        As :func:`epoch_batches`.

    Returns
    -------
    List of int arrays, rows of the dataset.
    """
    batches = epoch_batches(omi[training], batch_size, balance, np.random.default_rng([seed, fold, epoch]))
    return [training[rows] for rows in batches]


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


def read_batch(
    beats: np.ndarray,
    rows: np.ndarray,
    contract: str = CONTRACT,
    augment: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Model inputs (len(rows), 12, 400, 1) float32 of some rows of (n, 12, 600) beats, or as the contract has them.

    ``augment`` may change the beats before.
    """
    # A memory map reads ascending rows in one sweep of the disk.
    order = np.argsort(rows)
    if augment is not None:
        chosen = np.empty((len(rows), *beats.shape[1:]), np.float32)
        chosen[order] = beats[rows[order]]
        return model_input(augment(chosen), contract)[..., None]
    x = np.empty((len(rows), *input_shape(contract)), np.float32)
    x[order] = model_input(beats[rows[order]], contract)[..., None]
    return x
