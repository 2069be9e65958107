"""Which beats belong together: alignment by cross-correlation, and the group of the normal beats."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from omi_keras.beats.median import median
from omi_keras.beats.r_peaks import QRS_RATE

# Beats are compared on ±80 ms around the middle of the QRS and may slide by ±40 ms, then by ±12 ms more.
HALF = int(0.08 * QRS_RATE)
MAX_LAG = int(0.04 * QRS_RATE)
FINE_LAG = int(0.012 * QRS_RATE)

# A beat shape is real when it comes back: correlation of the best beat with its nearest third of all others.
MIN_REPRODUCIBILITY = 0.5
# The strictest correlation that a normal beat must reach; noisy recordings are given more room, down to 0.5.
STRICT_CORRELATION = 0.85

# T waves as sharp as QRS complexes are found with them: each follows its own so soon, at nearly the same distance, and
# the next beat takes at least so much longer. Most beats must have one.
T_AFTER = int(0.36 * QRS_RATE)
T_JITTER = int(0.02 * QRS_RATE)
LONGER = 1.2
# At high rates T stands half way, and two shapes take turns: so alike among themselves, so much less alike each other,
# and one of them so much narrower.
ALIKE, LESS_ALIKE, NARROWER = 0.85, 0.1, 0.85

NO_REPRODUCIBLE = "no reproducible beats, the signal looks like noise; check electrodes and lead wires"


def segments(leads: np.ndarray, peaks: np.ndarray, half: int) -> np.ndarray:
    """Cut (beats, leads, 2 * half + 1) around each peak; samples beyond the ends are zero."""
    padded = np.zeros((len(leads), leads.shape[1] + 2 * half), dtype=leads.dtype)
    padded[:, half:-half] = leads
    return sliding_window_view(padded, 2 * half + 1, axis=1)[:, peaks].transpose(1, 0, 2)


def correlations(beats: np.ndarray) -> np.ndarray:
    """Correlation of every beat with every other over all leads, (beats, beats)."""
    x = beats.reshape(len(beats), -1)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return np.einsum("ak,bk->ab", x, x)


@lru_cache(maxsize=64)
def _comparators(n: int) -> tuple[tuple[int, int], ...]:
    """Batcher's odd-even merge sort: the pairs to compare and exchange, in order."""
    pairs = []
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(min(k, n - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        pairs.append((i + j, i + j + k))
            k //= 2
        p *= 2
    return tuple(pairs)


def rank_in_place(beats: np.ndarray) -> list[np.ndarray]:
    """Sort along the first axis by moving samples between the beats; the array itself is scrambled.

    A sorting network over whole beats: minima and maxima of 7,200 samples at a time are several times faster
    than 7,200 sorts of a dozen numbers.

    Parameters
    ----------
    beats
        (beats, ...) float32, without NaN. Overwritten.

    Returns
    -------
    list of numpy.ndarray
        One array (...) per rank, lowest first.
    """
    rows = list(beats)
    spare = np.empty_like(rows[0])
    for a, b in _comparators(len(rows)):
        np.minimum(rows[a], rows[b], out=spare)
        np.maximum(rows[a], rows[b], out=rows[b])
        rows[a], spare = spare, rows[a]
    return rows


def tamed(beats: np.ndarray) -> np.ndarray:
    """Beats in which no lead has more than 1.5 times its usual energy, (beats, leads, samples).

    So an artefact in one lead does not cost the beat in all the others.
    """
    energy = np.einsum("blt,blt->bl", beats, beats)
    limit = 1.5 * median(energy, axis=0)
    factor = np.sqrt(np.minimum(1.0, limit / np.maximum(energy, 1e-12)))
    return beats * factor.astype(beats.dtype)[:, :, None]


def _medoid(similar: np.ndarray) -> tuple[int, float]:
    """The beat that is most like its nearest third of the others, and how alike that is."""
    others = similar - np.eye(len(similar)) * 3.0
    rank = max(1, round((len(similar) - 1) * 0.35))
    nearest = -np.partition(-others, rank - 1, axis=1)[:, rank - 1]
    best = int(np.argmax(nearest))
    return best, float(nearest[best])


def align(leads: np.ndarray, peaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift each beat to where it fits the template best.

    Parameters
    ----------
    leads
        (12, samples) weighted QRS-band leads of :class:`omi_keras.beats.r_peaks.Detection`.
    peaks
        (beats,) sample numbers.

    Returns
    -------
    tuple of numpy.ndarray
        (beats,) sample numbers, each moved by at most 52 ms, none outside the recording; (beats,) what to add
        for the exact place, within half a sample.
    """
    peaks, _fraction = _aligned_once(leads, peaks, MAX_LAG)
    peaks, fraction = _aligned_once(leads, peaks, FINE_LAG)
    # Two detections of one beat may have slid onto the same sample.
    peaks, first = np.unique(peaks, return_index=True)
    return peaks, fraction[first]


def _aligned_once(leads: np.ndarray, peaks: np.ndarray, max_lag: int) -> tuple[np.ndarray, np.ndarray]:
    """One round: template from the beats most alike, then the best lag of each beat against it."""
    width = 2 * HALF + 1
    # One lag more on each side than is allowed, for the parabola.
    reach = max_lag + 1
    wide = segments(leads, peaks, HALF + reach)
    beats = tamed(wide[:, :, reach:-reach])
    similar = correlations(beats)
    best, _alike = _medoid(similar)
    like = np.flatnonzero(similar[best] >= min(0.7, median(similar[best])))
    template = beats[like].mean(axis=0)
    # Row k holds the template delayed by k samples: one product for all beats and lags.
    bank = np.zeros((2 * reach + 1, len(leads), width + 2 * reach), dtype=np.float32)
    for k in range(len(bank)):
        bank[k, :, k : k + width] = template
    score = np.einsum("bk,lk->bl", wide.reshape(len(peaks), -1), bank.reshape(len(bank), -1))
    at = 1 + np.argmax(score[:, 1:-1], axis=1)
    before, here, after = (score[np.arange(len(peaks)), at + step].astype(np.float64) for step in (-1, 0, 1))
    # Vertex of the parabola through the three; not a maximum only at the ends of the allowed lags.
    bend = before - 2.0 * here + after
    fraction = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1.0), 0.0)
    return np.clip(peaks + at - reach, 0, leads.shape[1] - 1), np.clip(fraction, -0.5, 0.5)


def without_t_waves(leads: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Indices of those of the aligned peaks that are no T waves, where most beats have one as sharp as QRS.

    Parameters
    ----------
    leads
        (12, samples) weighted QRS-band leads.
    peaks
        (peaks,) aligned sample numbers.

    Returns
    -------
    numpy.ndarray
        Sorted indices into ``peaks``; all of them in nearly every recording.
    """
    everything = np.arange(len(peaks))
    gaps = np.diff(peaks)
    if len(peaks) < 6 or np.count_nonzero(gaps < T_AFTER) < 0.4 * len(peaks):
        return everything
    longer = np.append(gaps[1:], np.inf) >= LONGER * gaps
    late = 1 + np.flatnonzero((gaps < T_AFTER) & longer)
    steady = np.abs(gaps[late - 1] - median(gaps[late - 1])) <= T_JITTER if len(late) else np.zeros(0, dtype=bool)
    if steady.sum() >= 0.4 * len(peaks):
        return np.setdiff1d(everything, late[steady])
    beats = tamed(segments(leads, peaks, HALF))
    similar = correlations(beats)
    turns = everything % 2
    within = [float(median(similar[np.ix_(turns == k, turns == k)].ravel())) for k in (0, 1)]
    across = float(median(similar[np.ix_(turns == 0, turns == 1)].ravel()))
    if float(median(gaps)) >= T_AFTER or min(within) < ALIKE or across > min(within) - LESS_ALIKE:
        return everything
    even, odd = (_width(beats[turns == k]) for k in (0, 1))
    return everything if min(even, odd) > NARROWER * max(even, odd) else everything[turns == int(odd < even)]


def main_group(leads: np.ndarray, peaks: np.ndarray) -> np.ndarray | None:
    """Indices of the normal beats among the aligned ones.

    The largest group of like beats wins. Where a second group is nearly as large (bigeminy), the one with the
    narrower QRS complex is the conducted one.

    Parameters
    ----------
    leads
        (12, samples) weighted QRS-band leads.
    peaks
        (beats,) aligned sample numbers.

    Returns
    -------
    numpy.ndarray or None
        Sorted indices into ``peaks``; None when no beat shape repeats.
    """
    if len(peaks) < 2:
        return None
    beats = tamed(segments(leads, peaks, HALF))
    similar = correlations(beats)
    best, alike = _medoid(similar)
    if alike < MIN_REPRODUCIBILITY:
        return None
    group = _like(beats, similar[best] >= _threshold(alike), alike)
    rest = np.setdiff1d(np.arange(len(peaks)), group)
    if len(rest) >= max(3, 0.6 * len(group)):
        second, second_alike = _medoid(similar[np.ix_(rest, rest)])
        if second_alike >= MIN_REPRODUCIBILITY:
            other = _like(beats, similar[rest[second]] >= _threshold(second_alike), second_alike)
            if len(other) >= max(3, 0.6 * len(group)) and _width(beats[other]) < 0.8 * _width(beats[group]):
                group = other
    return group


def _threshold(alike: float) -> float:
    return float(np.clip(1.0 - 3.0 * (1.0 - alike), 0.5, STRICT_CORRELATION))


def _like(beats: np.ndarray, first: np.ndarray, alike: float) -> np.ndarray:
    """Beats that correlate with the median of the first group: a cleaner template than any single beat."""
    x = beats.reshape(len(beats), -1)
    same = rank_in_place(x[first])
    template = same[(len(same) - 1) // 2]
    norms = np.linalg.norm(x, axis=1) * max(float(np.linalg.norm(template)), 1e-12)
    r = np.einsum("bk,k->b", x, template) / np.maximum(norms, 1e-12)
    return np.flatnonzero(r >= _threshold(alike))


def _width(beats: np.ndarray) -> float:
    """Root mean square duration of the QRS energy of a group, in samples."""
    energy = np.square(beats.mean(axis=0)).sum(axis=0)
    t = np.arange(-HALF, HALF + 1)
    total = max(float(energy.sum()), 1e-12)
    centre = float((energy * t).sum()) / total
    return float(np.sqrt((energy * (t - centre) ** 2).sum() / total))
