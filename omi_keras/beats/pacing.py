"""Pacemaker spikes: paced rhythms distort ST and T, so a reader must know of them."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from omi_keras.beats.median import median
from omi_keras.recordings.record import SAMPLING_RATE

# Where a spike stands before the middle of its QRS complex, samples: up to 300 ms (atrial), not in the QRS itself.
FIRST, LAST = int(0.30 * SAMPLING_RATE), int(0.04 * SAMPLING_RATE)
# A spike through a monitor's 150 Hz filter is at most so wide on each side, samples; no wave of the heart is.
HALF_WIDTH = 3
# Over all leads: so large, and so far above what else sticks out before the beat.
MIN_MV = 0.25
MIN_RATIO = 8.0
# On so many of the beats, at the same distance from them, give or take so many samples.
MIN_SHARE = 0.6
JITTER = 4


def is_paced(signal: np.ndarray, peaks: np.ndarray) -> bool:
    """Whether most beats follow a spike.

    Parameters
    ----------
    signal
        (12, samples) mV, 500 Hz, not low-passed below 100 Hz.
    peaks
        (beats,) samples near the middle of each QRS complex.
    """
    reach = FIRST + HALF_WIDTH
    inside = peaks[(peaks >= reach) & (peaks < signal.shape[1])]
    if len(inside) < 3:
        return False
    before = sliding_window_view(signal, FIRST - LAST + 2 * HALF_WIDTH, axis=1)[:, inside - reach]
    middle = before[:, :, HALF_WIDTH:-HALF_WIDTH]
    left, right = middle - before[:, :, : -2 * HALF_WIDTH], middle - before[:, :, 2 * HALF_WIDTH :]
    # Seldom does anything stand out at all.
    if min(np.abs(left).max(), np.abs(right).max()) < MIN_MV / np.sqrt(len(signal)):
        return False
    # Above both neighbours or below both: how far it sticks out of the nearer one.
    out = np.where(left * right > 0.0, np.minimum(np.abs(left), np.abs(right)), 0.0)
    size = np.sqrt(np.square(out).sum(axis=0))
    at, height = size.argmax(axis=1), size.max(axis=1)
    spike = height > np.maximum(MIN_MV, MIN_RATIO * median(size))
    if spike.sum() < MIN_SHARE * len(inside):
        return False
    steady = np.abs(at[spike] - median(at[spike])) <= JITTER
    return bool(steady.sum() >= MIN_SHARE * len(inside))
