"""HL7 annotated ECG (``<AnnotatedECG>``, HL7 V3 R1): sequences of digits with origin, scale and time increment."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats.beats import device_beat
from omi_keras.recordings.formats.recording import (
    INDEPENDENT,
    Recording,
    check_gain,
    check_length,
    check_rate,
    choose_leads,
    known_sex,
    lead_name,
    printable,
    to_millivolts,
)
from omi_keras.recordings.formats.xml import integers, number, require
from omi_keras.recordings.record import DeviceBeat

ROOT = "AnnotatedECG"
_DERIVED = re.compile(r"BEAT|MEDIAN|TEMPLATE|AVERAGE", re.IGNORECASE)
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def read(root: Element, file: str) -> Recording:
    """Leads of the longest complete sequence set of the rhythm series, and the representative beat if there is one."""
    every = root.findall("{*}component/{*}series") or [require(root, "component/series", file)]
    # Representative beats and other derived series may stand beside the rhythm instead of within it.
    rhythm = [found for found in every if _code(found) == "RHYTHM"]
    rhythm = rhythm or [found for found in every if not _DERIVED.search(_code(found))] or every
    sets = [_sequences(found) for series in rhythm for found in series.iterfind("{*}component/{*}sequenceSet")]
    if not sets:
        raise InputError(f"{file}: has no waveform (no sequence set in its series); export it again", "too_short")
    # Printed layouts (3 x 4 leads of 2.5 s) come as several sets: the longest complete one, the first of equally
    # long ones, or what the first lacks.
    complete = [found for found in sets if {lead_name(name) for name in found} >= INDEPENDENT]
    sequences = max(complete, key=_extent) if complete else sets[0]
    names = list(sequences)
    chosen = choose_leads(names, file)
    rate = _rate(sequences, file)
    leads = {lead: _millivolts(sequences[names[k]], names[k], rate, file) for lead, k in chosen.items()}
    if len({len(lead) for lead in leads.values()}) != 1:
        raise InputError(f"{file}: leads differ in length; export it again", "not_simultaneous")
    gender = root.find(".//{*}subjectDemographicPerson/{*}administrativeGenderCode")
    return Recording(
        leads,
        rate,
        "HL7 aECG",
        sex=None if gender is None else known_sex(gender.get("code")),
        device_beat=_beat(every, file),
    )


def _code(series: Element) -> str:
    code = series.find("{*}code")
    return "" if code is None else code.get("code", "")


def _sequences(found: Element) -> dict[str, Element]:
    """Code of a sequence → its value; the time has one too."""
    out: dict[str, Element] = {}
    for sequence in found.iterfind("{*}component/{*}sequence"):
        code, value = sequence.find("{*}code"), sequence.find("{*}value")
        if code is not None and value is not None:
            name = code.get("code", "")
            # A lead that is there twice stays twice, for choose_leads to refuse.
            out[name if name not in out else f"{name} "] = value
    return out


def _extent(sequences: dict[str, Element]) -> float:
    """Seconds of a set as it states them; 0 where it makes no sense."""
    digits = next((value.find("{*}digits") for name, value in sequences.items() if lead_name(name)), None)
    try:
        return len(((digits is not None and digits.text) or "").split()) / _rate(sequences, "")
    except InputError:
        return 0.0


def _rate(sequences: dict[str, Element], file: str) -> float:
    """Hz, as every sequence of times says."""
    times = [value for name, value in sequences.items() if name.startswith("TIME_")]
    rates = {_rate_of(time, file) for time in times} or {_rate_of(None, file)}
    if len(rates) > 1:
        stated = " and ".join(f"{rate:g}" for rate in sorted(rates))
        raise InputError(f"{file}: time increments contradict each other ({stated} Hz); correct the file", "bad_rate")
    return rates.pop()


def _rate_of(time: Element | None, file: str) -> float:
    increment = require(time, "increment", file)
    unit = increment.get("unit", "")
    if unit not in SECONDS:
        raise InputError(f"{file}: time increment has unit '{printable(unit)}', expected s or ms", "bad_rate")
    step = number(increment.get("value"), "time increment", file) * SECONDS[unit]
    if not step > 0:
        raise InputError(f"{file}: time increment must be > 0, got {step:g}; correct the file", "bad_rate")
    return check_rate(round(1.0 / step, 6), file)


def _millivolts(value: Element, name: str, rate: float, file: str) -> np.ndarray:
    what = printable(name)
    origin, scale = require(value, "origin", file), require(value, "scale", file)
    step = check_gain(number(scale.get("value"), f"scale of {what}", file), f"scale of {what}", file)
    zero = number(origin.get("value"), f"origin of {what}", file)
    step *= to_millivolts(scale.get("unit", ""), f"scale of {what}", file)
    zero *= to_millivolts(origin.get("unit", ""), f"origin of {what}", file)
    digits = integers(require(value, "digits", file).text or "", file, f"{what}: sample")
    check_length(len(digits), rate, file)
    return digits * step + zero


def _beat(every: list[Element], file: str) -> DeviceBeat | None:
    derived = [found for series in every for found in series.iterfind("{*}derivation/{*}derivedSeries")]
    for series in [*derived, *every]:
        found = series.find("{*}component/{*}sequenceSet")
        if not _DERIVED.search(_code(series)) or found is None:
            continue
        sequences = _sequences(found)
        rate = _rate(sequences, file)
        leads = {name: _millivolts(value, name, rate, file) for name, value in sequences.items() if lead_name(name)}
        return device_beat(leads, rate)
    return None
