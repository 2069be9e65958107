"""What nobody says of an array's numbers, where the ECG itself leaves no doubt; a question everywhere else.

Time is judged by heart rate and QRS width. The limits were set on 152 real and 60 simulated recordings of 10 s, each
read at its own rate, at twice and at half of it: 93 % of the right ones are believed, and 3 % of the wrong ones (at
twice its rate, a bundle branch block at 60 a minute is a narrow beat at 120). The measures are its own: those of
:mod:`~omi_keras.measures.fiducials` know what lasts how long in a heart, which is the question here.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, find_peaks, sosfiltfilt

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats.recording import INDEPENDENT
from omi_keras.recordings.limb_leads import EINTHOVEN_UV, limb_lead_error_uv
from omi_keras.recordings.record import LEADS, SAMPLING_RATE

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
# As measured here: the core of the complex.
QRS_MS = (48.0, 130.0)
# The usual beat, how much each of its measures says of the time scale, and how far (natural logarithm) that may be off.
USUAL_RR_S, USUAL_QRS_MS = 0.85, 70.0
RR_SHARE, QRS_SHARE = 0.4, 0.6
MOST_OFF = 0.3
# QRS lasts while the leads move with this share of their greatest speed, pauses of less than 16 ms included. Samples.
MOVING, PAUSE = 0.15, 8
REFRACTORY, BEFORE, AFTER, LONGEST_QRS = 125, 100, 300, 90
MIN_BEATS = 3

_BAND = butter(2, (0.7, 100.0), "bandpass", fs=SAMPLING_RATE, output="sos")


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
        When the length is not that of 10 s at 500 Hz, or heart rate and QRS width do not hold together at 500 Hz.
    """
    samples = len(leads["I"])
    if samples < 2 or not all(np.isfinite(row).all() for row in leads.values()):
        return float(SAMPLING_RATE)  # the reader says what is missing
    readings = _either([f"{seconds:.4g} s at {rate} Hz" for rate, seconds in _readings(samples)])
    if abs(samples / SAMPLING_RATE - USUAL_SECONDS) > LENGTH_TOLERANCE * USUAL_SECONDS:
        what = f"could be {readings}" if readings else "are 10 s at no usual rate"
        raise InputError(f"{file}: no rate is given, and {samples} samples {what}; {ask}", "no_rate")
    signal = np.stack([row for lead, row in leads.items() if lead in INDEPENDENT])
    if not signal.any():
        return float(SAMPLING_RATE)  # the quality check says it
    doubt = _doubt(signal)
    if doubt:
        raise InputError(
            f"{file}: no rate is given, and 500 Hz is doubtful ({doubt}): {samples} samples could be {readings}; {ask}",
            "no_rate",
        )
    return float(SAMPLING_RATE)


def _doubt(signal: np.ndarray) -> str:
    """What speaks against 500 Hz, (leads, samples); empty where nothing does."""
    found = _rate_and_width(signal)
    if found is None:
        return "no heartbeats are found"
    rate, qrs = found
    off = RR_SHARE * np.log(60.0 / rate / USUAL_RR_S) + QRS_SHARE * np.log(qrs / USUAL_QRS_MS)
    if HEART_RATE[0] <= rate <= HEART_RATE[1] and QRS_MS[0] <= qrs <= QRS_MS[1] and abs(off) <= MOST_OFF:
        return ""
    return f"the heart would beat {rate:.0f} times a minute with QRS complexes of {qrs:.0f} ms"


def _rate_and_width(signal: np.ndarray) -> tuple[float, float] | None:
    """Beats a minute and width of the middle QRS complex's core in ms, were this 500 Hz; None without three beats."""
    clean = sosfiltfilt(_BAND, signal, axis=1)
    speed = np.abs(clean[:, 2:] - clean[:, :-2])
    top = np.quantile(speed, 0.99, axis=1)
    live = top > 0.05 * top.max()
    if not live.any():
        return None
    moving = np.pad(np.minimum(speed[live] / top[live, None], 2.0).mean(axis=0), 1, mode="edge")
    envelope = uniform_filter1d(moving, 25)
    peaks = find_peaks(envelope, height=0.5 * np.quantile(envelope, 0.98), distance=REFRACTORY)[0]
    inside = peaks[(peaks >= BEFORE) & (peaks < len(moving) - AFTER)]
    if len(inside) < MIN_BEATS:
        return None
    fine = uniform_filter1d(moving, 3)
    beat = np.median([fine[peak - BEFORE : peak + AFTER] for peak in inside], axis=0)
    centre = BEFORE - 40 + int(np.argmax(beat[BEFORE - 40 : BEFORE + 41]))
    quiet = float(np.quantile(beat, 0.1))
    fast = beat > quiet + MOVING * (float(beat[centre]) - quiet)
    width = _reach(fast[centre:]) + _reach(fast[centre::-1]) + 1
    return 60.0 * SAMPLING_RATE / float(np.median(np.diff(peaks))), 1000.0 / SAMPLING_RATE * width


def _reach(fast: np.ndarray) -> int:
    """Samples from the middle of QRS to the last fast one before a pause."""
    last = 0
    for k in np.flatnonzero(fast[:LONGEST_QRS]).tolist():
        if k - last > PAUSE:
            break
        last = k
    return last


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
