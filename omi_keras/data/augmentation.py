"""Median beats as the same patient's next recording might show them: what a network trains on with ``--augment``.

Nothing here draws an ST segment. In space, every sample of a beat goes through the same matrix, which is close to the
identity: a heart vector without ST deviation gets none, and its QRS, ST and T keep their proportion; a single lead sees
the vector from a little elsewhere. In time, a beat is moved as a whole. What is added is noise of the size that
averaging leaves in a median beat, and what is taken away is a whole lead, or a stretch of P or of what follows T. Input
contracts scale each lead to itself, so that of the gains a network sees how large the noise is beside the beat, and no
more.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from omi_keras.data.strengths import STRENGTHS, Augment, Strength
from omi_keras.recordings.record import SAMPLING_RATE
from omi_keras.simulate.heart_vector import DOWER, FROM_INDEPENDENT, rotation
from omi_keras.simulate.recording import ELECTRODES_TO_LEADS, muscle_shape, wander_shape

# Number of a batch, from 1, and its beats (n, 12, 600) → the beats that are trained on.
Augmentation = Callable[[int, np.ndarray], np.ndarray]

SAMPLES = 600
# Stretches may be masked before the PQ segment and after the T wave: from 300 to 90 ms before R, from 410 ms after it.
MASKABLE = ((150, 255), (505, 550))
_INDEPENDENT = [0, 1, 6, 7, 8, 9, 10, 11]
# The dipole that explains the eight independent leads best.
_TO_DIPOLE = np.linalg.pinv(DOWER)
_TO_NEIGHBOUR = np.gradient(np.eye(6), axis=0)
# Above 150 Hz no median beat has anything.
_MUSCLE = muscle_shape(np.maximum(np.arange(0.0, 150.1, SAMPLING_RATE / SAMPLES), 1.0))
_MUSCLE *= 0.5 * SAMPLES / np.sqrt(np.square(_MUSCLE).sum())
# What is slower than 0.3 Hz is a level within 1.2 s, and the beat's own baseline is taken off.
_SLOW_HZ = np.arange(0.3, 2.5, 0.15)
_WANDER = wander_shape(_SLOW_HZ)
_WANDER /= np.sqrt(np.square(_WANDER).sum())
_TURNS = 2 * np.pi * _SLOW_HZ[:, None] * np.arange(SAMPLES) / SAMPLING_RATE
_WAVES = np.concatenate([_WANDER[:, None] * np.cos(_TURNS), _WANDER[:, None] * np.sin(_TURNS)]).astype(np.float32)


def augmentation(name: Augment, seed: int, fold: int, epoch: int) -> Augmentation | None:
    """What is done to the batches of one epoch of one fold, a function of the arguments alone; None for ``"none"``."""
    if name == "none":
        return None
    strength = STRENGTHS[name]
    # Batches count from 1: a zero at the end would be the sampler's own generator.
    return lambda batch, beats: augmented(beats, strength, np.random.default_rng([seed, fold, epoch, batch]))


def augmented(beats: np.ndarray, strength: Strength, rng: np.random.Generator) -> np.ndarray:
    """Beats as another recording might show them.

    Parameters
    ----------
    beats
        (n, 12, 600) median beats, mV, R at sample 300. Not changed.
    strength
        One of :data:`STRENGTHS`, or another.
    rng
        Source of all chance.

    Returns
    -------
    numpy.ndarray
        (n, 12, 600) float32, mV. Beats that follow Einthoven's and Goldberger's laws follow them still, except in leads
        that are masked.

    Examples
    --------
    >>> import numpy as np
    >>> from omi_keras.data.augmentation import augmented
    >>> from omi_keras.data.strengths import STRENGTHS
    >>> augmented(beats[:2], STRENGTHS["light"], np.random.default_rng(0)).shape
    (2, 12, 600)
    """
    n = len(beats)
    x = _shifted(np.asarray(beats, np.float32), rng.integers(-strength.shift, strength.shift + 1, n))
    x = _mixing(n, strength, rng) @ x
    if strength.wander or strength.muscle:
        x += _noise(n, strength, rng)
    _mask_leads(x, strength, rng)
    _mask_stretches(x, strength, rng)
    return x


def _shifted(beats: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Each beat ``by`` samples later; at its ends the first or last sample is repeated."""
    samples = np.clip(np.arange(SAMPLES) - by[:, None], 0, SAMPLES - 1)
    return np.take_along_axis(beats, samples[:, None, :], axis=-1)


def _mixing(n: int, strength: Strength, rng: np.random.Generator) -> np.ndarray:
    """(n, 12, 12) float32: how each lead is mixed from what the leads were, the same at every sample.

    Only what changes is added to the leads: a recording whose III is not quite II − I keeps its own III. One gain is of
    all leads.
    """
    angles = np.clip(rng.standard_normal((n, 3)), -2, 2) * strength.rotation
    turn = np.stack([rotation(*each) for each in angles]) - np.eye(3) if n else np.empty((0, 3, 3))
    # What electrodes of the limbs see elsewhere, as in omi_keras.simulate.anatomy.displaced.
    seen = DOWER @ turn
    seen[:, :2] += 0.33 * strength.displacement * rng.standard_normal((n, 2, 3)) * np.abs(DOWER[:2]).max(axis=0)
    independent = np.eye(8) + seen @ _TO_DIPOLE
    along = strength.displacement * rng.standard_normal((n, 6, 1))
    independent[:, 2:, 2:] += along * _TO_NEIGHBOUR
    independent[:, 2:] *= np.exp(strength.lead_gain * rng.standard_normal((n, 6, 1)))
    gain = np.exp(strength.gain * rng.standard_normal((n, 1, 1)))
    mixing = np.tile(np.eye(12), (n, 1, 1))
    mixing[:, :, _INDEPENDENT] += FROM_INDEPENDENT @ (independent - np.eye(8))
    return (gain * mixing).astype(np.float32)


def _noise(n: int, strength: Strength, rng: np.random.Generator) -> np.ndarray:
    """(n, 12, 600) float32 mV: noise arises at nine electrodes, some noisier than others, and reaches the leads."""
    to_leads = (FROM_INDEPENDENT @ ELECTRODES_TO_LEADS).astype(np.float32)
    sizes = np.exp(0.4 * rng.standard_normal((n, 9, 2), np.float32))
    slow = rng.standard_normal((n, 9, len(_WAVES)), np.float32) * (strength.wander * sizes[..., :1])
    noise = (to_leads @ slow) @ _WAVES
    spectrum = rng.standard_normal((n, 9, 2 * len(_MUSCLE)), np.float32) * (strength.muscle * sizes[..., 1:])
    # Eight transforms instead of twelve; four leads are made of two.
    spectrum = (ELECTRODES_TO_LEADS @ spectrum).view(np.complex64) * _MUSCLE.astype(np.float32)
    noise += FROM_INDEPENDENT.astype(np.float32) @ np.fft.irfft(spectrum, SAMPLES)
    return noise


def _mask_leads(x: np.ndarray, strength: Strength, rng: np.random.Generator) -> None:
    """Some leads lie flat, as those of an electrode that is off. In place."""
    chosen = rng.random(len(x)) < strength.lead_masks
    count = rng.integers(1, strength.most_leads + 1, len(x))
    order = np.argsort(rng.random((len(x), 12)), axis=1)
    rank = np.argsort(order, axis=1)
    x[chosen[:, None] & (rank < count[:, None])] = 0.0


def _mask_stretches(x: np.ndarray, strength: Strength, rng: np.random.Generator) -> None:
    """In about half of the leads a straight line bridges 40 to 80 ms, outside PQ, QRS, ST and T. In place."""
    drawn = rng.random((len(x), 4))
    leads = rng.random((len(x), 12)) < 0.5
    for number in np.flatnonzero(drawn[:, 0] < strength.stretch_masks):
        first, last = MASKABLE[int(drawn[number, 1] * len(MASKABLE))]
        length = 20 + int(drawn[number, 2] * 21)
        start = first + int(drawn[number, 3] * (last - first - length + 1))
        ends = x[number, leads[number]][:, [start, start + length - 1]]
        line = np.linspace(0, 1, length, dtype=np.float32)
        x[number, leads[number], start : start + length] = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * line
