"""HL7 annotated ECG (``<AnnotatedECG>``, HL7 V3 R1): sequences of digits with origin, scale and time increment."""

from __future__ import annotations

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
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def read(root: Element, file: str) -> Recording:
    """Leads of the first complete sequence set of the rhythm series."""
    every = root.findall("{*}component/{*}series")
    # Derived or averaged series may stand beside the rhythm.
    rhythm = [found for found in every if (code := found.find("{*}code")) is not None and code.get("code") == "RHYTHM"]
    series = (rhythm or every or [require(root, "component/series", file)])[0]
    sets = [_sequences(found) for found in series.iterfind("{*}component/{*}sequenceSet")]
    if not sets:
        raise InputError(f"{file}: has no waveform (no sequence set in its series); export it again", "too_short")
    # Printed layouts (3 x 4 leads of 2.5 s) come as several sets: the first complete one, or what the first lacks.
    complete = [found for found in sets if {lead_name(name) for name in found} >= INDEPENDENT]
    sequences = complete[0] if complete else sets[0]
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
        device_beat=_beat(series, file),
    )


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


def _rate(sequences: dict[str, Element], file: str) -> float:
    time = next((value for name, value in sequences.items() if name.startswith("TIME_")), None)
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


def _beat(series: Element, file: str) -> DeviceBeat | None:
    for derived in series.iterfind("{*}derivation/{*}derivedSeries"):
        code = derived.find("{*}code")
        found = derived.find("{*}component/{*}sequenceSet")
        if code is None or code.get("code") != "REPRESENTATIVE_BEAT" or found is None:
            continue
        sequences = _sequences(found)
        rate = _rate(sequences, file)
        leads = {name: _millivolts(value, name, rate, file) for name, value in sequences.items() if lead_name(name)}
        return device_beat(leads, rate)
    return None
