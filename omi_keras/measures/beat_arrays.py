"""Small arithmetic on arrays of median beats: places, stretches, ratios."""

from __future__ import annotations

import numpy as np

from omi_keras.recordings.record import SAMPLING_RATE

# Between two samples.
MS = 1000.0 / SAMPLING_RATE


def samples(ms: float) -> int:
    """Milliseconds → whole samples at 500 Hz."""
    return round(ms / MS)


def between(first: np.ndarray, last: np.ndarray, n: int) -> np.ndarray:
    """Mask of the samples from ``first`` to ``last``, both included, (beats,) twice → (beats, n)."""
    t = np.arange(n)
    return (t >= first[:, None]) & (t <= last[:, None])


def at(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Value of each row at its own place, (..., n) and places that broadcast to (...) → (...)."""
    places = np.broadcast_to(index, x.shape[:-1])
    return np.take_along_axis(x, places[..., None], axis=-1)[..., 0]


def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a / b``, NaN where ``b`` is zero or either is NaN, float64."""
    a, b = np.broadcast_arrays(a, b)
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=(b != 0.0) & ~np.isnan(a) & ~np.isnan(b))
