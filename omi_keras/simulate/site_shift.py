"""How another hospital's recordings differ: more noise, electrodes elsewhere, a monitor's filters.

A shift of 0 leaves a site as it is. At 1 its machines record in the monitoring bandwidth, 0.5 to 40 Hz, whose high-pass
filter of one pole bends ST segments; V1 and V2 are put an intercostal space too high by habit, all electrodes with half
the care, and noise is twice as large. Beyond 1 noise and carelessness grow on. Filters and V1 and V2 are faults that
the AHA recommendations warn of (Kligfield et al., Circulation 2007;115:1306-1324).
"""

from __future__ import annotations

import numpy as np

# Corners of the front end in Hz, diagnostic and monitoring.
HIGH_PASS, LOW_PASS = (0.05, 0.5), (150.0, 40.0)
# By which part of its length the vector of V1 and V2 turns upwards for an intercostal space.
_UPWARDS = 0.2
# Places of V1 and V2 among I, II, V1 ... V6, and of the axis that points to the feet.
_V1_V2, _DOWN = slice(2, 4), 1


def band(shift: float) -> tuple[float, float]:
    """Corners of the front end, Hz: high-pass and low-pass."""
    part = min(shift, 1.0)
    low, high = (first * (last / first) ** part for first, last in (HIGH_PASS, LOW_PASS))
    return low, high


def noisier(shift: float) -> float:
    """How many times as large noise is."""
    return 1.0 + shift


def carelessness(shift: float) -> float:
    """How many times as far from their places electrodes are put."""
    return 1.0 + shift


def put_higher(lead_field: np.ndarray, shift: float) -> np.ndarray:
    """Lead field (8, 3) of I, II, V1 ... V6 with V1 and V2 too high, by an intercostal space from a shift of 1 on."""
    if shift == 0:
        return lead_field
    moved = lead_field.copy()
    length = np.linalg.norm(lead_field[_V1_V2], axis=1)
    moved[_V1_V2, _DOWN] -= _UPWARDS * min(shift, 1.0) * length
    return moved
