"""Pacemaker spikes: paced rhythms distort ST and T, so a reader must know of them, and no spike is a heart wave."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from omi_keras.beats.median import median
from omi_keras.recordings.record import SAMPLING_RATE

# Where a spike stands before R, samples: up to 300 ms (atrial), and until just beyond the onset of QRS, which a
# ventricular spike is taken for.
FIRST, BEYOND_ONSET = int(0.30 * SAMPLING_RATE), int(0.016 * SAMPLING_RATE)
# A spike rises or falls within two or three samples, through a monitor's 150 Hz filter too, and so do both ends of one
# that a recorder has stretched. Neighbours so far away rise much less; no wave of the heart starts so suddenly.
AWAY = 3
# Over all leads: the sudden part of a rise from one sample to the next, and how far it stands above what else is sudden
# around the beat. Sharp QRS complexes of real recordings reach 0.2 mV, where they come back at the same place.
MIN_MV = 0.25
MIN_RATIO = 5.0
# So much of the rise must be sudden: tall and narrow QRS complexes are fast, but nowhere all at once.
MIN_SUDDEN = 0.7
# On so many of the beats, at the same distance from them, give or take so many samples.
MIN_SHARE = 0.6
JITTER = 4
# What is bridged: everything as sudden as so much of the usual spike, with so many samples beyond it on either side;
# both ends of a stretched spike, which are at most so far apart.
SAME_SHARE = 0.2
MARGIN = 2
# Electrodes discharge after a spike: bridged too, as long as that slows down, is so fast still, and at most so long.
DISCHARGE_SHARE = 0.02
DISCHARGE = int(0.024 * SAMPLING_RATE)
STRETCHED = int(0.030 * SAMPLING_RATE)


def sudden(signal: np.ndarray) -> np.ndarray:
    """How much faster the leads rise or fall from each sample to the next than 6 ms before and after, in mV.

    0 where most of the rise is not sudden.

    (..., 12, samples) mV at 500 Hz → (..., samples - 7); the first value is of the step from sample 3 to 4.
    """
    step = np.diff(signal, axis=-1)
    here = step[..., AWAY:-AWAY]
    left, right = here - step[..., : -2 * AWAY], here - step[..., 2 * AWAY :]
    # Faster than both neighbours in the same direction: by how much it is faster than the nearer one.
    out = np.where(left * right > 0.0, np.minimum(np.abs(left), np.abs(right)), 0.0)
    size = np.sqrt(np.square(out).sum(axis=-2))
    return np.where(size >= MIN_SUDDEN * np.sqrt(np.square(here).sum(axis=-2)), size, 0.0)


def spike_mv(signal: np.ndarray, peaks: np.ndarray, onset: int) -> float:
    """Size of the spikes that most beats follow, 0 where they do not.

    Parameters
    ----------
    signal
        (12, samples) mV, 500 Hz, not low-passed below 100 Hz.
    peaks
        (beats,) samples of R, of normal beats.
    onset
        Where the QRS complex begins, in samples from R.
    """
    last = onset + BEYOND_ONSET
    inside = peaks[(peaks >= FIRST + AWAY) & (peaks < signal.shape[1] - max(last, 0) - AWAY - 1)]
    if len(inside) < 3:
        return 0.0
    around = sliding_window_view(signal, FIRST + last + 2 * AWAY + 1, axis=1)[:, inside - FIRST - AWAY]
    size = sudden(around.transpose(1, 0, 2))
    at, height = size.argmax(axis=1), size.max(axis=1)
    spike = height > max(MIN_MV, MIN_RATIO * float(median(size.ravel())))
    if spike.sum() < MIN_SHARE * len(inside):
        return 0.0
    steady = spike & (np.abs(at - median(at[spike])) <= JITTER)
    return float(median(height[steady])) if steady.sum() >= MIN_SHARE * len(inside) else 0.0


def without_spikes(signal: np.ndarray, usual_mv: float) -> np.ndarray:
    """The recording with straight lines in the place of its spikes.

    Parameters
    ----------
    signal
        (12, samples) mV, 500 Hz. Not changed.
    usual_mv
        Their size, from :func:`spike_mv`.

    Returns
    -------
    numpy.ndarray
        (12, samples), same type.
    """
    found = np.flatnonzero(sudden(signal) > max(MIN_MV, SAME_SHARE * usual_mv)) + AWAY
    bridged = signal.copy()
    if len(found) == 0:
        return bridged
    speed = np.sqrt(np.square(np.diff(signal, axis=1)).sum(axis=0))
    slows = np.append((speed[1:] < speed[:-1]) & (speed[1:] > DISCHARGE_SHARE * usual_mv), False)
    ends = np.flatnonzero(np.diff(found) > STRETCHED)
    for first, last in zip(found[np.r_[0, ends + 1]], found[np.r_[ends, len(found) - 1]], strict=True):
        after = slows[last + MARGIN : last + MARGIN + DISCHARGE]
        rest = int(np.argmin(after)) if not after.all() else len(after)
        a, b = max(first - MARGIN, 0), min(last + 1 + MARGIN + rest, signal.shape[1] - 1)
        way = np.linspace(0.0, 1.0, b - a + 1, dtype=signal.dtype)
        bridged[:, a : b + 1] = signal[:, a, None] * (1 - way) + signal[:, b, None] * way
    return bridged
