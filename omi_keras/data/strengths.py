"""How much ``--augment`` does. Importing this costs no NumPy, because commands show it in their help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Augment = Literal["none", "light", "strong"]


@dataclass(frozen=True)
class Strength:
    """How much of each is done; nothing where it is left out.

    Attributes
    ----------
    shift
        Samples by which R is found too early or too late, at most.
    gain, lead_gain
        Standard deviation of the logarithm of the gain of all leads, and of each chest lead's own.
    rotation
        Standard deviation of the heart's turn about each axis, degrees; twice that at most.
    displacement
        Standard deviation of where electrodes are put, as a fraction of the distance of neighbouring chest electrodes;
        limb leads feel a third of it.
    wander, muscle
        Noise of an electrode in an ordinary median beat, root mean square, mV.
    lead_masks, stretch_masks
        Probability that leads, and that a stretch of time, are taken away.
    most_leads
        Leads that are taken away, at most.
    """

    shift: int = 0
    gain: float = 0.0
    lead_gain: float = 0.0
    rotation: float = 0.0
    displacement: float = 0.0
    wander: float = 0.0
    muscle: float = 0.0
    lead_masks: float = 0.0
    most_leads: int = 1
    stretch_masks: float = 0.0


# Light: another recording of the same patient, with electrodes that are put on anew as in the simulator, whose median
# beats are as noisy (5 µV at ST against PQ, half of them). Strong: the noisiest twentieth of them, careless electrodes,
# the differences in voltage and axis of two people.
STRENGTHS = {
    "light": Strength(2, 0.05, 0.05, 3.0, 0.05, 0.010, 0.004, 0.1, 1, 0.1),
    "strong": Strength(5, 0.15, 0.10, 6.0, 0.10, 0.018, 0.010, 0.3, 3, 0.3),
}
