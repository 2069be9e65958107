"""Median beat → what the networks see: crop around the R peak, z-score per lead."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS

# The paper's input.
CONTRACT = "zscore-400"
BEAT_SAMPLES = 600
CROP_START = 150
CROP_STOP = 550

# Below this a lead carries no signal that a 1 µV converter could have written: mV.
FLAT_SD = 1e-4


def model_input(beats: ArrayLike, contract: str = CONTRACT) -> np.ndarray:
    """Crop median beats and standardise each lead.

    Samples 150 to 549 (0.3 s before R to 0.5 s after it) are kept and each lead is z-scored on its own with
    the population standard deviation, as in the paper (section II.D, "Dataset"). Training and devices both
    call this function, so the two cannot drift apart.

    Parameters
    ----------
    beats
        (..., 12, 600) median beats, millivolts, R at sample 300. Not changed.
    contract
        What the network was trained on; ``zscore-400`` is what this function computes.

    Returns
    -------
    numpy.ndarray
        (..., 12, 400) float32, mean 0 and standard deviation 1 per lead. A flat lead is all zeros.

    Raises
    ------
    InputError
        When the shape is not (..., 12, 600), a value is missing or infinite, or the contract is another one.

    Examples
    --------
    >>> import omi_keras as omi
    >>> omi.model_input(beats[:2]).shape
    (2, 12, 400)
    """
    if contract != CONTRACT:
        raise InputError(f"input contract {contract!r} is not known; there is {CONTRACT}", "contract")
    x = np.asarray(beats)
    if x.ndim < 2 or x.shape[-2:] != (len(LEADS), BEAT_SAMPLES):
        raise InputError(
            f"median beats: expected shape (..., {len(LEADS)}, {BEAT_SAMPLES}), received {x.shape}",
            "wrong_shape",
        )
    # float64 because a lead may sit on an offset far larger than its own swing. In place: this runs for every batch.
    window = x[..., CROP_START:CROP_STOP].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # told below
        mean = window.mean(axis=-1, keepdims=True)
    if not np.isfinite(mean).all():
        raise InputError("median beats: expected finite millivolts, received missing or infinite values", "not_finite")
    window -= mean
    sd = np.sqrt(np.einsum("...t,...t->...", window, window) / window.shape[-1])
    flat = sd < FLAT_SD
    window /= np.where(flat, 1.0, sd)[..., None]
    window[flat] = 0.0
    return window.astype(np.float32)
