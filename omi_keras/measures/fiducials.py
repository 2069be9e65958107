"""Where the waves of a median beat begin, peak and end, measured over all leads at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from omi_keras.beats.median_beats import R_SAMPLE
from omi_keras.measures.beat_arrays import at, between, samples
from omi_keras.recordings.record import LEADS

# III, aVR, aVL and aVF say nothing that I and II do not.
INDEPENDENT = tuple(LEADS.index(lead) for lead in ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"))

# How far from R the QRS complex may reach; a velocity of this share of its highest is surely still QRS.
QRS_REACH = samples(160)
FAST_SHARE = 0.25
# QRS begins and ends where the velocity stays for this long below so much of the way from quiet to its highest.
# Calibrated on simulated beats whose onset and J point are known: medians within 2 ms. At a sharp corner, which
# hearts do not draw, the reach of the velocity adds up to 8 ms.
STILL = samples(16)
ONSET_SHARE = 0.05
END_SHARE = 0.06
# Quiet is the slowest tenth of so long a stretch beyond the last fast sample: the PR segment, the first part of ST.
QUIET_STRETCH = samples(100)
# T peaks so long after J (QT up to about 0.6 s) and at least so long before the next QRS complex. That one is nearly
# as fast as this one and bends the path of the heart vector nearly as much: a tall T wave is fast but never sharp,
# noise is sharp but not fast.
T_FIRST, T_LAST = samples(70), samples(440)
NEXT_QRS_VELOCITY, NEXT_QRS_BEND = 0.4, 0.3
NEXT_QRS_CLEAR = samples(110)
# Where the ST segment or the first half of a biphasic T wave is highest, T is a hump that follows so soon, is so high
# and rises so far out of the dip before it. The next P wave comes later.
SECOND_HUMP = samples(140)
SECOND_HEIGHT = 0.5
SECOND_RISE = 0.3
# P lies so long before the QRS onset. It stands out of its neighbourhood by a third of its height or more, and by this
# much of the QRS complex: less is what noise and fibrillation leave in a median.
P_FIRST, P_LAST = samples(230), samples(24)
P_FLANK = samples(90)
P_PROMINENCE = 0.35
P_SHARE = 0.025
P_ONSET_SHARE = 0.1


@dataclass(frozen=True)
class Fiducials:
    """Landmarks of n beats, sample numbers as (n,) int arrays.

    Attributes
    ----------
    qrs_onset, j
        First and last sample of the QRS complex in any lead; ``j`` is the J point.
    t_peak, t_end
        Peak of the T wave of the vector magnitude; its end by the tangent at its steepest descent.
    p_onset, p_peak, p_found
        P wave; where ``p_found`` is False the other two mean nothing.
    """

    qrs_onset: np.ndarray
    j: np.ndarray
    t_peak: np.ndarray
    t_end: np.ndarray
    p_onset: np.ndarray
    p_peak: np.ndarray
    p_found: np.ndarray


def delineate(beats: np.ndarray) -> Fiducials:
    """Delineate median beats on all leads together.

    QRS is measured on the spatial velocity (how fast the heart vector of the eight independent leads moves), P
    and T on the vector magnitude: earliest onset and latest end in any lead, as Kligfield et al. (AHA/ACC/HRS
    recommendations, part I, J Am Coll Cardiol 2007;49:1109-1127) ask of global intervals. All thresholds are
    relative to the beat itself, so the result does not depend on its scale or sign. The end of T is where the steepest
    tangent of its descent meets the baseline (Lepeschkin and Surawicz, Circulation 1952;6:378-388).

    Parameters
    ----------
    beats
        (n, 12, 600) finite floats, mV, 500 Hz, R near sample 300, PR segment at zero. Not changed.

    Returns
    -------
    Fiducials
    """
    x = beats[:, INDEPENDENT].astype(np.float64, copy=False)
    velocity = _velocity(x)
    magnitude = uniform_filter1d(np.sqrt((x * x).sum(axis=1)), 9, axis=-1, mode="nearest")
    fastest = velocity[:, R_SAMPLE - QRS_REACH : R_SAMPLE + QRS_REACH].max(axis=1)
    onset = R_SAMPLE - _edge(velocity[:, R_SAMPLE::-1], fastest, ONSET_SHARE)
    j = R_SAMPLE + _edge(velocity[:, R_SAMPLE:], fastest, END_SHARE)
    t_peak, t_end = _t_wave(magnitude, velocity > NEXT_QRS_VELOCITY * fastest[:, None], _bend(x), j)
    qrs = np.where(between(onset, j, magnitude.shape[1]), magnitude, 0.0).max(axis=1)
    return Fiducials(onset, j, t_peak, t_end, *_p_wave(magnitude, onset, qrs))


def _velocity(x: np.ndarray) -> np.ndarray:
    """Smoothed length of the heart vector's change over 8 ms, (n, leads, 600) → (n, 600)."""
    change = x[:, :, 4:] - x[:, :, :-4]
    velocity = uniform_filter1d(np.sqrt((change * change).sum(axis=1)), 5, axis=-1, mode="nearest")
    return np.pad(velocity, ((0, 0), (2, 2)), mode="edge")


def _bend(x: np.ndarray) -> np.ndarray:
    """Smoothed length of the second difference over 24 ms, (n, leads, 600) → (n, 600)."""
    step = samples(12)
    bend = x[:, :, 2 * step :] - 2.0 * x[:, :, step:-step] + x[:, :, : -2 * step]
    length = uniform_filter1d(np.sqrt((bend * bend).sum(axis=1)), 5, axis=-1, mode="nearest")
    return np.pad(length, ((0, 0), (step, step)))


def _tops(x: np.ndarray) -> np.ndarray:
    """Where each row has a local maximum, (n, k) bool; never at its ends."""
    middle = x[:, 1:-1]
    return np.pad((middle >= x[:, :-2]) & (middle > x[:, 2:]), ((0, 0), (1, 1)))


def _edge(velocity: np.ndarray, fastest: np.ndarray, share: float) -> np.ndarray:
    """Samples from R outwards until the heart vector rests, (n,).

    ``velocity`` runs from R outwards. The search starts beyond the last fast sample, because the vector may pause
    inside a wide complex. What is quiet is asked nearby: a hyperacute ST segment never comes to rest, but it is
    slowest where it begins.
    """
    near = velocity[:, : QRS_REACH + 1]
    fast = near > FAST_SHARE * fastest[:, None]
    start = np.where(fast.any(axis=1), near.shape[1] - 1 - np.argmax(fast[:, ::-1], axis=1), 0)
    stretch = np.take_along_axis(velocity, start[:, None] + np.arange(QUIET_STRETCH), axis=1)
    # Sorted, not interpolated: the same arithmetic for every scale.
    quiet = np.sort(stretch, axis=1)[:, QUIET_STRETCH // 10]
    still = velocity < (quiet + share * (fastest - quiet))[:, None]
    count = np.cumsum(still[:, : QRS_REACH + STILL], axis=1)
    runs = count[:, STILL - 1 :] - np.pad(count[:, :-STILL], ((0, 0), (1, 0))) == STILL
    runs &= np.arange(runs.shape[1]) >= start[:, None]
    return np.where(runs.any(axis=1), np.argmax(runs, axis=1), QRS_REACH)


def _t_wave(magnitude: np.ndarray, fast: np.ndarray, bend: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Peak and end of T, (n,) each."""
    t = np.arange(magnitude.shape[1])
    last = np.full(len(j), len(t) - 1)
    sharpest = bend[:, R_SAMPLE - QRS_REACH : R_SAMPLE + QRS_REACH].max(axis=1, keepdims=True)
    again = fast & (bend > NEXT_QRS_BEND * sharpest) & (t > j[:, None] + T_FIRST + NEXT_QRS_CLEAR)
    limit = np.where(again.any(axis=1), np.argmax(again, axis=1) - NEXT_QRS_CLEAR, last)
    inside = between(j + T_FIRST, np.minimum(j + T_LAST, limit), len(t))
    # A hump, where there is one: a raised ST segment may lie higher than the T wave behind it.
    hump = _tops(magnitude) & inside
    candidates = np.where(hump.any(axis=1, keepdims=True), hump, inside)
    peak = np.argmax(np.where(candidates, magnitude, -1.0), axis=1)
    dip = np.minimum.accumulate(np.where(t >= peak[:, None], magnitude, np.inf), axis=1)
    second = hump & between(peak + 1, peak + SECOND_HUMP, len(t))
    second &= (magnitude >= SECOND_HEIGHT * at(magnitude, peak)[:, None]) & (dip <= (1.0 - SECOND_RISE) * magnitude)
    peak = np.where(second.any(axis=1), len(t) - 1 - np.argmax(second[:, ::-1], axis=1), peak)
    # The descent goes on until the magnitude, halved, rises again.
    rising = np.pad(magnitude[:, 1:] >= magnitude[:, :-1], ((0, 0), (0, 1)), constant_values=True)
    valley = rising & (magnitude < 0.5 * at(magnitude, peak)[:, None]) & (t > peak[:, None])
    valley_at = np.minimum(np.where(valley.any(axis=1), np.argmax(valley, axis=1), last), limit)
    slope = np.pad(magnitude[:, 8:] - magnitude[:, :-8], ((0, 0), (4, 4))) / 8.0
    descent = np.where(between(peak, np.maximum(valley_at, peak), len(t)), slope, np.inf)
    steepest = np.argmin(descent, axis=1)
    fall = -at(descent, steepest)
    length = np.divide(at(magnitude, steepest), fall, out=np.zeros(len(j)), where=fall > 0.0)
    end = steepest + np.rint(np.minimum(length, len(t))).astype(np.intp)
    return peak, np.clip(end, peak, np.maximum(limit, peak))


def _p_wave(magnitude: np.ndarray, onset: np.ndarray, qrs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Onset and peak of P, and whether there is one, (n,) each."""
    size = P_FLANK + 1
    # Lowest within the flank before and after each sample.
    left = minimum_filter1d(magnitude, size, axis=-1, mode="nearest", origin=P_FLANK // 2)
    right = minimum_filter1d(magnitude, size, axis=-1, mode="nearest", origin=-(P_FLANK // 2))
    prominence = magnitude - np.maximum(left, right)
    n = magnitude.shape[1]
    wave = between(onset - P_FIRST, onset - P_LAST, n) & _tops(magnitude)
    wave &= (prominence >= P_PROMINENCE * magnitude) & (prominence >= P_SHARE * qrs[:, None])
    found = wave.any(axis=1)
    # The last one: before it comes the T wave of the beat before.
    peak = n - 1 - np.argmax(wave[:, ::-1], axis=1)
    height = at(magnitude, peak)
    base = at(left, peak)
    low = magnitude <= (base + P_ONSET_SHARE * (height - base))[:, None]
    low &= np.arange(n) <= peak[:, None]
    first = n - 1 - np.argmax(low[:, ::-1], axis=1)
    return np.where(found, first, 0), np.where(found, peak, 0), found
