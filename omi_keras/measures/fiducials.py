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

# How far from R the QRS complex may reach. A velocity of this share of its highest is surely still QRS.
QRS_REACH = samples(160)
FAST_SHARE = 0.25
# So is a slower one after R that comes and goes, to its half, within this time on either side: the last wave of a right
# bundle branch block, before which and on top of which the vector pauses, but not for longer than this. ST and T come
# and go more slowly, fibrillation comes later.
WAVE_SHARE = 0.06
WAVE_FLANK = samples(36)
PAUSE = samples(60)
# QRS begins and ends where the velocity stays for this long below so much of the way from quiet to its highest.
# Cardiologists see it begin a little earlier and end a little later: medians over one half of LUDB, see
# docs/explanation/signal.md.
STILL = samples(16)
STILL_SHARE = 0.03
SEEN_BEFORE, SEEN_AFTER = samples(6), samples(4)
# Quiet is the slowest fifth of so long a stretch beyond the last fast sample: the PR segment, the first part of ST.
QUIET_STRETCH = samples(100)
QUIET_PART = 5
# T moves fastest so long after J (QT up to about 0.6 s) and at least so long before the next QRS complex. That one is
# nearly as fast as this one and bends the path of the heart vector nearly as much: a tall T wave is fast but never
# sharp, noise is sharp but not fast. Where beats are irregular the next complex is blurred in the median, slower and
# blunter; it still bends more for its speed than any T wave and is so much faster than what came before it. It comes so
# late: recorders that smooth the isoelectric line leave a step where they take T to end.
T_FIRST, T_LAST = samples(70), samples(440)
NEXT_QRS_VELOCITY, NEXT_QRS_BEND = 0.4, 0.3
BLURRED_VELOCITY, BLURRED_BEND, BEND_FOR_SPEED = 0.12, 0.1, 0.6
BLURRED_FASTER = 1.5
BLURRED_FIRST = samples(280)
NEXT_QRS_CLEAR = samples(110)
# The next P wave comes before, by as much as this one, where that can be: what was taken for P may be the T before.
NEXT_P = samples(220)
# T ends where the vector, watched over this time, stays so long below so much of the way from quiet to its fastest.
T_STEP, T_SMOOTHING = samples(24), samples(22)
T_STILL = samples(24)
T_SHARE = 0.125
T_QUIET_STRETCH, T_QUIET_PART = samples(300), 5
# Where the ST segment or the first half of a biphasic T wave is highest, T is a hump that follows so soon, is so high
# and rises so far out of the dip before it.
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
P_SEEN_BEFORE = samples(10)
# Keeps a beat without a complex from dividing by zero: mV.
TINY = 1e-12


@dataclass(frozen=True)
class Fiducials:
    """Landmarks of n beats, sample numbers as (n,) int arrays.

    Attributes
    ----------
    qrs_onset, j
        First and last sample of the QRS complex in any lead; ``j`` is the J point.
    t_peak, t_end
        Peak of the T wave, of the vector magnitude about a level that slides from that of the PR segment at J to
        that after T; its end, where the vector comes to rest.
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

    QRS is measured on the spatial velocity (how fast the heart vector of the eight independent leads moves), P on
    the vector magnitude: earliest onset and latest end in any lead, as Kligfield et al. (AHA/ACC/HRS
    recommendations, part I, J Am Coll Cardiol 2007;49:1109-1127) ask of global intervals. T ends where the vector,
    watched more slowly, comes to rest, at whatever level that is: ST and T of an ischaemic heart need not return to
    that of the PR segment. All thresholds are relative to the beat itself, so the result does not depend on its
    scale or sign.

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
    magnitude = _magnitude(x)
    fastest = velocity[:, R_SAMPLE - QRS_REACH : R_SAMPLE + QRS_REACH].max(axis=1)
    surely = velocity > FAST_SHARE * fastest[:, None]
    before = _edge(velocity[:, R_SAMPLE::-1], fastest, surely[:, R_SAMPLE::-1])
    onset = R_SAMPLE - np.minimum(before + SEEN_BEFORE, QRS_REACH)
    surely |= _comes_and_goes(velocity) & (velocity > WAVE_SHARE * fastest[:, None])
    after = _edge(velocity[:, R_SAMPLE:], fastest, surely[:, R_SAMPLE:])
    j = R_SAMPLE + np.minimum(after + SEEN_AFTER, QRS_REACH)
    qrs = np.where(between(onset, j, magnitude.shape[1]), magnitude, 0.0).max(axis=1)
    p_onset, p_peak, p_found = _p_wave(magnitude, onset, qrs)
    pr = np.where(p_found, onset - p_onset, 0)
    clear = np.where(pr <= NEXT_P, np.maximum(pr, NEXT_QRS_CLEAR), NEXT_QRS_CLEAR)
    limit = _next_qrs(velocity / np.maximum(fastest, TINY)[:, None], _bend(x), j, clear)
    t_end = _t_end(x, j, limit)
    return Fiducials(onset, j, _t_peak(x, j, t_end), t_end, p_onset, p_peak, p_found)


def _magnitude(x: np.ndarray) -> np.ndarray:
    """Smoothed length of the heart vector, (n, leads, 600) → (n, 600)."""
    return uniform_filter1d(np.sqrt((x * x).sum(axis=1)), 9, axis=-1, mode="nearest")


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


def _comes_and_goes(velocity: np.ndarray) -> np.ndarray:
    """Where the velocity is at least twice what it falls to soon before and soon after, (n, 600) bool."""
    before, after = _lowest_around(velocity, WAVE_FLANK)
    return velocity >= 2.0 * np.maximum(before, after)


def _lowest_around(x: np.ndarray, flank: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest value within the flank before, and after, each sample, (n, 600) each."""
    before = minimum_filter1d(x, flank + 1, axis=-1, mode="nearest", origin=flank // 2)
    return before, minimum_filter1d(x, flank + 1, axis=-1, mode="nearest", origin=-(flank // 2))


def _first_run(true: np.ndarray, length: int) -> np.ndarray:
    """Where the first so long run of true values begins in each row, (n, k) → (n,); the last sample without one."""
    count = np.pad(np.cumsum(true, axis=1), ((0, 0), (1, 0)))
    runs = count[:, length:] - count[:, :-length] == length
    return np.where(runs.any(axis=1), np.argmax(runs, axis=1), true.shape[1] - 1)


def _edge(velocity: np.ndarray, fastest: np.ndarray, surely: np.ndarray) -> np.ndarray:
    """Samples from R outwards until the heart vector rests, (n,).

    ``velocity`` runs from R outwards. The search starts beyond the last sample that ``surely`` is QRS, because the
    vector may pause inside a wide complex. What is quiet is asked nearby: a hyperacute ST segment never comes to
    rest, but it is slowest where it begins.
    """
    near = np.where(surely[:, : QRS_REACH + 1], np.arange(QRS_REACH + 1), 0)
    latest = np.maximum.accumulate(near, axis=1)
    # The first that nothing follows soon.
    alone = np.pad(latest, ((0, 0), (0, PAUSE)), mode="edge")[:, PAUSE:] == latest
    start = at(latest, np.argmax(alone, axis=1))
    stretch = np.take_along_axis(velocity, start[:, None] + np.arange(QUIET_STRETCH), axis=1)
    # Sorted, not interpolated: the same arithmetic for every scale.
    quiet = np.sort(stretch, axis=1)[:, QUIET_STRETCH // QUIET_PART]
    still = velocity < (quiet + STILL_SHARE * (fastest - quiet))[:, None]
    still &= np.arange(still.shape[1]) >= start[:, None]
    return _first_run(still[:, : QRS_REACH + STILL], STILL)


def _next_qrs(velocity: np.ndarray, bend: np.ndarray, j: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Last sample that may belong to T, (n,): ``clear`` of the next QRS complex. Velocity relative to this one's."""
    n = velocity.shape[1]
    bend = bend / np.maximum(bend[:, R_SAMPLE - QRS_REACH : R_SAMPLE + QRS_REACH].max(axis=1, keepdims=True), TINY)
    after = np.arange(n) - j[:, None]
    again = (velocity > NEXT_QRS_VELOCITY) & (bend > NEXT_QRS_BEND) & (after > T_FIRST + NEXT_QRS_CLEAR)
    blurred = (velocity > BLURRED_VELOCITY) & (bend > BLURRED_BEND) & (bend > BEND_FOR_SPEED * velocity)
    earlier = np.maximum.accumulate(np.where(after > T_FIRST, velocity, 0.0), axis=1)
    earlier = np.pad(earlier, ((0, 0), (NEXT_QRS_CLEAR, 0)))[:, :n]
    again |= blurred & (after > BLURRED_FIRST) & (velocity > BLURRED_FASTER * earlier)
    return np.where(again.any(axis=1), np.maximum(np.argmax(again, axis=1) - clear, j + T_FIRST), n - 1)


def _t_end(x: np.ndarray, j: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """End of T, (n,): the first rest after the vector was fastest."""
    change = x[:, :, T_STEP:] - x[:, :, :-T_STEP]
    slow = uniform_filter1d(np.sqrt((change * change).sum(axis=1)), T_SMOOTHING, axis=-1, mode="nearest")
    slow = np.pad(slow, ((0, 0), (T_STEP // 2, T_STEP - T_STEP // 2)), mode="edge")
    n = slow.shape[1]
    inside = between(j + T_FIRST, np.minimum(j + T_LAST, limit), n)
    fastest = np.argmax(np.where(inside, slow, -1.0), axis=1)
    top = at(slow, fastest)
    # Also beyond the limit: a next complex is fast and changes little of the slowest part.
    last = np.minimum(fastest + T_QUIET_STRETCH, n - 1)
    ranked = np.sort(np.where(between(fastest, last, n), slow, np.inf), axis=1)
    quiet = at(ranked, (last - fastest) // T_QUIET_PART)
    still = slow <= (quiet + T_SHARE * (top - quiet))[:, None]
    still &= np.arange(n) >= fastest[:, None]
    return np.maximum(np.minimum(_first_run(still, T_STILL), limit), fastest)


def _t_peak(x: np.ndarray, j: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Peak of T, (n,), in the vector magnitude above the line from zero at J to where the vector rests after T."""
    n = x.shape[2]
    t = np.arange(n)
    rest = np.take_along_axis(x, np.minimum(end[:, None] + np.arange(T_STILL), n - 1)[:, None, :], axis=2).mean(axis=2)
    way = np.clip((t - j[:, None]) / (end - j)[:, None], 0.0, 1.0)
    magnitude = _magnitude(x - rest[:, :, None] * way[:, None, :])
    inside = between(j + T_FIRST, end, n)
    # A hump, where there is one: a raised ST segment may lie higher than the T wave behind it.
    hump = _tops(magnitude) & inside
    candidates = np.where(hump.any(axis=1, keepdims=True), hump, inside)
    peak = np.argmax(np.where(candidates, magnitude, -1.0), axis=1)
    dip = np.minimum.accumulate(np.where(t >= peak[:, None], magnitude, np.inf), axis=1)
    second = hump & between(peak + 1, peak + SECOND_HUMP, n)
    second &= (magnitude >= SECOND_HEIGHT * at(magnitude, peak)[:, None]) & (dip <= (1.0 - SECOND_RISE) * magnitude)
    return np.where(second.any(axis=1), n - 1 - np.argmax(second[:, ::-1], axis=1), peak)


def _p_wave(magnitude: np.ndarray, onset: np.ndarray, qrs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Onset and peak of P, and whether there is one, (n,) each."""
    left, right = _lowest_around(magnitude, P_FLANK)
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
    first = np.maximum(first - P_SEEN_BEFORE, 0)
    return np.where(found, first, 0), np.where(found, peak, 0), found
