"""The paper's summaries of saliency maps (section II.C). NumPy only."""

from __future__ import annotations

import numpy as np

# 40 ms, one small square of ECG paper, in samples of the median beat; a map of either input contract has 20 of them.
WINDOW = 20
WINDOWS = 20


def lead_contribution(maps: np.ndarray) -> np.ndarray:
    """Return each lead's share of the saliency of an ECG.

    Parameters
    ----------
    maps
        (n, 12, 400) saliency ≥ 0, or (n, 12, 200) of ``maxabs-200``.

    Returns
    -------
    ndarray
        (n, 12) float64; rows sum to 1, NaN where a map is 0 everywhere.
    """
    of_lead = maps.sum(axis=2, dtype=np.float64)
    total = of_lead.sum(axis=1, keepdims=True)
    return np.divide(of_lead, total, out=np.full(of_lead.shape, np.nan), where=total > 0)


def windows(maps: np.ndarray) -> np.ndarray:
    """Return the means of (n, 12, 400 or 200) maps in windows of 40 ms, 20 or 10 samples: (n, 12, 20) float64."""
    n, leads, samples = maps.shape
    return maps.reshape(n, leads, WINDOWS, samples // WINDOWS).mean(axis=3, dtype=np.float64)


def aggregate(of_window: np.ndarray) -> np.ndarray:
    """Return one map for many ECGs: each ECG's windows divided by the highest of their lead, then averaged.

    So every ECG and every lead counts alike, whatever the size of its gradients, and 0 still means no saliency. The
    paper says "normalized within each lead" and not how; a lead without any saliency stays 0.

    Parameters
    ----------
    of_window
        (n, 12, 20), see :func:`windows`.

    Returns
    -------
    ndarray
        (12, 20) float64 from 0 to 1; NaN without ECGs.
    """
    if len(of_window) == 0:
        return np.full(of_window.shape[1:], np.nan)
    highest = of_window.max(axis=2, keepdims=True)
    return np.divide(of_window, highest, out=np.zeros(of_window.shape), where=highest > 0).mean(axis=0)
