"""Median beat → what a network sees, by its input contract: crop around the R peak, bring each lead to one scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import resample

from omi_keras.beats.contracts import CONTRACT, input_shape
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS

BEAT_SAMPLES = 600
CROP_START = 150
CROP_STOP = 550

# Below this a lead carries no signal that a 1 µV converter could have written: mV.
FLAT_SD = 1e-4


def model_input(beats: ArrayLike, contract: str = CONTRACT) -> np.ndarray:
    """Crop median beats and bring each lead to one scale. Training and devices both call this function.

    Samples 150 to 549 (0.3 s before R to 0.5 s after it) are kept. Then, by the contract:

    ``zscore-400``
        Each lead is z-scored on its own with the population standard deviation, as in the paper (section II.D,
        "Dataset"). A flat lead is all zeros.
    ``maxabs-200``
        The 400 samples become 200 (:func:`scipy.signal.resample`), each lead is divided by its largest absolute value,
        and aVR has its sign turned. A lead without signal stays zero.

    Parameters
    ----------
    beats
        (..., 12, 600) median beats, millivolts, R at sample 300. Not changed.
    contract
        What the network was trained on, one of :data:`omi_keras.beats.CONTRACTS`.

    Returns
    -------
    numpy.ndarray
        (..., 12, 400) or (..., 12, 200) float32.

    Raises
    ------
    InputError
        When the shape is not (..., 12, 600), a value is missing or infinite, or the contract is not known.

    Examples
    --------
    >>> import omi_keras as omi
    >>> omi.model_input(beats[:2]).shape
    (2, 12, 400)
    """
    _, samples, _ = input_shape(contract)
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
    scaled = _standardised(window, mean) if contract == CONTRACT else _normalised(window, samples)
    return scaled.astype(np.float32)


def _standardised(window: np.ndarray, mean: np.ndarray) -> np.ndarray:
    window -= mean
    sd = np.sqrt(np.einsum("...t,...t->...", window, window) / window.shape[-1])
    flat = sd < FLAT_SD
    window /= np.where(flat, 1.0, sd)[..., None]
    window[flat] = 0.0
    return window


def _normalised(window: np.ndarray, samples: int) -> np.ndarray:
    window = resample(window, samples, axis=-1) if window.size else window[..., :samples]
    largest = np.abs(window).max(axis=-1, keepdims=True)
    window = np.where(largest < FLAT_SD, 0.0, window / np.where(largest < FLAT_SD, 1.0, largest))
    # The group's code turns aVR in place before it saves the beat.
    window[..., LEADS.index("aVR"), :] *= -1
    return window
