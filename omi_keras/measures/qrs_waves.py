"""Q, R, S and R′ of each lead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omi_keras.beats.median_beats import R_SAMPLE
from omi_keras.measures.beat_arrays import MS, between
from omi_keras.measures.fiducials import QRS_REACH

# A wave must leave the baseline by this share of its own lead's QRS complex, and of the beat's largest one, which
# tells how strong the beat is against its noise.
OWN_SHARE = 0.03
LARGEST_SHARE = 0.01
# Its duration is taken where it passes this share of that height: at zero, noise would lengthen it.
WIDTH_SHARE = 1.0 / 3.0

Q, R, S, R_PRIME = range(4)


@dataclass(frozen=True)
class QrsWaves:
    """The waves of n beats.

    Attributes
    ----------
    amplitude
        (n, 12, 4) mV, signed (Q and S negative), against the PR segment; 0 for a wave that is not there.
    duration
        (n, 12, 4) ms, 0 likewise.
    peak_to_peak
        (n, 12) mV, highest minus lowest sample from QRS onset to J.
    """

    amplitude: np.ndarray
    duration: np.ndarray
    peak_to_peak: np.ndarray


def qrs_waves(beats: np.ndarray, onset: np.ndarray, j: np.ndarray) -> QrsWaves:
    """Split each QRS complex into the waves that electrocardiographers name.

    R is the first upward wave, Q the downward one before it, S the downward one after it, R′ the next upward
    one. A complex that only goes down (QS) is a Q wave, as infarct criteria count it (Thygesen et al., Fourth
    Universal Definition of Myocardial Infarction, Circulation 2018;138:e618-e651). A later wave that is still
    growing at J is the ST segment and no wave.

    Parameters
    ----------
    beats
        (n, 12, 600) finite floats, mV, 500 Hz, R at sample 300, PR segment at zero. Not changed.
    onset, j
        (n,) sample numbers from :func:`omi_keras.measures.fiducials.delineate`.

    Returns
    -------
    QrsWaves
    """
    first = R_SAMPLE - QRS_REACH
    x = beats[:, :, first : R_SAMPLE + QRS_REACH + 1]
    inside = between(onset - first, j - first, x.shape[2])[:, None, :]
    size = np.where(inside, x, -np.inf).max(axis=2) - np.where(inside, x, np.inf).min(axis=2)
    least = np.maximum(OWN_SHARE * size, LARGEST_SHARE * size.max(axis=1, keepdims=True))
    edge = WIDTH_SHARE * least[:, :, None]
    up, down = x > edge, x < -edge
    side = np.where(inside, up.astype(np.int8) - down.astype(np.int8), 0).reshape(-1, x.shape[2])
    row, sign, peak, length = _waves(side, np.abs(x).reshape(side.shape), least.ravel(), np.repeat(j - first, 12))
    # Alternating signs: what comes first decides what the others are called.
    new_row = np.r_[True, row[1:] != row[:-1]]
    start = np.maximum.accumulate(np.where(new_row, np.arange(len(row)), 0))
    name = np.arange(len(row)) - start + np.where(sign[start] > 0, R, Q)
    named = name <= R_PRIME
    amplitude, duration = np.zeros((len(side), 4)), np.zeros((len(side), 4))
    amplitude[row[named], name[named]] = (sign * peak)[named]
    duration[row[named], name[named]] = length[named] * MS
    shape = (*size.shape, 4)
    return QrsWaves(amplitude.reshape(shape), duration.reshape(shape), size)


def _waves(
    side: np.ndarray, height: np.ndarray, least: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Runs of one sign, small ones and the ST segment left out, joined across what was left out.

    Parameters
    ----------
    side, height
        (rows, samples): −1, 0 or 1, and the distance from the baseline.
    least, last
        (rows,): smallest height, and sample of J.

    Returns
    -------
    row, sign, peak, length
        (waves,) each, in the order of rows and time.
    """
    width = side.shape[1]
    change = np.ones(side.shape, dtype=bool)
    change[:, 1:] = side[:, 1:] != side[:, :-1]
    start = np.flatnonzero(change)
    stop = np.append(start[1:], side.size)
    peak = np.maximum.reduceat(height.ravel(), start)
    row, sign = start // width, side.ravel()[start].astype(np.intp)

    real = (sign != 0) & (peak > least[row])
    row, sign, peak, start, stop = (a[real] for a in (row, sign, peak, start, stop))
    later = np.r_[False, row[1:] == row[:-1]]
    at_j = stop - row * width == last[row] + 1
    rises = peak - height[row, last[row]] <= least[row]
    wave = ~(later & at_j & rises)
    row, sign, peak, start, stop = (a[wave] for a in (row, sign, peak, start, stop))
    if len(row) == 0:
        return row, sign, peak, start
    first = np.flatnonzero(np.r_[True, (row[1:] != row[:-1]) | (sign[1:] != sign[:-1])])
    end = np.append(first[1:], len(row)) - 1
    return row[first], sign[first], np.maximum.reduceat(peak, first), stop[end] - start[first]
