"""Directions of QRS and T, and how far they stray from one dipole."""

from __future__ import annotations

import numpy as np

from omi_keras.measures.beat_arrays import between, ratio
from omi_keras.measures.fiducials import INDEPENDENT
from omi_keras.recordings.record import LEADS

# X to the left, Y to the feet, Z to the back from I, II, V1..V6. Kors, van Herpen, Sittig, van Bemmel:
# Reconstruction of the Frank vectorcardiogram from standard electrocardiographic leads. Eur Heart J
# 1990;11:1083-1092 (the regression matrix).
KORS = np.array(
    [
        [0.38, -0.07, -0.13, 0.05, -0.01, 0.14, 0.06, 0.54],
        [-0.07, 0.93, 0.06, -0.02, -0.05, 0.06, -0.17, 0.13],
        [0.11, -0.23, -0.43, -0.06, -0.14, -0.20, -0.11, 0.31],
    ]
)


def wrapped(degrees: np.ndarray) -> np.ndarray:
    """Angles in (−180, 180], float32, in which −180 and what rounds to it is 180."""
    turned = (degrees - 360.0 * np.ceil((degrees - 180.0) / 360.0)).astype(np.float32)
    return np.where(turned <= -180.0, np.float32(180.0), turned)


def frontal_axis(area: np.ndarray) -> np.ndarray:
    """Mean electrical axis in the frontal plane from areas in I and aVF, (n, 12) → (n,) degrees.

    0 points to the patient's left, 90 to the feet. Goldberger's aVF is √3/2 as long as Einthoven's leads. NaN
    without a net area in either lead.
    """
    x, y = area[:, LEADS.index("I")], area[:, LEADS.index("aVF")] * (2.0 / np.sqrt(3.0))
    return np.where((x == 0.0) & (y == 0.0), np.nan, wrapped(np.degrees(np.arctan2(y, x))))


def spatial_angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle between two heart vectors by the Kors matrix, each given as (n, 12) areas; (n,) degrees in [0, 180]."""
    u, v = (_xyz(area) for area in (a, b))
    lengths = np.sqrt((u * u).sum(axis=1) * (v * v).sum(axis=1))
    return np.degrees(np.arccos(np.clip(ratio((u * v).sum(axis=1), lengths), -1.0, 1.0)))


def _xyz(area: np.ndarray) -> np.ndarray:
    return (area[:, None, INDEPENDENT] * KORS).sum(axis=2)


def principal_components(beats: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far a stretch of the beat strays from a line and from a plane.

    Principal components of the eight independent leads about the PR level, as eigenvalues of their second
    moments. A wave whose heart vector only grows and shrinks in one direction has a single one.

    Parameters
    ----------
    beats
        (n, 12, 600) mV.
    first, last
        (n,) sample numbers, both included.

    Returns
    -------
    second, rest
        (n,) each: second eigenvalue / first; sum of the third and later / sum of all. NaN where all is zero.
    """
    inside = between(first, last, beats.shape[2])
    # Scaled to one, so that tiny beats do not vanish in the squares.
    x = np.where(inside[:, None, :], beats[:, INDEPENDENT], 0.0)
    x *= ratio(np.ones(len(x)), np.abs(x).max(axis=(1, 2)))[:, None, None]
    x = np.nan_to_num(x, copy=False)
    values = np.linalg.eigvalsh(x @ x.transpose(0, 2, 1)).clip(0.0)
    total = values.sum(axis=1)
    return ratio(values[:, -2], values[:, -1]), ratio(values[:, :-2].sum(axis=1), total)
