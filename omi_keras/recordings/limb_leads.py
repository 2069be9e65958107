"""Einthoven's and Goldberger's laws between the limb leads."""

from __future__ import annotations

import numpy as np

# Recorded limb leads obey III = II - I within a few microvolts of rounding.
EINTHOVEN_UV = 100.0


def limb_leads(one: np.ndarray, two: np.ndarray) -> dict[str, np.ndarray]:
    """Einthoven's and Goldberger's laws: the four limb leads that I and II determine."""
    return {
        "III": two - one,
        "aVR": -(one + two) / 2,
        "aVL": one - two / 2,
        "aVF": two - one / 2,
    }


def limb_lead_error_uv(signal: np.ndarray) -> float:
    """How far the limb leads are from III = II - I and Goldberger's aVR, aVL and aVF.

    Parameters
    ----------
    signal
        (12, samples) millivolts.

    Returns
    -------
    float
        99th percentile of the largest of the four residuals, µV, offsets removed. QRS complexes fill a tenth
        of the time, so they count and a single spike does not.
    """
    # Every fourth sample tells it well enough, in a quarter of the time.
    one, two, three, avr, avl, avf = signal[:6, ::4].astype(np.float64)
    residual = np.stack([three - (two - one), avr + (one + two) / 2, avl - (one - two / 2), avf - (two - one / 2)])
    residual -= np.median(residual, axis=1, keepdims=True)
    ranked = np.sort(np.abs(residual), axis=1)
    return 1000.0 * float(ranked[:, round(0.99 * (ranked.shape[1] - 1))].max())
