"""Where the beats are: a 12-lead QRS detector on a robust vector magnitude."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from omi_keras.beats.filters import filtered
from omi_keras.beats.median import median
from omi_keras.recordings.record import SAMPLING_RATE

# QRS complexes live here; P and T waves lie below, muscle noise above. Hz.
QRS_LOW_HZ, QRS_HIGH_HZ = 8.0, 40.0
# So half the samples say it all, in half the time. Everything in this module and in beat_groups counts these.
QRS_RATE = SAMPLING_RATE // 2
SMOOTHING = int(0.08 * QRS_RATE)
REFRACTORY = int(0.20 * QRS_RATE)
# A smaller peak this soon after a larger one is its T wave.
T_WAVE_WINDOW = int(0.36 * QRS_RATE)
# Long enough to hold a beat at 30 beats per minute.
LEVEL_WINDOW = 2 * QRS_RATE
# Less than this in the QRS band is no signal: mV.
FLAT_MV = 1e-3


@dataclass(frozen=True)
class Detection:
    """What the detector saw.

    Attributes
    ----------
    peaks
        (beats,) sample numbers at 250 Hz near the middle of each QRS complex.
    leads
        (12, samples) float32, 250 Hz, QRS band, each lead divided by its own typical QRS, clipped, and
        weighted down when it is noisy; a flat lead is zeros. What beats are aligned and compared on.
    weights
        (12,) 0 for a flat or useless lead, near 1 for a clean one.
    """

    peaks: np.ndarray
    leads: np.ndarray
    weights: np.ndarray


def window_maxima(x: np.ndarray, width: int) -> np.ndarray:
    """Largest value in each of the consecutive windows that cover the last axis, (..., windows)."""
    n = x.shape[-1]
    starts = np.linspace(0, n, max(1, round(n / width)) + 1).astype(int)[:-1]
    return np.maximum.reduceat(x, starts, axis=-1)


def detect_r_peaks(spectrum: np.ndarray) -> Detection:
    """Find QRS complexes on all leads at once.

    Each lead is divided by its own typical QRS height and limited, so that neither a tall lead nor an
    artefact in one lead decides; leads whose peaks hardly stand out of their noise count little.

    Parameters
    ----------
    spectrum
        (12, samples) as :func:`omi_keras.beats.filters.cosine_spectrum` makes it, 500 Hz, mV.

    Returns
    -------
    Detection
    """
    qrs = filtered(spectrum, QRS_LOW_HZ, QRS_HIGH_HZ, samples=spectrum.shape[1] // 2)
    size = np.abs(qrs)
    maxima = window_maxima(size, LEVEL_WINDOW)
    # At least a quarter of the highest: between the rare beats of a near standstill noise is not "typical".
    typical = np.maximum(median(maxima), 0.25 * maxima.max(axis=-1))
    # Every fourth sample tells the median well enough, in a quarter of the time.
    noise = median(size[:, ::4])
    live = typical > FLAT_MV
    scale = np.where(live, typical, 1.0)
    # Gaussian noise has median / peak near 0.25 here, a clean lead 0.03.
    weights = np.where(live, np.clip(1.0 - 3.0 * noise / scale, 0.05, 1.0), 0.0).astype(np.float32)
    leads = qrs * (weights / scale).astype(np.float32)[:, None]
    np.clip(leads, -1.5, 1.5, out=leads)
    if not live.any():
        return Detection(np.empty(0, dtype=np.intp), leads, weights)
    # The sum of absolute values: a lead gone wild counts as one of twelve, squared it would count as many.
    magnitude = np.abs(leads).sum(axis=0)
    return Detection(_peaks(uniform_filter1d(magnitude, SMOOTHING, mode="nearest")), leads, weights)


def _peaks(envelope: np.ndarray) -> np.ndarray:
    """Adaptive threshold, T-wave rule and search back on the smoothed magnitude, (samples,) → (beats,)."""
    level = max(float(median(window_maxima(envelope, LEVEL_WINDOW))), 0.3 * float(envelope.max()))
    # A beat may peak on the very first or last sample.
    candidates = find_peaks(np.pad(envelope, 1), height=0.2 * level, distance=REFRACTORY)[0] - 1
    heights = envelope[candidates]
    kept: list[int] = []
    for k in np.flatnonzero(heights >= 0.35 * level):
        close = kept and candidates[k] - candidates[kept[-1]] < T_WAVE_WINDOW
        if close and heights[k] < 0.5 * heights[kept[-1]]:
            continue
        if close and heights[kept[-1]] < 0.5 * heights[k]:
            kept.pop()
        kept.append(int(k))
    if len(kept) >= 3:
        kept = _search_back(candidates, heights, kept)
    return candidates[kept]


def _search_back(candidates: np.ndarray, heights: np.ndarray, kept: list[int]) -> list[int]:
    """Fill pauses with the tallest of the weaker candidates, clear of the T wave before it."""
    usual = float(median(np.diff(candidates[kept])))
    found = list(kept)
    for before, after in pairwise(kept):
        if candidates[after] - candidates[before] < 1.6 * usual:
            continue
        inside = [
            k
            for k in range(before + 1, after)
            if candidates[k] - candidates[before] > 0.6 * usual and candidates[after] - candidates[k] > 0.6 * usual
        ]
        if inside:
            found.append(max(inside, key=lambda k: heights[k]))
    return sorted(found)
