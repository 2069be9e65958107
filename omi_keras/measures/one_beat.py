"""All that is read off one ECG on paper: marks, intervals, axes, ST levels, STEMI criteria."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from omi_keras.beats.median_beats import R_SAMPLE
from omi_keras.beats.model_inputs import BEAT_SAMPLES
from omi_keras.measures.beat_arrays import MS, samples
from omi_keras.measures.features import FEATURES, beat_features
from omi_keras.measures.fiducials import delineate
from omi_keras.measures.stemi import stemi_reading
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS, Sex

# ST is read so long after J: ms.
ST_AFTER_J = 60


@dataclass(frozen=True)
class BeatMeasures:
    """What a person reads off a median beat. NaN and None: it is not there.

    Attributes
    ----------
    marks_ms
        ``QRS onset``, ``J``, ``J+60`` and ``T end``, milliseconds from R; empty where a sample is missing.
    rate, pr_ms, qrs_ms, qt_ms, qtcf_ms
        Beats per minute, as given; intervals in ms; QT corrected by :func:`fridericia`.
    qrs_axis_deg, t_axis_deg
        In the frontal plane, degrees.
    st_mv
        (12,) ST levels 60 ms after J, mV.
    stemi
        Whether the STEMI criteria are met (:func:`omi_keras.measures.stemi.stemi_criteria`); None: not to be read.
    stemi_leads
        The leads that reach their limits beside a neighbour that does, in the order of LEADS.
    stemi_excluded
        What forbids to read them so: ``left bundle branch block``, ``left ventricular hypertrophy``; mostly nothing.
    """

    marks_ms: dict[str, float]
    rate: float
    pr_ms: float
    qrs_ms: float
    qt_ms: float
    qtcf_ms: float
    qrs_axis_deg: float
    t_axis_deg: float
    st_mv: np.ndarray
    stemi: bool | None
    stemi_leads: tuple[str, ...]
    stemi_excluded: tuple[str, ...]


def fridericia(qt_ms: float, rate: float) -> float:
    """QT at 60 beats per minute: QT / ∛RR, RR in seconds (Fridericia, Acta Med Scand 1920;53:469-486)."""
    return qt_ms * math.copysign(abs(rate / 60.0) ** (1.0 / 3.0), rate)


def measure_beat(
    beat: ArrayLike, *, rate: float = math.nan, age: float | None = None, sex: Sex | None = None
) -> BeatMeasures:
    """Measure one median beat.

    Parameters
    ----------
    beat
        (12, 600) mV, 500 Hz, R at sample 300, PR segment at zero. Not changed.
    rate
        Beats per minute, which a median beat does not tell.
    age, sex
        Decide the limits of the STEMI criteria; where unknown, those of men from 40 years.

    Raises
    ------
    InputError
        When the shape is not (12, 600), or the sex unknown.
    """
    x = np.asarray(beat, dtype=np.float32)
    if x.shape != (len(LEADS), BEAT_SAMPLES):
        raise InputError(f"expected a median beat of shape (12, 600), received {x.shape}", "wrong_shape")
    found = dict(zip(FEATURES, beat_features(x[None])[0].astype(float).tolist(), strict=True))
    rate = float(rate)
    marks: dict[str, float] = {}
    stemi: bool | None = None
    leads: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    # All leads flat, or a sample missing: nothing was measured.
    if not math.isnan(found["qrs_duration_ms"]):
        at = delineate(x[None].astype(np.float64))
        j = int(at.j[0])
        places = {"QRS onset": int(at.qrs_onset[0]), "J": j, f"J+{ST_AFTER_J}": j + samples(ST_AFTER_J)}
        marks = {name: (place - R_SAMPLE) * MS for name, place in (places | {"T end": int(at.t_end[0])}).items()}
        reading = stemi_reading(x[None], [math.nan if age is None else age], [sex or ""])
        leads = tuple(lead for lead, meets in zip(LEADS, reading.leads[0], strict=True) if meets)
        excluded = tuple(
            name
            for name, there in (
                ("left bundle branch block", reading.left_bundle[0]),
                ("left ventricular hypertrophy", reading.hypertrophy[0]),
            )
            if there
        )
        stemi = bool(reading.positive[0])
    return BeatMeasures(
        marks_ms=marks,
        rate=rate,
        pr_ms=found["pr_interval_ms"],
        qrs_ms=found["qrs_duration_ms"],
        qt_ms=found["qt_interval_ms"],
        qtcf_ms=fridericia(found["qt_interval_ms"], rate),
        qrs_axis_deg=found["frontal_qrs_axis_deg"],
        t_axis_deg=found["frontal_t_axis_deg"],
        st_mv=np.array([found[f"{lead}_st_j{ST_AFTER_J}_mv"] for lead in LEADS]),
        stemi=stemi,
        stemi_leads=leads,
        stemi_excluded=excluded,
    )
