"""DICOM waveform objects (12-lead ECG, general ECG); ``pydicom`` takes the object apart, the numbers are ours.

Standard: DICOM PS3.3, C.10.9 "Waveform Module".
"""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats.beats import device_beat
from omi_keras.recordings.formats.files import MAX_PARSED_BYTES
from omi_keras.recordings.formats.recording import (
    INDEPENDENT,
    LEAD_CODES,
    Recording,
    check_gain,
    check_length,
    check_rate,
    choose_leads,
    known_age,
    known_sex,
    lead_name,
    needs,
    printable,
    to_millivolts,
)
from omi_keras.recordings.record import DeviceBeat

MAGIC_OFFSET, MAGIC = 128, b"DICM"
DEFLATED = b"1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
SAMPLES = {(8, "SB"): "i1", (8, "UB"): "u1", (16, "SS"): "i2", (16, "US"): "u2", (32, "SL"): "i4", (32, "UL"): "u4"}
MAX_GROUPS, MAX_CHANNELS = 32, 64
YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}

_CODE = re.compile(r"(?:5\.6\.3-9-|2:)(\d{1,3})")
_BEAT = re.compile(r"MEDIAN|BEAT|TEMPLATE|AVERAGE", re.IGNORECASE)
_AGE = re.compile(r"(\d{3})([YMWD])")


class _Group(NamedTuple):
    """One multiplex group, not decoded yet."""

    names: list[str]
    rate: float
    samples: int
    is_beat: bool
    item: Any
    kind: str


def read(data: bytes, path: Path) -> Recording:
    """Leads of the rhythm group, and the median beat where the object has one."""
    try:
        import pydicom
    except ImportError:
        raise needs("pydicom", path.name) from None
    file = path.name
    if len(data) > MAX_PARSED_BYTES:
        raise InputError(f"{file}: {len(data)} bytes are too many; cut out the 10 s of interest", "too_large")
    if DEFLATED in data:  # may unfold to any size
        raise InputError(f"{file}: deflated DICOM is not supported; export it uncompressed", "unsupported_version")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what pydicom finds unusual in identifiers and dates
            return _recording(pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True), file)
    except InputError:
        raise
    except Exception:  # whatever pydicom trips over, the file is at fault; its words may hold names
        raise InputError(f"{file}: damaged or truncated DICOM; export it again", "bad_dicom") from None


def _recording(dataset: Any, file: str) -> Recording:
    items = dataset.get("WaveformSequence")
    if not items:
        raise InputError(f"{file}: DICOM object is not an ECG waveform; name one that is", "unknown_format")
    if dataset.file_meta.TransferSyntaxUID == BIG_ENDIAN:  # retired from the standard
        raise InputError(f"{file}: big-endian DICOM is not supported; export it again", "unsupported_version")
    groups = [_group(item, file) for item in items[:MAX_GROUPS]]
    rhythm = [group for group in groups if not group.is_beat]
    if not rhythm:
        raise InputError(f"{file}: holds a median beat but no rhythm; export the recording with it", "too_short")
    # Printed layouts (3 x 4 leads of 2.5 s) come as several groups: the first complete one, or what it lacks.
    complete = [group for group in rhythm if {lead_name(name) for name in group.names} >= INDEPENDENT]
    group = complete[0] if complete else rhythm[0]
    chosen = choose_leads(group.names, file)
    age = _AGE.fullmatch(str(dataset.get("PatientAge", "")))
    return Recording(
        {lead: _millivolts(group, k, file) for lead, k in chosen.items()},
        group.rate,
        "DICOM",
        age=known_age(int(age[1]) * YEARS[age[2]]) if age else None,
        sex=known_sex(str(dataset.get("PatientSex", ""))),
        device_beat=next((beat for other in groups if other.is_beat and (beat := _beat(other, file))), None),
    )


def _group(item: Any, file: str) -> _Group:
    channels, samples = int(item.NumberOfWaveformChannels), int(item.NumberOfWaveformSamples)
    rate = check_rate(float(item.SamplingFrequency), file)
    form = (int(item.WaveformBitsAllocated), str(item.WaveformSampleInterpretation))
    if form not in SAMPLES:
        what = f"{form[0]} bits, {printable(form[1])}"
        raise InputError(f"{file}: waveforms of {what}, are not supported; export them again", "unsupported_version")
    expected, found = channels * samples * form[0] // 8, len(item.WaveformData)
    # An odd number of bytes is filled up.
    if not expected <= found <= expected + expected % 2:
        raise InputError(
            f"{file}: truncated DICOM: expected {expected} bytes of waveform, found {found}; export it again",
            "truncated",
        )
    if len(item.ChannelDefinitionSequence) != channels or channels > MAX_CHANNELS:
        raise InputError(
            f"{file}: header says {channels} channels but describes {len(item.ChannelDefinitionSequence)}; "
            "export it again",
            "bad_header",
        )
    check_length(samples, rate, file)
    label = str(item.get("MultiplexGroupLabel", ""))
    names = [_channel_name(channel, file) for channel in item.ChannelDefinitionSequence]
    return _Group(names, rate, samples, bool(_BEAT.search(label)), item, "<" + SAMPLES[form])


def _channel_name(channel: Any, file: str) -> str:
    """A channel's lead by code, by meaning or by label; code and meaning must not contradict each other."""
    source = channel.ChannelSourceSequence[0]
    code = _CODE.fullmatch(str(source.get("CodeValue", "")))
    coded = LEAD_CODES.get(int(code[1])) if code else None
    meaning = str(source.get("CodeMeaning", "")).partition("(")[0]
    named = lead_name(meaning)
    if coded and named and coded != named:
        raise InputError(f"{file}: a channel is coded as {coded} and called {named}; correct the file", "contradiction")
    return coded or named or printable(str(channel.get("ChannelLabel", "")) or meaning)


def _millivolts(group: _Group, k: int, file: str) -> np.ndarray:
    """Samples of one channel, (samples,) float64, NaN where padded."""
    channel, name = group.item.ChannelDefinitionSequence[k], group.names[k]
    if channel.get("ChannelSensitivity") is None:
        raise InputError(f"{file}: lead {name} is uncalibrated, amplitudes unknown; export it again", "uncalibrated")
    gain = check_gain(float(channel.ChannelSensitivity), f"sensitivity of lead {name}", file)
    gain *= check_gain(
        float(channel.get("ChannelSensitivityCorrectionFactor") or 1), f"correction of lead {name}", file
    )
    factor = to_millivolts(str(channel.ChannelSensitivityUnitsSequence[0].CodeValue), f"lead {name}", file)
    count = len(group.names)
    raw = np.frombuffer(group.item.WaveformData, group.kind, count * group.samples)[k::count]
    values = (raw * gain + float(channel.get("ChannelBaseline") or 0)) * factor
    padding = group.item.get("WaveformPaddingValue")
    if padding is not None:
        width = raw.dtype.itemsize
        values[raw == np.frombuffer(bytes(padding)[:width], group.kind)[0]] = np.nan
    return values


def _beat(group: _Group, file: str) -> DeviceBeat | None:
    return device_beat(
        {name: _millivolts(group, k, file) for k, name in enumerate(group.names) if lead_name(name)}, group.rate
    )
