"""What looks like an occlusion, or hides one: the company that occlusions keep in an emergency department.

Every condition takes the beat of the patient's healthy heart and returns the beat with the condition, in
heart axes. ``severity`` (about 1, from 0.4 to 2) scales it. Patterns after Surawicz and Knilans, Chou's
Electrocardiography in Clinical Practice, 6th ed. 2008.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from omi_keras.recordings.record import Sex
from omi_keras.simulate.heart_vector import Beat, Wave, gaussian, plateau
from omi_keras.simulate.occlusion import ARTERIES, ARTERY_SHARES, TERRITORIES, draw_occlusion, occluded, scattered

Condition = Callable[[Beat, float, np.random.Generator], Beat]


def early_repolarisation(beat: Beat, severity: float, rng: np.random.Generator) -> Beat:
    """Concave ST elevation in V2-V5 and the inferior leads, notched J point, tall T."""
    j = beat.j_point
    st = scattered(np.array([0.62, 0.45, -0.64]), rng, 10.0, 25.0) * 0.052 * severity
    notch = np.array([0.7, 0.5, -0.2]) * 0.08 * severity * rng.uniform(0.0, 1.0)
    return _t_times(beat, 1.0 + 0.40 * severity).with_waves(
        plateau("STT", st, j + 2.0, j + 75.0, 10.0, 80.0), gaussian("QRS", notch, j - 6.0, 6.0)
    )


def lvh_strain(beat: Beat, severity: float, rng: np.random.Generator) -> Beat:
    """Tall QRS to the left and back; ST and T turn away from it (up in V1-V3, down laterally)."""
    gain = 1.0 + 0.55 * severity
    waves = tuple(_turned_back(w.scaled(gain), 0.10) if w.part == "QRS" else w for w in beat.waves)
    strain = severity * rng.uniform(0.3, 1.2)
    j = beat.j_point + 6.0
    away = -direction_of_qrs(replace(beat, waves=waves))
    return replace(_t_times(replace(beat, waves=waves), max(0.15, 1.0 - 0.55 * strain)), j_point=j).with_waves(
        plateau("STT", away * 0.085 * strain, j, j + 80.0, 14.0, 70.0),
        gaussian("STT", away * 0.21 * strain, j + 215.0, 85.0, 42.0),
    )


def left_bundle_branch_block(beat: Beat, severity: float, rng: np.random.Generator) -> Beat:
    """Slow activation of the left ventricle from the right: no septal q, broad QRS, discordant ST and T."""
    gain = 0.85 + 0.25 * severity * rng.uniform(0.7, 1.2)
    width = rng.uniform(0.95, 1.12)
    turn = scattered(np.array([1.0, 0.0, 0.0]), rng, 8.0, 20.0) - (1.0, 0.0, 0.0)
    forces = (
        ((0.10, 0.10, -0.06), -38.0, 11.0),
        ((0.42, 0.28, 0.62), -8.0, 16.0),
        ((0.62, 0.10, 0.78), 26.0, 18.0),
        ((0.62, -0.06, 0.42), 60.0, 15.0),
    )
    shift = -20.0
    qrs = tuple(gaussian("QRS", gain * (np.array(d) + turn * 0.5), t * width + shift, s * width) for d, t, s in forces)
    old_j = beat.j_point
    j = 92.0 * width + shift
    rest = [w.moved(j - old_j) if w.part == "STT" else w for w in beat.waves if w.part != "QRS"]
    blocked = Beat((*rest, *qrs), onset=-70.0 * width + shift, j_point=j)
    away = -direction_of_qrs(blocked)
    # Discordance in proportion to the QRS: ST/S near 0.1, well under the 0.25 of the modified Sgarbossa rule.
    return _earlier_p(_t_times(blocked, 0.35), 28.0).with_waves(
        plateau("STT", away * 0.125 * gain, j, j + 90.0, 14.0, 80.0),
        gaussian("STT", away * 0.36 * gain, j + 190.0, 80.0, 46.0),
    )


def right_bundle_branch_block(beat: Beat, severity: float, rng: np.random.Generator) -> Beat:
    """Late slow force to the right and front: rSR' in V1, broad S in I and V6, T inverted in V1-V2."""
    j, width = beat.j_point + rng.uniform(40.0, 56.0), rng.uniform(14.0, 18.0)
    late = np.array([-0.42, -0.05, -0.50]) * (0.7 + 0.3 * severity)
    # The late right ventricle meets the end of the left one: the last left forces are partly cancelled.
    waves = tuple(
        w.moved(j - beat.j_point) if w.part == "STT" else w.scaled(0.65 if w.part == "QRS" and w.start > 8.0 else 1.0)
        for w in beat.waves
    )
    return Beat(waves, beat.onset, j).with_waves(
        gaussian("QRS", late, j - 30.0, width, width),
        gaussian("STT", -0.36 * late, j + 200.0, 62.0, 42.0),
        plateau("STT", -0.06 * late, j, j + 60.0, 12.0, 60.0),
    )


def pericarditis(beat: Beat, severity: float, rng: np.random.Generator) -> Beat:
    """Widespread concave ST elevation (all but aVR and V1), PR depression in the same leads."""
    toward = scattered(np.array([0.60, 0.72, -0.35]), rng, 8.0, 20.0)
    j = beat.j_point
    first = min((w.start - 2.0 * w.rise for w in beat.part("P")), default=-150.0)
    return beat.with_waves(
        plateau("STT", toward * 0.11 * severity, j + 2.0, j + 75.0, 12.0, 75.0),
        plateau("P", toward * -0.05 * severity, first + 60.0, beat.onset - 6.0, 22.0, 8.0),
    )


def old_infarct(beat: Beat, severity: float, rng: np.random.Generator) -> Beat:
    """Q waves where muscle is missing; T flat or inverted there."""
    return _scarred(beat, severity, rng, ("mid LAD", "RCA", "RCA", "LCx", "proximal LAD"), 0.012 * rng.exponential())


def ventricular_aneurysm(beat: Beat, severity: float, rng: np.random.Generator) -> Beat:
    """Deep Q waves in front, ST elevation that stayed for years, T too small beside it for an acute occlusion."""
    stayed = 0.085 * severity * rng.uniform(0.5, 1.2)
    return _scarred(_t_times(beat, 0.6), 1.2 * severity, rng, ("mid LAD", "proximal LAD"), stayed)


def _scarred(beat: Beat, severity: float, rng: np.random.Generator, walls: tuple[str, ...], st_mv: float) -> Beat:
    wall = scattered(TERRITORIES[walls[rng.integers(len(walls))]], rng, 8.0, 20.0)
    j = beat.j_point
    return beat.with_waves(
        gaussian("QRS", -wall * 0.38 * severity, beat.onset + 19.0, 9.0, 13.0),
        plateau("STT", wall * st_mv, j, j + 90.0, 12.0, 80.0),
        gaussian("STT", -wall * 0.20 * severity * rng.uniform(), j + 230.0, 62.0, 45.0),
    )


def diffuse_ischaemia(beat: Beat, severity: float, rng: np.random.Generator) -> Beat:
    """ST depression in most leads, elevation in aVR: subendocardial, without an occlusion."""
    away = scattered(np.array([-0.68, -0.60, 0.42]), rng, 9.0, 22.0)
    j, depth = beat.j_point, 0.13 * severity
    return _t_times(beat, max(0.3, 1.0 - 0.35 * severity)).with_waves(
        plateau("STT", away * depth, j, j + 100.0, 12.0, 55.0)
    )


def non_occlusive_infarct(beat: Beat, severity: float, rng: np.random.Generator) -> Beat:
    """An artery that is narrow, or open again, and no occlusion by angiography: less injury, T upright or turned over.

    Half as many as occlusions (Meyers et al., Int J Cardiol Heart Vasc 2021;33:100767: 16 and 33 % of suspected
    coronary syndromes).
    """
    found = draw_occlusion(rng, ARTERIES[rng.choice(len(ARTERIES), p=ARTERY_SHARES)])
    t_mv = found.t_mv * (-0.9 if rng.uniform() < 0.5 else 0.7)
    st_mv = found.st_mv * severity * rng.uniform(0.3, 0.9)
    return occluded(beat, replace(found, st_mv=st_mv, t_mv=t_mv, q_mv=found.q_mv * rng.uniform(0.0, 0.6)))


def t_inversion(beat: Beat, severity: float, rng: np.random.Generator) -> Beat:
    """Flat or inverted T without a reason that the ECG could tell."""
    return _t_times(beat, 0.55 - 0.75 * severity * rng.uniform())


def tall_t(beat: Beat, severity: float, rng: np.random.Generator) -> Beat:
    """Tall narrow T as with a high potassium."""
    return replace(
        beat,
        waves=tuple(
            replace(w.scaled(1.0 + 0.9 * severity), rise=w.rise * 0.72, fall=w.fall * 0.8) if _is_t(w) else w
            for w in beat.waves
        ),
    )


def low_potassium(beat: Beat, severity: float, rng: np.random.Generator) -> Beat:
    """Flat T, sagging ST, a U wave."""
    j, u = beat.j_point, np.array([0.6, 0.4, -0.7]) * 0.11 * severity
    return _t_times(beat, max(0.2, 0.75 - 0.4 * severity)).with_waves(
        plateau("STT", np.array([-0.6, -0.5, 0.3]) * 0.05 * severity, j, j + 90.0, 14.0, 60.0),
        gaussian("STT", u, j + 350.0, 45.0),
    )


def low_voltage(beat: Beat, severity: float, rng: np.random.Generator) -> Beat:
    """Fluid, air or fat between heart and electrodes: everything is small."""
    gain = 0.55 / (1.0 + 0.35 * severity)
    return replace(beat, waves=tuple(w.scaled(gain) for w in beat.waves))


def paced(beat: Beat, severity: float, rng: np.random.Generator) -> Beat:
    """A spike, then slow activation from the apex of the right ventricle to the left, up and back; discordant ST, T."""
    gain = 0.8 + 0.25 * severity
    way = scattered(np.array([0.25, -0.75, 0.62]), rng, 10.0, 25.0)
    width = rng.uniform(0.9, 1.1)
    j, spike = 98.0 * width, -72.0 * width
    slow = (
        (0.45 * way + (0.25, 0.0, 0.1), -30.0, 15.0),
        (1.05 * way, 0.0, 20.0),
        (0.75 * way + (0.12, 0.0, 0.1), 44.0, 19.0),
    )
    qrs = [gaussian("QRS", gain * np.asarray(d), t * width, s * width) for d, t, s in slow]
    stimulus = scattered(np.array([0.4, 0.8, 0.1]), rng, 15.0, 30.0) * rng.uniform(0.2, 0.6)
    # Pacing either follows the atria or, over fibrillation or a silent sinus node, does not.
    waves = [*_moved_p(beat, rng.uniform(40.0, 60.0)), *qrs, gaussian("QRS", stimulus, spike, 1.2)]
    away = -direction_of_qrs(Beat(tuple(qrs), spike, j))
    discordant = (
        plateau("STT", away * 0.11 * gain, j, j + 90.0, 14.0, 80.0),
        gaussian("STT", away * 0.36 * gain, j + 190.0, 80.0, 46.0),
    )
    return Beat((*waves, *discordant), onset=spike - 4.0, j_point=j)


CONDITIONS: dict[str, Condition] = {
    "early repolarisation": early_repolarisation,
    "LVH with strain": lvh_strain,
    "LBBB": left_bundle_branch_block,
    "RBBB": right_bundle_branch_block,
    "pericarditis": pericarditis,
    "old infarct": old_infarct,
    "LV aneurysm": ventricular_aneurysm,
    "diffuse ischaemia": diffuse_ischaemia,
    "non-occlusive infarct": non_occlusive_infarct,
    "T inversion": t_inversion,
    "tall T": tall_t,
    "low potassium": low_potassium,
    "paced": paced,
    "low voltage": low_voltage,
}
MIMICS = tuple(CONDITIONS)


@dataclass(frozen=True)
class _Share:
    """How often a condition is met in patients with chest pain of 60 years, without and with an occlusion.

    ``per_decade`` is the factor per decade beyond 60.
    """

    without: float
    with_omi: float
    per_decade: float


_SHARES = {
    "early repolarisation": _Share(0.050, 0.02, 0.62),
    "LVH with strain": _Share(0.090, 0.07, 1.2),
    "LBBB": _Share(0.028, 0.028, 1.35),
    "RBBB": _Share(0.050, 0.05, 1.3),
    "pericarditis": _Share(0.010, 0.0, 0.7),
    "old infarct": _Share(0.085, 0.10, 1.3),
    "LV aneurysm": _Share(0.008, 0.01, 1.3),
    "diffuse ischaemia": _Share(0.060, 0.0, 1.15),
    "non-occlusive infarct": _Share(0.040, 0.0, 1.1),
    "T inversion": _Share(0.100, 0.05, 1.1),
    "tall T": _Share(0.020, 0.01, 1.05),
    "low potassium": _Share(0.020, 0.01, 1.05),
    "paced": _Share(0.018, 0.012, 1.6),
    "low voltage": _Share(0.025, 0.02, 1.1),
}


def draw_mimic(rng: np.random.Generator, age: float, sex: Sex, omi: bool) -> str:
    """Draw a patient's condition, ``""`` for none; most come with age, early repolarisation with youth."""
    shares = [_SHARES[name] for name in MIMICS]
    share = np.array([s.with_omi if omi else s.without for s in shares])
    share *= np.array([s.per_decade for s in shares]) ** ((age - 60.0) / 10.0)
    share[MIMICS.index("early repolarisation")] *= 0.5 if sex == "female" else 1.4
    share *= min(1.0, 0.85 / share.sum())
    place = int(np.searchsorted(np.cumsum(share), rng.uniform(), side="right"))
    return MIMICS[place] if place < len(MIMICS) else ""


def with_mimic(beat: Beat, name: str, severity: float, rng: np.random.Generator) -> Beat:
    """Return the beat with the named condition; ``""`` leaves it as it is."""
    return CONDITIONS[name](beat, severity, rng) if name else beat


def direction_of_qrs(beat: Beat) -> np.ndarray:
    """Unit vector (3,) of the QRS area."""
    area = sum((np.array(w.dipole) * (w.rise + w.fall) for w in beat.part("QRS")), np.zeros(3))
    return area / max(float(np.linalg.norm(area)), 1e-9)


def _turned_back(wave: Wave, amount: float) -> Wave:
    x, y, z = wave.dipole
    return replace(wave, dipole=(x, y, z + amount * max(x, 0.0)))


def _is_t(wave: Wave) -> bool:
    return wave.part == "STT" and wave.start == wave.end


def _t_times(beat: Beat, factor: float) -> Beat:
    return replace(beat, waves=tuple(w.scaled(factor) if _is_t(w) else w for w in beat.waves))


def _moved_p(beat: Beat, earlier_ms: float) -> tuple[Wave, ...]:
    return tuple(w.moved(-earlier_ms) for w in beat.part("P"))


def _earlier_p(beat: Beat, ms: float) -> Beat:
    return replace(beat, waves=(*(w for w in beat.waves if w.part != "P"), *_moved_p(beat, ms)))
