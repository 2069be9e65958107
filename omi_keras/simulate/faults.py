"""What goes wrong at the bedside: an electrode that is loose or off, arm and leg cables exchanged."""

from __future__ import annotations

import numpy as np

from omi_keras.recordings.record import SAMPLING_RATE
from omi_keras.simulate.rhythm import STRIP_SAMPLES

# Electrodes RA, LA, LL, V1 ... V6: the right leg only drives the amplifier.
ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
CHEST = ELECTRODES[3:]
# What leads I and II become, in terms of I and II.
REVERSALS = {
    "RA-LA reversed": np.array([[-1.0, 0.0], [-1.0, 1.0]]),
    "RA-LL reversed": np.array([[1.0, -1.0], [0.0, -1.0]]),
    "LA-LL reversed": np.array([[0.0, 1.0], [1.0, 0.0]]),
}
# Share of ECGs with cables exchanged (0.4 to 4 % in hospitals: Rudiger et al., Am J Med Sci 2007;334:174-178), most
# often those of the arms, with an electrode off, and with a loose one.
REVERSED, OFF, LOOSE = 0.008, 0.004, 0.015
_WHICH_REVERSED = (0.6, 0.15, 0.25)


def draw_fault(rng: np.random.Generator) -> str:
    """Draw the fault of a recording: ``""``, a key of :data:`REVERSALS`, ``"off V3"``, ``"loose LA"`` ..."""
    chance, which = rng.uniform(), rng.integers(1 << 30)
    if chance < REVERSED:
        return str(rng.choice(list(REVERSALS), p=_WHICH_REVERSED))
    if chance < REVERSED + OFF:
        return f"off {CHEST[which % len(CHEST)]}"
    return f"loose {ELECTRODES[which % len(ELECTRODES)]}" if chance < REVERSED + OFF + LOOSE else ""


def exchanged(lead_field: np.ndarray, fault: str) -> np.ndarray:
    """Lead field (8, 3) of I, II, V1 ... V6 with the cables of ``fault`` exchanged; the chest leads stay."""
    if fault not in REVERSALS:
        return lead_field
    return np.concatenate([REVERSALS[fault] @ lead_field[:2], lead_field[2:]])


def electrode_off(fault: str) -> str | None:
    """Chest lead whose electrode is off, of which monitors store a flat line."""
    return fault.removeprefix("off ") if fault.startswith("off ") else None


def loose_contact(rng: np.random.Generator, fault: str) -> tuple[int, np.ndarray] | None:
    """Number of the loose electrode and its noise, (STRIP_SAMPLES,) mV: jumps that settle, mains, crackle."""
    if not fault.startswith("loose "):
        return None
    t = np.arange(STRIP_SAMPLES) / SAMPLING_RATE
    noise = rng.lognormal(np.log(0.02), 0.5) * rng.standard_normal(STRIP_SAMPLES)
    noise += rng.lognormal(np.log(0.05), 0.6) * np.sin(2 * np.pi * 60.0 * t + rng.uniform(0.0, 2 * np.pi))
    for start in rng.uniform(0.0, t[-1], rng.integers(3, 10)):
        after = np.maximum(t - start, 0.0)
        size = rng.choice([-1.0, 1.0]) * rng.lognormal(np.log(0.5), 0.6)
        noise += size * (1.0 - np.exp(-after / 0.03)) * np.exp(-after / rng.uniform(0.15, 0.9))
    return ELECTRODES.index(fault.removeprefix("loose ")), noise
