"""One patient's heart and chest: axis, size, lead field, and the beat of that heart when nothing is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omi_keras.recordings.record import Sex
from omi_keras.simulate.heart_vector import DOWER, Beat, Wave, gaussian, plateau, rotation

# J point of the reference heart, ms after the R peak (QRS of 89 ms from -40 to +49).
_ONSET_MS, _J_MS = -40.0, 49.0
# Activation of the ventricles: dipole (mV), time (ms), width (ms). Fitted by least squares to the Q, R and S amplitudes
# of the middle adult in each lead (docs/explanation/simulator.md) under Dower's transform, with a QRS loop as flat as
# hearts have and no notches.
_ACTIVATION = (
    ((-0.169, -0.208, -0.170), -21.7, 8.1),  # septum
    ((0.212, 0.225, -0.174), -15.7, 8.0),  # apex and anterior wall
    ((1.097, 0.745, 0.482), 1.1, 11.0),  # free wall of the left ventricle
    ((0.284, 0.005, 0.655), 21.4, 8.3),  # lateral and posterior wall
    ((-0.254, 0.000, 0.167), 30.1, 8.1),  # base
)
_SEPTUM = 0
# What is activated last differs most between people: a slur, a notch or a late S wave around the J point. Its size
# (mV, mean of an exponential times a normal), its place from the J point (mean and SD, ms), and what readers see of it.
_LAST_MV, _LAST_MS, _SEEN_MV = 0.06, (-4.0, 9.0), 0.03
# T, mV: of the wall that lies in front, and of the rest of the left ventricle.
_T_FRONT, _T_REST = np.array([0.09, 0.04, -0.118]), np.array([0.22, 0.12, -0.05])


@dataclass(frozen=True)
class Anatomy:
    """What the serial ECGs of a patient share.

    Attributes
    ----------
    rotation
        (3, 3) turn of the whole heart in the chest.
    conduction
        (3, 3) further turn of the QRS alone: where activation runs, beyond how the heart lies.
    lead_field
        (8, 3) the patient's own Dower coefficients (body shape, place of the electrodes).
    gain
        Body size and conductivity: scales everything.
    p_gain
        Voltage of the atria.
    septal_gain
        Strength of the first, septal force: q waves of the lateral leads, r of V1.
    qrs_gain, t_gain
        Voltage of depolarisation and of repolarisation.
    qrs_time, qt_factor
        QRS duration and heart-rate-corrected QT, relative to the reference heart.
    pr_shift
        ms by which P comes earlier (positive) or later than in the reference heart.
    t_width
        Width of T relative to the reference heart.
    t_tilt, st_offset
        (3,) mV: the patient's own T direction and ST level, the ordinary variation between people without
        an occlusion.
    last_force
        (3,) mV: what is still activated when the rest of QRS is over: a slur or notch at the J point.
    last_force_ms
        Its centre after the J point (negative: before it).
    """

    rotation: np.ndarray
    conduction: np.ndarray
    lead_field: np.ndarray
    gain: float
    p_gain: float
    septal_gain: float
    qrs_gain: float
    t_gain: float
    qrs_time: float
    qt_factor: float
    pr_shift: float
    t_width: float
    t_tilt: np.ndarray
    st_offset: np.ndarray
    last_force: np.ndarray
    last_force_ms: float


def draw_anatomy(rng: np.random.Generator, age: float, sex: Sex) -> Anatomy:
    """Draw a patient's anatomy.

    Age turns the axis to the left and lowers voltages; women have lower QRS voltage, a lower ST segment
    in V2-V3 and a longer QT (Macfarlane et al., Comprehensive Electrocardiology, 2nd ed. 2010).
    """
    woman = sex == "female"
    lie = np.clip(rng.normal(0.0, (5.0, 6.0, 6.0)), -12.0, 12.0)
    turn = np.clip(rng.normal((0.0, 0.0, -0.4 * (age - 55.0)), (7.0, 12.0, 17.0)), -45.0, 35.0)
    size = rng.lognormal(0.0, 0.13)
    young = max(0.0, 50.0 - age)
    # Most people's ST segment is level; some people's is not, and nobody finds why: a sixth of the ST elevations in
    # chest pain (Brady et al., Am J Emerg Med 2001;19:25-28).
    offset = float(np.clip(rng.lognormal(0.0, 0.3), 0.4, 2.6))
    return Anatomy(
        rotation=rotation(*lie),
        conduction=rotation(*turn),
        lead_field=displaced(DOWER, rng, 0.10),
        gain=size,
        p_gain=rng.lognormal(0.0, 0.22),
        septal_gain=float(min(rng.lognormal(-0.1, 0.4), 2.0)),
        qrs_gain=rng.lognormal(-0.03 if woman else 0.10, 0.17) * (1.0 - 0.003 * (age - 55.0)),
        t_gain=max(0.25, rng.normal(0.92 if woman else 1.05, 0.27)) * (1.0 - 0.004 * (age - 55.0)),
        qrs_time=float(np.clip(rng.normal(0.80 if woman else 0.85, 0.065), 0.72, 1.13)),
        qt_factor=float(np.clip(rng.normal(1.005 if woman else 0.98, 0.045), 0.86, 1.13)),
        pr_shift=float(np.clip(rng.normal(0.12 * (age - 55.0), 15.0), -28.0, 45.0)),
        t_width=float(np.clip(rng.normal(0.91, 0.12), 0.65, 1.3)),
        t_tilt=rng.normal(0.0, 0.08, 3),
        st_offset=offset * rng.normal(0.0, 0.024, 3) + np.array([0.0, 0.0, -0.012 if woman else -0.03 - 0.001 * young]),
        last_force=rng.normal(0.0, _LAST_MV, 3) * rng.exponential(),
        last_force_ms=float(rng.normal(*_LAST_MS)),
    )


def displaced(lead_field: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Lead field after electrodes moved a little: chest leads mix with their neighbours, all gains change.

    Parameters
    ----------
    lead_field
        (8, 3).
    amount
        Standard deviation as a fraction of the distance to the next electrode; limb leads, far away from the
        heart, feel a third of it.
    """
    moved = lead_field.copy()
    chest = lead_field[2:]
    # The centred difference along the chest is the change per electrode place.
    slope = np.gradient(chest, axis=0)
    along, gain = rng.normal(0.0, amount, (6, 1)), rng.normal(0.0, 0.6 * amount, (6, 1))
    moved[2:] = chest * (1.0 + gain) + slope * along
    moved[:2] += rng.normal(0.0, 0.33 * amount, (2, 3)) * np.abs(lead_field[:2]).max(axis=0)
    return moved


def normal_beat(anatomy: Anatomy) -> Beat:
    """Beat of the healthy heart in heart axes (before the anatomy's rotation and gain).

    Activation runs from the septum (right, front) over the anterior wall and apex (left, down) to the base of
    the left ventricle (back); the atria from right to left; T points left, down and to the front.
    """
    a, q, v = anatomy, anatomy.qrs_time, anatomy.qrs_gain
    j = _J_MS * q
    depolarisation = tuple(
        gaussian("QRS", v * (a.septal_gain if i == _SEPTUM else 1.0) * (a.conduction @ dipole), centre * q, width * q)
        for i, (dipole, centre, width) in enumerate(_ACTIVATION)
    )
    last = gaussian("QRS", v * a.last_force, j + a.last_force_ms, 6.0 * q, 7.0 * q)
    # Repolarisation ends in front first: T peaks earlier in V2 than in V5, and turns over in V1.
    front, rest = _T_FRONT * a.t_gain + 0.3 * a.t_tilt, _T_REST * a.t_gain + 0.7 * a.t_tilt
    wide = a.t_width
    repolarisation = (
        gaussian("STT", front, j + 200.0, 48.0 * wide, 36.0 * wide),
        gaussian("STT", rest, j + 238.0, 46.0 * wide, 36.0 * wide),
        # The first third of T is lower and longer: the ST segment slides into it.
        gaussian("STT", 0.24 * (front + rest), j + 150.0, 55.0, 55.0),
        plateau("STT", a.st_offset, j + 8.0, j + 130.0, 9.0, 70.0),
        gaussian("STT", 0.035 * np.array([0.6, 0.5, -0.6]) * a.t_gain, j + 385.0, 28.0),
    )
    waves = (*atrial_waves(a.pr_shift, a.p_gain), *depolarisation, last, *repolarisation)
    seen = v * a.gain * float(np.linalg.norm(a.last_force)) > _SEEN_MV
    return Beat(waves, onset=_ONSET_MS * q, j_point=j, slur=max(0.0, a.last_force_ms + 5.0) if seen else 0.0)


def atrial_waves(pr_shift: float, gain: float = 1.0) -> tuple[Wave, ...]:
    """P: right atrium (down, front), then left atrium (left, back)."""
    return (
        gaussian("P", gain * np.array([0.050, 0.085, -0.050]), -158.0 - pr_shift, 16.0),
        gaussian("P", gain * np.array([0.085, 0.070, 0.050]), -130.0 - pr_shift, 17.0),
    )


def to_body(anatomy: Anatomy, vector: np.ndarray) -> np.ndarray:
    """Turn and scale a heart vector (..., 3, n) from heart axes to body axes, mV."""
    return (anatomy.gain * anatomy.rotation).astype(np.float32) @ vector
