"""The heart as one moving dipole, and what twelve leads see of it.

Axes follow Frank and Dower: X to the patient's left, Y to the feet, Z to the back; all in millivolts. Times
are milliseconds after the R peak. One beat is a list of waves; a wave is a fixed dipole times a course in
time that rises, may stay, and falls. Their sum moves through space as a real heart vector does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from omi_keras.recordings.record import LEADS, SAMPLING_RATE

Part = Literal["P", "QRS", "STT"]

# Rows: the eight independent leads in this order.
INDEPENDENT_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
# Dower, Machado, Osborne: On deriving the electrocardiogram from vectorcardiographic leads.
# Clin Cardiol 1980;3:87-95. Z points to the back, so V1 and V2 see it negative.
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
# Leads in the order of LEADS from the independent eight: III, aVR, aVL and aVF follow from I and II alone.
FROM_INDEPENDENT = np.zeros((len(LEADS), len(INDEPENDENT_LEADS)))
FROM_INDEPENDENT[0, 0] = FROM_INDEPENDENT[1, 1] = 1.0
FROM_INDEPENDENT[2, :2] = (-1.0, 1.0)
FROM_INDEPENDENT[3, :2] = (-0.5, -0.5)
FROM_INDEPENDENT[4, :2] = (1.0, -0.5)
FROM_INDEPENDENT[5, :2] = (-0.5, 1.0)
FROM_INDEPENDENT[6:, 2:] = np.eye(6)

# A beat is evaluated from 320 ms before the R peak (the longest PR interval and its P) to 760 ms after it.
BEAT_START_MS, BEAT_END_MS = -320.0, 760.0
BEAT_TIMES = np.arange(BEAT_START_MS, BEAT_END_MS, 1000.0 / SAMPLING_RATE, dtype=np.float32)
R_IN_BEAT = int(-BEAT_START_MS * SAMPLING_RATE / 1000.0)


@dataclass(frozen=True)
class Wave:
    """A dipole and its course: half a Gaussian up, a plateau (often of no length), half a Gaussian down.

    Attributes
    ----------
    part
        ``"P"``, ``"QRS"`` or ``"STT"``; only the last stretches with the heart rate.
    dipole
        X, Y, Z in mV.
    start, end
        Where the plateau starts and ends, ms after the R peak. Equal for an ordinary wave.
    rise, fall
        Standard deviations of the two halves, ms.
    """

    part: Part
    dipole: tuple[float, float, float]
    start: float
    end: float
    rise: float
    fall: float

    def scaled(self, factor: float) -> Wave:
        """Return the same wave with its dipole times ``factor``."""
        x, y, z = self.dipole
        return replace(self, dipole=(x * factor, y * factor, z * factor))

    def moved(self, shift: float) -> Wave:
        """Return the same wave ``shift`` ms later."""
        return replace(self, start=self.start + shift, end=self.end + shift)


def gaussian(
    part: Part, dipole: Sequence[float] | np.ndarray, centre: float, rise: float, fall: float | None = None
) -> Wave:
    """Return an ordinary wave with its peak at ``centre`` (ms), symmetric unless ``fall`` is given."""
    x, y, z = (float(v) for v in dipole)
    return Wave(part, (x, y, z), centre, centre, rise, rise if fall is None else fall)


def plateau(
    part: Part, dipole: Sequence[float] | np.ndarray, start: float, end: float, rise: float, fall: float
) -> Wave:
    """Return a wave that holds its dipole from ``start`` to ``end`` (ms)."""
    x, y, z = (float(v) for v in dipole)
    return Wave(part, (x, y, z), start, end, rise, fall)


@dataclass(frozen=True)
class Beat:
    """The waves of one kind of beat.

    Attributes
    ----------
    waves
        In any order.
    onset, j_point
        Where the QRS begins and ends, ms after the R peak.
    slur
        ms by which a last small force makes the end of QRS seem later.
    """

    waves: tuple[Wave, ...]
    onset: float
    j_point: float
    slur: float = 0.0

    def part(self, part: Part) -> tuple[Wave, ...]:
        """Return the waves of one part."""
        return tuple(w for w in self.waves if w.part == part)

    def with_waves(self, *more: Wave) -> Beat:
        """Return the same beat with more waves."""
        return replace(self, waves=self.waves + more)


def heart_vector(waves: Sequence[Wave], times: np.ndarray) -> np.ndarray:
    """Sum of waves over time.

    Parameters
    ----------
    waves
        Any number of waves; none gives zeros.
    times
        (..., n) float32, ms after the R peak.

    Returns
    -------
    np.ndarray
        (..., 3, n) float32, mV along X, Y, Z.
    """
    if not waves:
        return np.zeros((*times.shape[:-1], 3, times.shape[-1]), dtype=np.float32)
    half = np.sqrt(0.5)
    rows = [(w.start, w.end, half / w.rise, half / w.fall) for w in waves]
    start, end, rise, fall = np.array(rows, dtype=np.float32).T[:, :, None]
    t = times[..., None, :]
    # How far outside the plateau, before (negative) or after it; in place, as this is where the time goes.
    distance = np.minimum((t - start) * rise, 0.0)
    distance += np.maximum((t - end) * fall, 0.0)
    np.square(distance, out=distance)
    # Beyond exp(-40) there is nothing left of a wave; further out float32 would underflow.
    np.minimum(distance, 40.0, out=distance)
    np.negative(distance, out=distance)
    np.exp(distance, out=distance)
    return np.array([w.dipole for w in waves], dtype=np.float32).T @ distance


def stretched(times: np.ndarray, j_point: float, stretch: np.ndarray) -> np.ndarray:
    """Times of the reference beat (RR 1 s) for beats whose repolarisation lasts ``stretch`` times as long.

    Parameters
    ----------
    times
        (n,) ms after the R peak.
    j_point
        ms; only what comes after it stretches.
    stretch
        (n_beats,) dimensionless.

    Returns
    -------
    np.ndarray
        (n_beats, n) float32, ms.
    """
    after = np.maximum(times - np.float32(j_point), 0.0)
    return times - after * (1.0 - 1.0 / stretch[:, None]).astype(np.float32)


def project(vector: np.ndarray, lead_field: np.ndarray = DOWER) -> np.ndarray:
    """Twelve leads of a heart vector.

    Parameters
    ----------
    vector
        (..., 3, n) mV along X, Y, Z.
    lead_field
        (8, 3) coefficients of the independent leads I, II, V1 ... V6; Dower's unless others are given.

    Returns
    -------
    np.ndarray
        (..., 12, n) float64, mV, in the order of :data:`omi_keras.recordings.record.LEADS`.
    """
    return derive_leads(lead_field @ vector)


def derive_leads(independent: np.ndarray) -> np.ndarray:
    """All twelve leads from I, II, V1 ... V6.

    III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2.

    Parameters
    ----------
    independent
        (..., 8, n) in the order of :data:`INDEPENDENT_LEADS`.

    Returns
    -------
    np.ndarray
        (..., 12, n) in the order of :data:`omi_keras.recordings.record.LEADS`, same unit.
    """
    return FROM_INDEPENDENT @ independent


def direction(x: float, y: float, z: float) -> np.ndarray:
    """Return the unit vector (3,) along X, Y, Z."""
    vector = np.array([x, y, z], dtype=float)
    return vector / np.linalg.norm(vector)


def rotation(about_x: float, about_y: float, about_z: float) -> np.ndarray:
    """Return the (3, 3) rotation about X, then Y, then Z, in degrees.

    A positive turn about Z moves a vector that points left towards the feet: the frontal axis turns clockwise
    as the electrocardiographer counts it, towards larger degrees.
    """
    a, b, c = np.deg2rad([about_x, about_y, about_z])
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rz @ ry @ rx
