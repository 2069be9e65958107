"""What nobody says of an array's numbers, where the ECG itself leaves no doubt; a question everywhere else.

The limits were set on 149 recordings of 12-lead devices, each read at its own rate, at twice and at half of it: they
hold for 96 % of what is read right and for fewer than 1 % of what is read at a wrong rate or in tenths of a millivolt.
"""

from __future__ import annotations

import numpy as np

from omi_keras.signal.errors import InputError
from omi_keras.signal.fiducials import delineate
from omi_keras.signal.formats.beats import limb_leads
from omi_keras.signal.median_beat import MedianBeat, median_beat
from omi_keras.signal.quality import EINTHOVEN_UV, limb_lead_error_uv
from omi_keras.signal.record import LEADS, SAMPLING_RATE, Record

# What ECG devices sample at, and how long a recording lasts: the one that nobody names is 10 s at 500 Hz.
USUAL_RATES = (100, 125, 128, 200, 240, 250, 256, 257, 300, 360, 400, 500, 512, 600, 1000, 1024, 2000)
USUAL_SECONDS = 10.0
SHORTEST, LONGEST = 5.0, 60.0
# 512 Hz is 2.4 % away.
LENGTH_TOLERANCE = 0.01
MOST_READINGS = 4

# Peak to peak of the middle lead in 1 s, mV. Tenths of a millivolt make ten times as much.
TYPICAL_MV = (0.3, 3.0)
# For µV less is believed: a converter's steps of 2.5, 4.88 or 5 µV, saved as floats, look like a smaller ECG in µV.
TYPICAL_UV = (700.0, 1800.0)
# Leads of one heart differ; what an array was divided by makes them alike.
ALIKE = 0.005

HEART_RATE = (40.0, 150.0)
QRS_MS = (60.0, 190.0)
# Fridericia's correction.
QTC_MS = (320.0, 520.0)
SLOW, WIDE_MS = 50.0, 120.0
FAST, NARROW_MS = 120.0, 70.0
LEAST_KEPT = 0.5


def assumed_units(signal: np.ndarray, rate: float, file: str, ask: str, *, counts: bool) -> str:
    """The unit that makes this an ECG, where the values leave no doubt.

    Parameters
    ----------
    signal
        (leads, samples) float64 in the unit that is asked for.
    rate
        Hz.
    file, ask
        For messages: the file, and how to say it.
    counts
        Whether the file's values are integers.

    Raises
    ------
    InputError
        When several units are possible, or none.
    """
    complete = signal.shape[1] > 0 and bool(np.isfinite(signal).all())
    window = max(min(signal.shape[1], round(rate)), 1)
    cut = signal[:, : signal.shape[1] // window * window]
    typical = float(np.median(np.ptp(cut.reshape(len(signal), -1, window), axis=2))) if complete else 0.0
    in_uv = TYPICAL_UV[0] <= typical <= TYPICAL_UV[1]
    # Whole numbers are converter counts, whatever type they were saved in.
    if counts or (typical > 1.0 and not in_uv and np.array_equal(signal, np.rint(signal))):
        raise InputError(
            f"{file}: integers without a unit: converter counts (5, 4.88 or 2.5 µV each ...), mV and µV look alike; "
            f"{ask}",
            "no_units",
        )
    if typical == 0.0:
        return "mV"  # nothing, or holes: the reader and the quality check say so
    if _normalised(signal):
        raise InputError(
            f"{file}: no unit is given, and its values were scaled to a range or a spread of 1, so that millivolts are "
            f"lost; store the ECG as it was measured, or {ask}",
            "no_units",
        )
    if TYPICAL_MV[0] <= typical <= TYPICAL_MV[1]:
        return "mV"
    if in_uv:
        return "uV"
    steps = (("V", 1e3), ("mV", 1.0), ("0.1 mV", 0.1), ("5 µV", 5e-3), ("2.5 µV", 2.5e-3), ("µV", 1e-3))
    could = [name for name, factor in steps if TYPICAL_MV[0] <= typical * factor <= TYPICAL_MV[1]]
    what = f"could be in {_either(could)}" if could else "are an ECG neither in mV nor in µV"
    raise InputError(f"{file}: no unit is given, and values of {typical:.3g} peak to peak {what}; {ask}", "no_units")


def check_order(leads: dict[str, np.ndarray], file: str, ask: str) -> None:
    """Refuse an assumed order of leads (mV, any rate) in which the limb leads contradict each other."""
    signal = np.stack([leads[lead] for lead in LEADS])
    if signal.size == 0 or not np.isfinite(signal).all():
        return  # missing samples are named by the reader
    if limb_lead_error_uv(signal) > EINTHOVEN_UV:
        raise InputError(
            f"{file}: no lead names are given, and rows 1 to 6 are not I, II, III, aVR, aVL, aVF: III is not II - I, "
            f"or aVR, aVL, aVF do not follow from I and II; {ask}",
            "no_leads",
        )


def assumed_rate(leads: dict[str, np.ndarray], file: str, ask: str) -> float:
    """500 Hz, where length and beats leave no doubt.

    Parameters
    ----------
    leads
        Lead → (samples,) float64, mV.
    file, ask
        For messages: the file, and how to say it.

    Raises
    ------
    InputError
        When the length is not that of 10 s at 500 Hz, or heart rate, QRS and QT do not hold together at 500 Hz.
    """
    samples = len(leads["I"])
    if samples < 2 or not all(np.isfinite(row).all() for row in leads.values()):
        return float(SAMPLING_RATE)  # the reader says what is missing
    readings = _either([f"{seconds:.4g} s at {rate} Hz" for rate, seconds in _readings(samples)])
    if abs(samples / SAMPLING_RATE - USUAL_SECONDS) > LENGTH_TOLERANCE * USUAL_SECONDS:
        what = f"could be {readings}" if readings else "are 10 s at no usual rate"
        raise InputError(f"{file}: no rate is given, and {samples} samples {what}; {ask}", "no_rate")
    row = limb_leads(leads["I"], leads["II"]) | leads
    signal = np.stack([row[lead] for lead in LEADS]).astype(np.float32)
    if not signal.any():
        return float(SAMPLING_RATE)  # the quality check says it
    try:
        beat = median_beat(Record(signal, file))
    except InputError as error:
        why = str(error).removeprefix(f"{file}: ").partition(";")[0]
        raise InputError(
            f"{file}: no rate is given, its beats do not tell it ({why}), and {samples} samples could be {readings}; "
            f"{ask}",
            "no_rate",
        ) from None
    doubt = _doubt(beat)
    if doubt:
        raise InputError(
            f"{file}: no rate is given, and 500 Hz is doubtful ({doubt}): {samples} samples could be {readings}; {ask}",
            "no_rate",
        )
    return float(SAMPLING_RATE)


def _doubt(beat: MedianBeat) -> str:
    """What speaks against the rate at which a beat was measured; empty where nothing does."""
    marks = delineate(beat.beat[None])
    step = 1000.0 / SAMPLING_RATE
    qrs = step * float(marks.j[0] - marks.qrs_onset[0])
    qtc = step * float(marks.t_end[0] - marks.qrs_onset[0]) * float(np.cbrt(beat.heart_rate / 60.0))
    rate = beat.heart_rate
    sound = (
        HEART_RATE[0] <= rate <= HEART_RATE[1]
        and QRS_MS[0] <= qrs <= QRS_MS[1]
        and QTC_MS[0] <= qtc <= QTC_MS[1]
        and not (rate < SLOW and qrs > WIDE_MS)
        and not (rate > FAST and qrs < NARROW_MS)
    )
    if not sound:
        return f"the heart would beat {rate:.0f} times a minute, QRS last {qrs:.0f} ms and QTc {qtc:.0f} ms"
    if beat.beats_kept < LEAST_KEPT * beat.beats_found:
        return f"only {beat.beats_kept} of {beat.beats_found} beats are alike"
    return ""


def _readings(samples: int) -> list[tuple[int, float]]:
    """Usual rates at which so many samples are a recording, and its seconds; those of whole seconds near 10 first."""
    found = [(rate, samples / rate) for rate in USUAL_RATES if SHORTEST <= samples / rate <= LONGEST]

    def oddity(reading: tuple[int, float]) -> tuple[bool, float]:
        seconds = reading[1]
        return abs(seconds - round(seconds)) > LENGTH_TOLERANCE, abs(float(np.log(seconds / USUAL_SECONDS)))

    return sorted(found, key=oddity)[:MOST_READINGS]


def _normalised(signal: np.ndarray) -> bool:
    """Whether values were divided by their own range or spread, all together or each lead by its own."""
    low, high = float(signal.min()), float(signal.max())
    if (high == 1.0 or low == -1.0) and max(high, -low) == 1.0:
        return True
    for size in (np.ptp(signal, axis=1), np.abs(signal).max(axis=1), signal.std(axis=1)):
        if size.min() > 0.0 and size.max() - size.min() < ALIKE * size.max():
            return True
    return False


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}" if names else ""
