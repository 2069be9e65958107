"""Another sampling rate, with every wave in its place."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.signal import resample_poly

from omi_keras.recordings.record import SAMPLING_RATE


def resample(signal: np.ndarray, rate: float, new_rate: float = SAMPLING_RATE) -> np.ndarray:
    """Change the sampling rate with a zero-phase polyphase FIR low-pass.

    Parameters
    ----------
    signal
        (..., samples). Not changed.
    rate, new_rate
        Samples per second, before and after.

    Returns
    -------
    numpy.ndarray
        (..., ceil(samples * new_rate / rate)) float64; sample 0 stays at time 0.
    """
    # A denominator of 1000 is 0.5 ms in 10 s at worst; exact for 100, 250, 257, 360, 1000 Hz.
    ratio = Fraction(new_rate / rate).limit_denominator(1000)
    if ratio == 1:
        return np.array(signal, dtype=np.float64)
    x = np.asarray(signal, dtype=np.float64)
    # An interpolating FIR passes a constant with a ripple of 1e-4: much on an electrode offset of 300 mV. So
    # level and drift go around it, and "line" continues the rest at both ends, where zeros would ring.
    t = np.arange(x.shape[-1], dtype=np.float64)
    t -= t.mean()
    level = x.mean(axis=-1, keepdims=True)
    slope = (x @ t / max(float(t @ t), 1e-12))[..., None]
    up, down = ratio.numerator, ratio.denominator
    y = resample_poly(x - level - slope * t, up, down, axis=-1, window=("kaiser", 7.0), padtype="line")
    return y + level + slope * (t[0] + np.arange(y.shape[-1]) * (down / up))
