"""From a heart vector in the chest to what a monitor stores: electrodes, noise, front end, 5 µV steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from omi_keras.recordings.record import SAMPLING_RATE
from omi_keras.simulate.faults import CHEST, electrode_off, exchanged, loose_contact
from omi_keras.simulate.rhythm import PADDING, STRIP_SAMPLES
from omi_keras.simulate.site_shift import band, noisier

# 5 µV, a common resolution of stored ECGs.
STEPS_PER_MV = 200
_MAINS_HZ = 60.0
_FREQUENCIES = np.fft.rfftfreq(STRIP_SAMPLES, 1.0 / SAMPLING_RATE)

# Electrodes RA, LA, LL, V1 ... V6 to the independent leads I, II, V1 ... V6. Noise arises at electrodes, so
# it keeps Einthoven's law, and a bad arm electrode reaches every lead.
ELECTRODES_TO_LEADS = np.zeros((8, 9), dtype=np.float32)
ELECTRODES_TO_LEADS[0, :2] = (-1.0, 1.0)
ELECTRODES_TO_LEADS[1, [0, 2]] = (-1.0, 1.0)
ELECTRODES_TO_LEADS[2:, :3] = -1.0 / 3.0
ELECTRODES_TO_LEADS[2:, 3:] = np.eye(6)


@dataclass(frozen=True)
class Site:
    """How noisy a site's recordings are: typical size per electrode.

    Attributes
    ----------
    wander, muscle, mains
        Root mean square, mV (mains: amplitude).
    motion
        Share of ECGs in which an electrode is moved.
    """

    wander: float
    muscle: float
    mains: float
    motion: float

    def shifted(self, shift: float) -> Site:
        """The site with more noise."""
        times = noisier(shift)
        return Site(times * self.wander, times * self.muscle, times * self.mains, min(times * self.motion, 1.0))


SITES = {"A": Site(0.045, 0.007, 0.002, 0.07), "B": Site(0.065, 0.011, 0.005, 0.14)}


def _unit(shape: np.ndarray) -> np.ndarray:
    """Spectrum amplitudes whose random signal has a root mean square of 1."""
    return shape * (0.5 * STRIP_SAMPLES / np.sqrt(np.square(shape).sum()))


def wander_shape(f: np.ndarray) -> np.ndarray:
    """Relative spectrum of what breathing and skin do to the baseline, at frequencies above 0 Hz: below 0.5 Hz."""
    return 1.0 / f / (1.0 + (f / 0.5) ** 4)


def muscle_shape(f: np.ndarray) -> np.ndarray:
    """Relative spectrum of skeletal muscle under an electrode, at frequencies above 0 Hz: from 25 Hz up."""
    return 1.0 / np.sqrt((1.0 + (25.0 / f) ** 4) * (1.0 + (f / 110.0) ** 2))


def _shapes() -> np.ndarray:
    """Unit spectra (3, n_frequencies): wander, muscle, white amplifier noise."""
    f = np.maximum(_FREQUENCIES, _FREQUENCIES[1])
    wander, muscle = wander_shape(f), muscle_shape(f)
    wander[0] = 0.0
    return np.stack([_unit(wander), _unit(muscle), _unit(np.ones_like(f))])


@lru_cache(maxsize=4)
def front_end(low: float, high: float) -> np.ndarray:
    """Complex response of the monitor between its corners, 0.05 and 150 Hz of a diagnostic one.

    A single pole below, as diagnostic electrocardiographs have; a 4th-order Butterworth above, without its
    delay.
    """
    f = _FREQUENCIES
    high_pass = 1j * f / (1j * f + low)
    return (high_pass / np.sqrt(1.0 + (f / high) ** 8)).astype(np.complex64)


_POWER = np.square(_shapes())


def electrode_noise(rng: np.random.Generator, site: Site, level: float) -> np.ndarray:
    """Spectrum of the noise at each electrode.

    Parameters
    ----------
    rng
        Source of chance.
    site
        Typical sizes.
    level
        1 for an ordinary recording of the site.

    Returns
    -------
    np.ndarray
        (9, n_frequencies) complex64, the real FFT of STRIP_SAMPLES samples in mV.
    """
    # Each electrode has its own skin and muscle.
    sizes = level * np.array([site.wander, site.muscle, 0.0]) * rng.lognormal(-0.1, 0.45, (9, 3))
    sizes[:, 2] = 0.002
    amplitude = np.sqrt(np.square(sizes) @ _POWER).astype(np.float32)
    random = rng.standard_normal((9, 2 * _FREQUENCIES.size), dtype=np.float32).view(np.complex64)
    spectrum = random * amplitude

    per_sine = 0.5 * STRIP_SAMPLES
    breath = int(rng.integers(2, 6))
    spectrum[:, breath] += (
        per_sine * level * site.wander * 0.8 * rng.normal(0.0, 1.0, 9) * np.exp(1j * rng.uniform(0, 6.3))
    )
    line = round(_MAINS_HZ * STRIP_SAMPLES / SAMPLING_RATE)
    hum = per_sine * level * site.mains * rng.exponential(1.0, 9) * np.exp(1j * rng.normal(0.0, 0.5, 9))
    spectrum[:, line] += hum
    if rng.uniform() < site.motion:
        spectrum[rng.integers(9)] += np.fft.rfft(_motion(rng))
    return spectrum


def _motion(rng: np.random.Generator) -> np.ndarray:
    """One electrode is touched: a quick shift that settles, (STRIP_SAMPLES,) mV."""
    t = np.arange(STRIP_SAMPLES) / SAMPLING_RATE - rng.uniform(1.0, 10.5)
    rise, settle = rng.uniform(0.02, 0.10), rng.uniform(0.12, 0.6)
    after = np.maximum(t, 0.0)
    size = rng.choice([-1.0, 1.0]) * rng.lognormal(np.log(0.35), 0.6)
    return size * (1.0 - np.exp(-after / rise)) * np.exp(-after / settle)


def record(
    vector: np.ndarray,
    lead_field: np.ndarray,
    rng: np.random.Generator,
    site: str,
    level: float,
    fault: str = "",
    shift: float = 0.0,
) -> np.ndarray:
    """Record a heart vector.

    Parameters
    ----------
    vector
        (3, STRIP_SAMPLES) float32, mV in body axes.
    lead_field
        (8, 3) coefficients of I, II, V1 ... V6.
    rng
        Source of chance.
    site
        One of :data:`SITES`.
    level
        Noise relative to an ordinary recording of the site; 0 leaves only the amplifier's.
    fault
        From :func:`omi_keras.simulate.faults.draw_fault`.
    shift
        How different the site's noise and filters are (:mod:`omi_keras.simulate.site_shift`).

    Returns
    -------
    np.ndarray
        (12, 5000) int16 steps of 5 µV.
    """
    spectrum = _mixed(exchanged(lead_field, fault).astype(np.float32), np.fft.rfft(vector).astype(np.complex64))
    noise = electrode_noise(rng, SITES[site].shifted(shift), level)
    loose = loose_contact(rng, fault)
    if loose is not None:
        noise[loose[0]] += np.fft.rfft(loose[1])
    spectrum += _mixed(ELECTRODES_TO_LEADS, noise)
    leads = np.fft.irfft(spectrum * front_end(*band(shift)), STRIP_SAMPLES)[:, PADDING:-PADDING]
    off = electrode_off(fault)
    if off is not None:
        leads[2 + CHEST.index(off)] = 0.0
    return quantised(leads)


def _mixed(matrix: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    """``matrix @ spectrum``, (m, k) float32 and (k, n) complex64: as real numbers, which is 100 times as fast."""
    return np.ascontiguousarray(matrix @ spectrum.view(np.float32)).view(np.complex64)


def quantised(independent: np.ndarray) -> np.ndarray:
    """Steps of 5 µV of all twelve leads, as a monitor makes them: eight are sampled, four computed from two.

    Parameters
    ----------
    independent
        (8, n) mV, leads I, II, V1 ... V6.

    Returns
    -------
    np.ndarray
        (12, n) int16. III = II - I exactly; aVR, aVL and aVF are rounded once.
    """
    # 16383 leaves room for II - I in 16 bits; 80 mV is far beyond any ECG.
    x = np.clip(np.rint(independent * STEPS_PER_MV), -16383, 16383).astype(np.int32)
    one, two = x[0], x[1]
    return np.concatenate(
        [
            x[:2],
            [two - one],
            # Halves go up, whichever sign the lead has.
            np.stack([-(one + two) + 1, 2 * one - two + 1, 2 * two - one + 1]) >> 1,
            x[2:],
        ]
    ).astype(np.int16)


def to_millivolts(steps: np.ndarray) -> np.ndarray:
    """Steps of 5 µV (int16) as float32 mV: the same values that a reader of the written record computes."""
    return steps.astype(np.float32) / np.float32(STEPS_PER_MV)
