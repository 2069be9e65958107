"""GE MUSE XML (``<RestingECG>``): base 64 of 16-bit samples per lead, eight leads and four derived ones."""

from __future__ import annotations

import zlib
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
    known_age,
    known_sex,
    lead_name,
    printable,
    to_millivolts,
)
from omi_keras.recordings.formats.xml import from_base64, number, text
from omi_keras.recordings.record import DeviceBeat

ROOT = "RestingECG"


def read(root: Element, file: str) -> Recording:
    """Leads of the rhythm waveform, and the median beat where the file has one; ``several_rhythms`` is a flag."""
    waveforms = root.findall("{*}Waveform")
    kinds = [text(waveform, "WaveformType").lower() for waveform in waveforms]
    rhythms, medians = (
        [waveform for kind, waveform in zip(kinds, waveforms, strict=True) if kind == wanted]
        for wanted in ("rhythm", "median")
    )
    if not rhythms:
        have = ", ".join(map(printable, dict.fromkeys(kinds))) or "none"
        raise InputError(f"{file}: has no rhythm waveform (found: {have}); export the full recording", "too_short")
    # Of several the longest with all leads, of equally long ones the first; a flag says that there were others.
    rhythm = max(rhythms, key=_extent)
    items = rhythm.findall("{*}LeadData")
    chosen = choose_leads([text(item, "LeadID") for item in items], file)
    rate, flags = _rate(rhythm, file), {"several_rhythms"} if len(rhythms) > 1 else set()
    leads = {}
    for lead, k in chosen.items():
        leads[lead], intact = _lead(items[k], rate, file)
        if not intact:
            flags.add("checksum")
        if text(items[k], "LeadOff").upper() == "TRUE":
            flags.add(f"lead_off:{lead}")
    starts = {
        (text(items[k], "LeadTimeOffset") or "0", text(items[k], "LeadOffsetFirstSample") or "0")
        for k in chosen.values()
    }
    if len({len(lead) for lead in leads.values()}) != 1 or len(starts) != 1:
        raise InputError(
            f"{file}: leads are not simultaneous or differ in length; export 10 s of all", "not_simultaneous"
        )
    patient = root.find("{*}PatientDemographics")
    in_years = text(patient, "AgeUnits").upper() in ("", "YEARS")
    return Recording(
        leads,
        rate,
        "GE MUSE XML",
        age=known_age(text(patient, "PatientAge") or None) if in_years else None,
        sex=known_sex(text(patient, "Gender")),
        device_beat=_beat(max(medians, key=_extent, default=None), file),
        flags=tuple(sorted(flags)),
    )


def _extent(waveform: Element) -> tuple[bool, float]:
    """Whether a waveform has all independent leads, and its seconds as it states them."""
    items = waveform.findall("{*}LeadData")
    try:
        base, exponent = float(text(waveform, "SampleBase")), float(text(waveform, "SampleExponent") or 0)
        seconds = float(text(items[0], "LeadSampleCountTotal")) / (base * 10.0**exponent)
    except (ValueError, IndexError, ZeroDivisionError, OverflowError):
        seconds = 0.0
    return {lead_name(text(item, "LeadID")) for item in items} >= INDEPENDENT, seconds if 0 < seconds < np.inf else 0.0


def _rate(waveform: Element, file: str) -> float:
    base = number(text(waveform, "SampleBase"), "SampleBase", file)
    exponent = number(text(waveform, "SampleExponent") or "0", "SampleExponent", file)
    return check_rate(base * 10.0**exponent if abs(exponent) <= 9 else np.inf, file, "SampleBase")


def _lead(item: Element, rate: float, file: str) -> tuple[np.ndarray, bool]:
    """Millivolts, and whether the checksum, where there is one, is that of the data."""
    name = printable(text(item, "LeadID"))
    gain = check_gain(
        number(text(item, "LeadAmplitudeUnitsPerBit"), f"LeadAmplitudeUnitsPerBit of lead {name}", file),
        f"LeadAmplitudeUnitsPerBit of lead {name}",
        file,
    )
    gain *= to_millivolts(text(item, "LeadAmplitudeUnits"), f"lead {name}", file)
    if text(item, "LeadSampleSize") not in ("", "2"):
        raise InputError(f"{file}: samples of lead {name} are not of 2 bytes; export it again", "unsupported_version")
    data = from_base64(text(item, "WaveFormData"), file, f"waveform of lead {name}")
    samples = number(text(item, "LeadSampleCountTotal"), f"LeadSampleCountTotal of lead {name}", file)
    if len(data) != 2 * samples:
        raise InputError(
            f"{file}: lead {name}: expected {2 * samples:.0f} bytes, found {len(data)}; export it again", "truncated"
        )
    check_length(len(data) // 2, rate, file)
    stated = text(item, "LeadDataCRC32")
    intact = not stated.isascii() or not stated.isdigit() or int(stated[:12]) in (0, zlib.crc32(data))
    return np.frombuffer(data, "<i2") * gain, intact


def _beat(median: Element | None, file: str) -> DeviceBeat | None:
    if median is None:
        return None
    rate = _rate(median, file)
    return device_beat(
        {text(item, "LeadID"): _lead(item, rate, file)[0] for item in median.iterfind("{*}LeadData")}, rate
    )
