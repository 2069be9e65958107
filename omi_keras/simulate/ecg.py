"""One simulated ECG: a patient's heart, what is wrong with it, a rhythm, a recording, and the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from omi_keras.recordings.record import SAMPLING_RATE, Record
from omi_keras.simulate.anatomy import Anatomy, displaced, draw_anatomy, normal_beat, to_body
from omi_keras.simulate.faults import draw_fault, exchanged
from omi_keras.simulate.heart_vector import (
    BEAT_END_MS,
    BEAT_START_MS,
    BEAT_TIMES,
    Beat,
    heart_vector,
    project,
    stretched,
)
from omi_keras.simulate.mimics import draw_mimic, with_mimic
from omi_keras.simulate.occlusion import Occlusion, at_time, draw_occlusion, occluded
from omi_keras.simulate.plan import PlannedECG
from omi_keras.simulate.recording import record, to_millivolts
from omi_keras.simulate.rhythm import Rhythm, draw_rhythm, earlier_p, strip
from omi_keras.simulate.site_shift import carelessness, put_higher

BEAT_SAMPLES, R_SAMPLE = 600, 300
# Between a patient's ECGs, minutes.
_GAP_MINUTES = 70.0
# The waves are built around the time when the last force of QRS has fallen to a fifteenth. Cardiologists call the end
# of QRS what comes after all of it: so much later, by how they mark real beats (docs/explanation/signal.md).
J_SEEN_MS = 11.0
# What a condition does to the heart rate, beats per minute.
_RATE_SHIFTS = {"pericarditis": 14.0, "diffuse ischaemia": 12.0, "early repolarisation": -8.0, "RCA": -9.0}


@dataclass(frozen=True)
class Truth:
    """What is known about a simulated ECG and about no real one.

    Attributes
    ----------
    artery
        Occluded artery, ``""`` for none.
    mimic
        Condition that looks like an occlusion or hides one, ``""`` for none.
    rhythm
        Name of the rhythm.
    heart_rate
        Beats per minute.
    noise_level
        1 for an ordinary recording of the site.
    fault
        ``""``, or what went wrong: see :func:`omi_keras.simulate.faults.draw_fault`.
    true_beat
        (12, 600) float32 mV: the dominant beat without noise and filters, with its neighbours at the mean RR
        interval, level on the PQ segment, R peak of the vector magnitude at sample 300. Exchanged cables show in it;
        a loose or missing electrode does not.
    j_ms
        J point, where cardiologists would mark it, ms after the R peak.
    st_level_mv
        (12,) float32 mV, 60 ms after the J point, against the PQ segment.
    injury_mv
        Size of the injury vector, 0 without an occlusion.
    minutes
        Since the onset of the occlusion, 0 without one.
    r_samples, beat_kinds
        (n_beats,) R peaks in the recording, and 0 normal, 1 ventricular ectopic, 2 atrial ectopic.
    """

    artery: str
    mimic: str
    rhythm: str
    heart_rate: float
    noise_level: float
    fault: str
    true_beat: np.ndarray
    j_ms: float
    st_level_mv: np.ndarray
    injury_mv: float
    minutes: float
    r_samples: np.ndarray
    beat_kinds: np.ndarray


@dataclass(frozen=True)
class SimulatedECG:
    """A recording, the plan it came from, and the truth about it."""

    record: Record
    plan: PlannedECG
    truth: Truth


@dataclass(frozen=True)
class Patient:
    """What a patient's serial ECGs share.

    Attributes
    ----------
    anatomy
        Heart and chest.
    mimic
        Condition, ``""`` for none.
    beat
        Beat without the occlusion but with the condition, in heart axes.
    occlusion
        On arrival, None without one.
    noise_level
        How restless the patient is.
    """

    anatomy: Anatomy
    mimic: str
    beat: Beat
    occlusion: Occlusion | None
    noise_level: float


def draw_patient(plan: PlannedECG, seed: int) -> Patient:
    """Draw the patient of a planned ECG: the same for every ECG of the patient, in whatever order."""
    rng = np.random.default_rng([seed, 1, plan.patient])
    anatomy = draw_anatomy(rng, plan.age, plan.sex)
    mimic = draw_mimic(rng, plan.age, plan.sex, bool(plan.omi))
    beat = with_mimic(normal_beat(anatomy), mimic, float(np.clip(rng.lognormal(0.0, 0.35), 0.4, 2.0)), rng)
    return Patient(
        anatomy=anatomy,
        mimic=mimic,
        beat=beat,
        occlusion=draw_occlusion(rng, plan.artery, anatomy.qrs_gain) if plan.omi else None,
        noise_level=float(rng.lognormal(0.0, 0.3)),
    )


def simulate_ecg(plan: PlannedECG, seed: int = 0) -> SimulatedECG:
    """Simulate one planned ECG.

    Parameters
    ----------
    plan
        From :func:`omi_keras.simulate.plan.plan_cohort`.
    seed
        The plan's seed. The result depends on it and on the plan alone, not on what was simulated before.

    Returns
    -------
    SimulatedECG
        10 s at 500 Hz in the record: (12, 5000) float32 mV, whole steps of 5 µV.
    """
    patient = draw_patient(plan, seed)
    rng = np.random.default_rng([seed, 2, plan.index])
    anatomy = patient.anatomy
    occlusion = None
    if patient.occlusion is not None:
        minutes = patient.occlusion.minutes + _GAP_MINUTES * plan.serial * rng.uniform(0.6, 1.4)
        occlusion = at_time(patient.occlusion, minutes, rng)
    # Nobody puts electrodes back exactly where they were.
    field = put_higher(displaced(anatomy.lead_field, rng, 0.05 * carelessness(plan.shift)), plan.shift)
    beat = patient.beat if occlusion is None else occluded(patient.beat, occlusion)
    beat = _with_r_at_zero(beat, anatomy, field)
    shift = _RATE_SHIFTS.get(patient.mimic, 0.0) + _RATE_SHIFTS.get(plan.artery, 0.0)
    rhythm = draw_rhythm(rng, plan.age, shift)
    noise_level = patient.noise_level * float(rng.lognormal(0.0, 0.35))
    vector = to_body(anatomy, strip(beat, rhythm, anatomy.qt_factor, rng))
    fault = draw_fault(np.random.default_rng([seed, 3, plan.index]))
    signal = to_millivolts(record(vector, field, rng, plan.site, noise_level, fault, plan.shift))

    true = true_beat(beat, rhythm, anatomy, exchanged(field, fault))
    j_ms = beat.j_point + J_SEEN_MS + beat.slur
    st_sample = R_SAMPLE + round((j_ms + 60.0) * SAMPLING_RATE / 1000.0)
    in_strip = rhythm.recorded
    return SimulatedECG(
        record=Record(
            signal=signal,
            ecg_id=plan.ecg_id,
            patient_id=plan.patient_id,
            age=float(plan.age),
            sex=plan.sex,
            source="simulated",
        ),
        plan=plan,
        truth=Truth(
            artery=plan.artery,
            mimic=patient.mimic,
            rhythm=rhythm.name,
            heart_rate=rhythm.rate,
            noise_level=noise_level,
            fault=fault,
            true_beat=true,
            j_ms=j_ms,
            st_level_mv=true[:, st_sample].copy(),
            injury_mv=0.0 if occlusion is None else occlusion.st_mv * anatomy.gain,
            minutes=0.0 if occlusion is None else occlusion.minutes,
            r_samples=rhythm.r_recorded[in_strip],
            beat_kinds=rhythm.kinds[in_strip],
        ),
    )


def true_beat(beat: Beat, rhythm: Rhythm, anatomy: Anatomy, lead_field: np.ndarray) -> np.ndarray:
    """The beat that a perfect averager would find, (12, 600) float32 mV.

    At fast rates 1.2 s hold parts of the neighbours, as a real average does.
    """
    rr = 60.0 / rhythm.rate
    t = (np.arange(BEAT_SAMPLES) - R_SAMPLE) * (1000.0 / SAMPLING_RATE)
    # Earlier beats reach into the window with their T, later ones with their P.
    first, last = (
        np.ceil((t[0] - BEAT_END_MS) / (1000.0 * rr)),
        np.floor((t[-1] - BEAT_START_MS) / (1000.0 * rr)),
    )
    beats_away = np.arange(first, last + 1.0) * (1000.0 * rr)
    times = (t[None, :] - beats_away[:, None]).astype(np.float32)
    stretch = rhythm.qt_stretch(anatomy.qt_factor, np.array([rr]))
    steady = beat.part("QRS") + (() if rhythm.fibrillating else earlier_p(beat, rhythm.rate))
    vector = heart_vector(steady, times).sum(axis=0)
    vector += heart_vector(beat.part("STT"), stretched(times, beat.j_point, stretch)).sum(axis=0)
    leads = project(to_body(anatomy, vector), lead_field)
    onset = R_SAMPLE + round(beat.onset * SAMPLING_RATE / 1000.0)
    level = leads[:, onset - 10 : onset - 2].mean(axis=1, keepdims=True)
    return (leads - level).astype(np.float32)


def _with_r_at_zero(beat: Beat, anatomy: Anatomy, lead_field: np.ndarray) -> Beat:
    """Move a beat by whole samples so that the largest 12-lead magnitude of its QRS is at time 0."""
    leads = project(to_body(anatomy, heart_vector(beat.waves, BEAT_TIMES)), lead_field)
    inside = (beat.onset <= BEAT_TIMES) & (beat.j_point >= BEAT_TIMES)
    magnitude = np.where(inside, np.square(leads).sum(axis=0), 0.0)
    shift = -float(BEAT_TIMES[int(np.argmax(magnitude))])
    return replace(
        beat,
        waves=tuple(w.moved(shift) for w in beat.waves),
        onset=beat.onset + shift,
        j_point=beat.j_point + shift,
    )
