"""What is measured in each lead of a median beat on its own: ST, Q, R, S, T, P."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from omi_keras.measures.beat_arrays import MS, at, between, ratio, samples
from omi_keras.measures.fiducials import Fiducials
from omi_keras.measures.qrs_waves import R_PRIME, Q, R, S, qrs_waves

# In each lead; Q and S amplitudes, depressed ST levels and inverted T waves are negative.
PER_LEAD: tuple[str, ...] = (
    "st_j_mv",  # at the J point and after it
    "st_j40_mv",
    "st_j60_mv",
    "st_j80_mv",
    "st_slope_mv_s",  # least squares, J to J + 80 ms
    "st_area_mv_ms",  # J to the onset of T
    "q_mv",
    "q_ms",
    "r_mv",
    "r_ms",
    "s_mv",
    "s_ms",
    "r_prime_mv",
    "qrs_area_mv_ms",
    "r_s_ratio",  # R / |S|; in a QS complex 0
    "t_mv",  # largest deflection of the T wave, either way
    "t_peak_ms",  # after J
    "t_width_ms",  # at half its height
    "t_symmetry",  # rise / fall, both from half the height
    "t_area_mv_ms",
    "t_r_ratio",
    "t_qrs_ratio",  # |T| / peak-to-peak QRS
    "t_area_qrs_ratio_ms",  # |T area| / peak-to-peak QRS: how hyperacute T is
    "p_mv",
)
# T begins after this share of the time from J to its end.
T_ONSET_SHARE = 0.3
ST_LINE = np.arange(samples(80) + 1)


def t_onset(marks: Fiducials) -> np.ndarray:
    """Sample at which ST is over and T begins, (n,)."""
    return marks.j + np.rint(T_ONSET_SHARE * (marks.t_end - marks.j)).astype(np.intp)


def lead_measures(x: np.ndarray, marks: Fiducials) -> dict[str, np.ndarray]:
    """All of :data:`PER_LEAD`, (n, 12) float64 each.

    Parameters
    ----------
    x
        (n, 12, 600) finite float64, mV, 500 Hz, R at sample 300, PR segment at zero. Not changed.
    marks
        Their landmarks.
    """
    waves = qrs_waves(x, marks.qrs_onset, marks.j)
    q, r, s = (waves.amplitude[:, :, k] for k in (Q, R, S))
    onset = t_onset(marks)
    # Trapezoids, summed once: an area is a difference of two samples of this.
    area = np.cumsum((x[:, :, 1:] + x[:, :, :-1]) * (MS / 2.0), axis=2)
    area = np.concatenate([np.zeros_like(area[:, :, :1]), area], axis=2)
    line = np.take_along_axis(x, (marks.j[:, None] + ST_LINE)[:, None, :], axis=2)
    away = (ST_LINE - ST_LINE.mean()) * (MS / 1000.0)
    t_mv, t_peak, t_width, t_symmetry = _t_shape(x, marks.j, onset, marks.t_end)
    t_area = at(area, marks.t_end[:, None]) - at(area, onset[:, None])
    return {
        **{f"st_j{ms or ''}_mv": at(x, marks.j[:, None] + samples(ms)) for ms in (0, 40, 60, 80)},
        "st_slope_mv_s": (line * away).sum(axis=2) / (away * away).sum(),
        "st_area_mv_ms": at(area, onset[:, None]) - at(area, marks.j[:, None]),
        "q_mv": q,
        "q_ms": waves.duration[:, :, Q],
        "r_mv": r,
        "r_ms": waves.duration[:, :, R],
        "s_mv": s,
        "s_ms": waves.duration[:, :, S],
        "r_prime_mv": waves.amplitude[:, :, R_PRIME],
        "qrs_area_mv_ms": at(area, marks.j[:, None]) - at(area, marks.qrs_onset[:, None]),
        "r_s_ratio": ratio(r, -np.where(r == 0.0, q, s)),
        "t_mv": t_mv,
        "t_peak_ms": (t_peak - marks.j[:, None]) * MS,
        "t_width_ms": t_width,
        "t_symmetry": t_symmetry,
        "t_area_mv_ms": t_area,
        "t_r_ratio": ratio(t_mv, r),
        "t_qrs_ratio": ratio(np.abs(t_mv), waves.peak_to_peak),
        "t_area_qrs_ratio_ms": ratio(np.abs(t_area), waves.peak_to_peak),
        "p_mv": _p_amplitude(x, marks),
    }


def _extreme(x: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Place of the largest deflection of each lead, from sample ``first`` to ``last``, (n, 12)."""
    inside = between(first, last, x.shape[2])[:, None, :]
    return np.argmax(np.where(inside, np.abs(x), -1.0), axis=2)


def _t_shape(
    x: np.ndarray, j: np.ndarray, onset: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Amplitude, sample of the peak, width (ms) and rise / fall of T in each lead, (n, 12) each."""
    # Noise would make a low T wave narrow; 18 ms change nothing in a clean one.
    smooth = uniform_filter1d(x, samples(18), axis=2, mode="nearest")
    peak = _extreme(smooth, onset, end)
    height, top = at(x, peak), at(smooth, peak)
    over = smooth * np.sign(top)[:, :, None] - 0.5 * np.abs(top)[:, :, None]
    t = np.arange(x.shape[2])
    below = over < 0.0
    # Last sample below half the height before the peak, first one after it; J and the end of the beat bound them.
    before = np.max(np.where(below & (t < peak[:, :, None]), t, 0), axis=2)
    after = np.min(np.where(below & (t > peak[:, :, None]), t, len(t) - 1), axis=2)
    rise = np.maximum(before + _crossing(over, before, before + 1), j[:, None])
    fall = after - _crossing(over, after, after - 1)
    left, right = peak - rise, fall - peak
    missing = height == 0.0
    width, symmetry = (left + right) * MS, ratio(left, right)
    return height, peak, np.where(missing, np.nan, width), np.where(missing, np.nan, symmetry)


def _crossing(over: np.ndarray, outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Where between two neighbouring samples a lead crosses zero, as a share of the way inwards, (n, 12)."""
    outside, within = at(over, outer), at(over, inner)
    return np.where(outside < 0.0, np.nan_to_num(ratio(-outside, within - outside)), 0.0)


def _p_amplitude(x: np.ndarray, marks: Fiducials) -> np.ndarray:
    """Largest deflection between the onsets of P and QRS, NaN without a P wave, (n, 12)."""
    p = at(x, _extreme(x, marks.p_onset, marks.qrs_onset - 1))
    return np.where(marks.p_found[:, None], p, np.nan)
