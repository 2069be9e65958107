"""Zero-phase filters: baseline, low-pass, mains notch. Nothing here shifts a wave in time.

The band filter works on the cosine transform (DCT-II) of the signal. Multiplying its coefficients by a real
gain is exactly a zero-phase filter over the signal reflected at both ends, in two fast transforms instead of
a forward and a backward recursion.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft

from omi_keras.recordings.record import SAMPLING_RATE

LOW_HZ = 0.05
HIGH_HZ = 150.0
HIGH_PASS_ORDER = 2
LOW_PASS_ORDER = 4

MAINS_HZ = (50, 60)
# Half width at half depth of the notch: 1 Hz rings for 0.16 s and takes 40 dB off a grid that is 0.1 Hz off.
NOTCH_HALF_WIDTH_HZ = 1.0
# Mains counts as present when its line stands this far (in power) above the spectrum on both sides ...
MAINS_RATIO = 20.0
# ... and is large enough to see: root mean square over the leads, mV.
MAINS_MIN_MV = 0.005


@lru_cache(maxsize=64)
def _gain(n: int, rate: float, low: float | None, high: float | None, order: int, mains: int | None) -> np.ndarray:
    """Gain of each DCT coefficient, (n,) float32: Butterworth, -3 dB at the edges, and the notch."""
    f = np.arange(n) * (rate / (2.0 * n))
    gain = np.ones(n)
    if low is not None:
        with np.errstate(divide="ignore"):
            gain /= np.sqrt(1.0 + (low / f) ** (2 * order))
    if high is not None:
        gain /= np.sqrt(1.0 + (f / high) ** (2 * LOW_PASS_ORDER))
    if mains is not None:
        gain *= 1.0 - 1.0 / (1.0 + ((f - mains) / NOTCH_HALF_WIDTH_HZ) ** 2)
    gain = gain.astype(np.float32)
    gain.flags.writeable = False
    return gain


@lru_cache(maxsize=64)
def _line(n: int) -> tuple[np.ndarray, np.ndarray]:
    """A centred straight line of unit energy and the weights of a mean, (n,) float32 each.

    Products with them are several times faster than ``mean`` along rows. (``einsum`` and not ``@``, here and
    in ``beat_groups``: BLAS would wake its threads for so little work, and wait for them on a busy machine.)
    """
    t = np.arange(n, dtype=np.float32) - np.float32((n - 1) / 2)
    t /= max(float(np.linalg.norm(t)), 1e-12)
    level = np.full(n, 1.0 / n, dtype=np.float32)
    t.flags.writeable = level.flags.writeable = False
    return t, level


def band_gain(n: int, low: float, high: float) -> np.ndarray:
    """Gain of each coefficient of a :func:`cosine_spectrum` of n samples at 500 Hz, (n,) float32."""
    return _gain(n, float(SAMPLING_RATE), low, high, HIGH_PASS_ORDER, None)


def cosine_spectrum(signal: np.ndarray) -> np.ndarray:
    """Cosine transform of each row, less its mean and straight trend.

    The trend goes first: reflection at the ends would bend it into a triangle that no high-pass removes.

    Parameters
    ----------
    signal
        (leads, samples). Not changed.

    Returns
    -------
    numpy.ndarray
        (leads, samples) float32; coefficient k stands for k * rate / (2 * samples) Hz.
    """
    ramp, level = _line(signal.shape[-1])
    # The level first and on its own: an electrode offset of 300 mV must not cost the microvolts.
    x = (signal - np.einsum("ct,t->c", signal, level)[:, None]).astype(np.float32, copy=False)
    x -= np.einsum("ct,t->c", x, ramp)[:, None] * ramp
    return fft.dct(x, type=2, axis=-1, norm="ortho", overwrite_x=True)


def filtered(
    spectrum: np.ndarray,
    low: float | None,
    high: float | None,
    *,
    rate: float = SAMPLING_RATE,
    order: int = HIGH_PASS_ORDER,
    mains: int | None = None,
    samples: int | None = None,
) -> np.ndarray:
    """Back to time from :func:`cosine_spectrum` through a band, (leads, samples) float32, same unit.

    Fewer ``samples`` than the spectrum has drop its upper end: the signal at a lower rate, for a band that
    lies well below. Sample j then stands at (j + 1/2) * spectrum length / samples - 1/2 of the original.
    """
    n = spectrum.shape[-1]
    m = n if samples is None else samples
    gain = _gain(n, float(rate), low, high, order, mains)[:m]
    if m != n:
        gain = gain * np.float32(np.sqrt(m / n))
    return fft.idct(spectrum[:, :m] * gain, type=2, axis=-1, norm="ortho", overwrite_x=True)


def mains_in_spectrum(spectrum: np.ndarray, *, rate: float = SAMPLING_RATE) -> int | None:
    """50 or 60 when mains interference stands out of a :func:`cosine_spectrum`, else None."""
    n = spectrum.shape[-1]
    hz = 2.0 * n / rate
    if n < 2 * rate:
        return None
    best: tuple[float, int] | None = None
    for f0 in MAINS_HZ:
        if f0 + 6 >= rate / 2:
            continue
        around = spectrum[:, round((f0 - 6) * hz) : round((f0 + 6) * hz)]
        power = np.mean(np.square(around, dtype=np.float64), axis=0)
        near = round(5.3 * hz), round(6.7 * hz)
        line = power[near[0] : near[1]]
        floor = np.concatenate([power[: round(5 * hz)], power[round(7 * hz) :]]).mean()
        rms = float(np.sqrt(line.sum() / n))
        ratio = float(line.mean() / max(floor, 1e-20))
        if ratio >= MAINS_RATIO and rms >= MAINS_MIN_MV and (best is None or ratio > best[0]):
            best = ratio, f0
    return None if best is None else best[1]


def mains_frequency(signal: np.ndarray, *, rate: float = SAMPLING_RATE) -> int | None:
    """Which mains frequency disturbs a recording.

    Parameters
    ----------
    signal
        (leads, samples), mV, at least 2 s.
    rate
        Samples per second.

    Returns
    -------
    int or None
        50 or 60, or None when neither stands out of its neighbourhood by 13 dB.
    """
    return mains_in_spectrum(cosine_spectrum(np.atleast_2d(signal)), rate=rate)


def bandpass(
    signal: np.ndarray,
    *,
    low: float | None = LOW_HZ,
    high: float | None = HIGH_HZ,
    rate: float = SAMPLING_RATE,
    notch: bool = True,
) -> np.ndarray:
    """Zero-phase band filter, 0.05 to 150 Hz (paper, section II.D); a mains notch only where mains is.

    Parameters
    ----------
    signal
        (samples,) or (leads, samples), any unit (mV for the notch's floor). Not changed.
    low, high
        Band edges in Hz, -3 dB; None leaves that side open.
    rate
        Samples per second.
    notch
        Whether to remove 50 or 60 Hz where it stands out.

    Returns
    -------
    numpy.ndarray
        float32, same shape, same unit, mean zero.
    """
    x = np.asarray(signal)
    spectrum = cosine_spectrum(np.atleast_2d(x))
    mains = mains_in_spectrum(spectrum, rate=rate) if notch else None
    return filtered(spectrum, low, high, rate=rate, mains=mains).reshape(x.shape)
