"""DICOM waveform objects (12-lead ECG, general ECG); ``pydicom`` takes the object apart, the numbers are ours.

Standard: DICOM PS3.3, C.10.9 "Waveform Module".
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats.beats import MAX_SECONDS, device_beat
from omi_keras.recordings.formats.files import MAX_PARSED_BYTES
from omi_keras.recordings.formats.padding import padded, padding_value
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
UNDEFINED, PIXELS, MIN_FILLED = 0xFFFFFFFF, b"\xe0\x7f", 64
SAMPLES = {(8, "SB"): "i1", (8, "UB"): "u1", (16, "SS"): "i2", (16, "US"): "u2", (32, "SL"): "i4", (32, "UL"): "u4"}
MAX_GROUPS, MAX_CHANNELS = 32, 64
# Of the elements that a file without a preamble begins with.
SHORT_VRS = {vr.encode() for vr in ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UI", "UL", "US")}
LONG_VRS = {b"OB", b"SQ", b"UN", b"UT"}
MIN_ELEMENTS, MAX_ELEMENT = 3, 1 << 10
YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}

_CODE = re.compile(r"(?:5\.6\.3-9-|2:)(\d{1,3})")
_BEAT = re.compile(r"MEDIAN|BEAT|TEMPLATE|AVERAGE", re.IGNORECASE)
_AGE = re.compile(r"(\d{3})([YMWD])")


class _Group(NamedTuple):
    """One multiplex group, not decoded yet."""

    names: list[str]
    rate: float
    samples: int
    item: Any
    kind: str

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    @property
    def is_complete(self) -> bool:
        return {lead_name(name) for name in self.names} >= INDEPENDENT

    @property
    def is_derived(self) -> bool:
        return str(self.item.get("WaveformOriginality", "")).strip().upper() == "DERIVED"

    @property
    def trigger(self) -> int | None:
        """Where the beats that were averaged are aligned, None where the group does not say."""
        stated = self.item.get("TriggerSamplePosition")
        return None if stated is None else int(stated)

    @property
    def is_called_beat(self) -> bool:
        return bool(_BEAT.search(str(self.item.get("MultiplexGroupLabel", ""))))

    @property
    def is_beat(self) -> bool:
        """Labels are optional: a derived or triggered group is a beat if it is as short as one."""
        return self.is_called_beat or (self.seconds <= MAX_SECONDS and (self.is_derived or self.trigger is not None))


def looks_like(head: bytes) -> bool:
    """Whether a file starts as DICOM: with its mark, or without the preamble, with elements that rise in order."""
    return (
        head.startswith(MAGIC, MAGIC_OFFSET)
        or head.startswith(MAGIC)
        or any(_has_elements(head, order) for order in "<>")
    )


def _has_elements(head: bytes, order: str) -> bool:
    """Whether the first elements are some of a file header (group 2) or of an identification (group 8)."""
    at, last, found = 0, (0, 0), 0
    while at + 12 <= len(head) and found < MIN_ELEMENTS:
        tag = struct.unpack_from(order + "HH", head, at)
        vr = head[at + 4 : at + 6]
        if tag[0] not in (2, 8) or not last < tag:
            return False
        if vr in SHORT_VRS:
            (size,), start = struct.unpack_from(order + "H", head, at + 6), 8
        elif vr in LONG_VRS:
            (size,), start = struct.unpack_from(order + "I", head, at + 8), 12
        else:  # implicit, which is always little-endian
            (size,), start = struct.unpack_from("<I", head, at + 4), 8
        if size % 2 or size > MAX_ELEMENT:
            return False
        at, last, found = at + start + size, tag, found + 1
    return found > 0 and (found >= MIN_ELEMENTS or at >= len(head) - 12)


def read(data: bytes, path: Path) -> Recording:
    """Leads of the rhythm group, and the median beat where the object has one."""
    try:
        import pydicom
    except ImportError:
        raise needs("pydicom", path.name) from None
    file = path.name
    if len(data) > MAX_PARSED_BYTES:
        raise InputError(f"{file}: {len(data)} bytes are too many; cut out the 10 s of interest", "too_large")
    if data.startswith(MAGIC):  # the mark without the 128 bytes before it
        data = bytes(MAGIC_OFFSET) + data
    if DEFLATED in data:  # may unfold to any size
        raise InputError(f"{file}: deflated DICOM is not supported; export it uncompressed", "unsupported_version")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what pydicom finds unusual in identifiers and dates
            # The preamble is optional in practice; read_record has looked at what comes instead.
            dataset = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True)
            whole = _is_whole(dataset, data)  # as long as its elements are not taken apart
            found = _recording(dataset, file)
        if not whole:
            raise InputError(f"{file}: damaged or truncated DICOM: stray bytes; export it again", "bad_dicom")
        return found
    except InputError:
        raise
    except Exception:  # whatever pydicom trips over, the file is at fault; its words may hold names
        raise InputError(f"{file}: damaged or truncated DICOM; export it again", "bad_dicom") from None


def _is_whole(dataset: Any, data: bytes) -> bool:
    """Whether the elements are in order and the last one ends the file, as they do unless bytes have moved."""
    tags = list(dataset.keys())
    if not tags or any(a >= b for a, b in pairwise(tags)):
        return not tags
    last = dataset.get_item(tags[-1])
    start, length = getattr(last, "value_tell", None), getattr(last, "length", UNDEFINED)
    if start is None or length == UNDEFINED:
        return True
    rest = data[start + length :]
    # Some media are filled up with zeros to a block; a few may be samples that have moved out of the last element.
    filled = len(rest) >= MIN_FILLED and not rest.strip(b"\0")
    return start + length == len(data) or filled or rest.startswith(PIXELS)


def _recording(dataset: Any, file: str) -> Recording:
    items = dataset.get("WaveformSequence")
    if not items:
        raise InputError(f"{file}: DICOM object is not an ECG waveform; name one that is", "unknown_format")
    if not dataset.original_encoding[1] or _syntax(dataset) == BIG_ENDIAN:  # retired from the standard
        raise InputError(f"{file}: big-endian DICOM is not supported; export it again", "unsupported_version")
    groups = [_group(item, file) for item in items[:MAX_GROUPS]]
    rhythm = [group for group in groups if not group.is_beat]
    if not rhythm:
        raise InputError(f"{file}: holds a median beat but no rhythm; export the recording with it", "too_short")
    # Printed layouts (3 x 4 leads of 2.5 s) come as several groups: a complete one, or what the longest lacks. Of
    # several complete ones the longest, of equally long ones what was recorded before what was made of it.
    group = max(rhythm, key=lambda group: (group.is_complete, group.seconds, not group.is_derived))
    chosen = choose_leads(group.names, file)
    _check_simultaneous(group, chosen, file)
    age = _AGE.fullmatch(str(dataset.get("PatientAge", "")))
    return Recording(
        _millivolts(group, chosen, file),
        group.rate,
        "DICOM",
        age=known_age(int(age[1]) * YEARS[age[2]]) if age else None,
        sex=known_sex(str(dataset.get("PatientSex", ""))),
        device_beat=next((beat for other in _beats(groups, group) if (beat := _beat(other, file))), None),
    )


def _beats(groups: list[_Group], rhythm: _Group) -> list[_Group]:
    """Groups that are beats; last, what says nothing of itself but is too short to be a rhythm beside this one."""
    short = [
        group
        for group in groups
        if group is not rhythm and not group.is_beat and 2 * group.seconds <= min(MAX_SECONDS, rhythm.seconds)
    ]
    return [group for group in groups if group.is_beat] + short


def _syntax(dataset: Any) -> str:
    """Transfer syntax, empty where a data set without a file header does not say."""
    return str(getattr(dataset, "file_meta", None) and dataset.file_meta.get("TransferSyntaxUID", ""))


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
    names = [_channel_name(channel, file) for channel in item.ChannelDefinitionSequence]
    return _Group(names, rate, samples, item, "<" + SAMPLES[form])


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


def _samples(group: _Group, file: str) -> np.ndarray:
    """Stored values of all channels, (channels, samples) float64, NaN where padded."""
    count = len(group.names)
    raw = np.frombuffer(group.item.WaveformData, group.kind, count * group.samples).reshape(group.samples, count)
    values = raw.T.astype(np.float64)
    padding = padding_value(group.item.get("WaveformPaddingValue"), group.kind)
    if padding is not None and group.samples:
        bits = min(int(channel.get("WaveformBitsStored") or 0) for channel in group.item.ChannelDefinitionSequence)
        values[padded(raw, padding, group.rate, bits).T] = np.nan
    return values


def _millivolts(group: _Group, wanted: dict[str, int], file: str) -> dict[str, np.ndarray]:
    """Leads of a group by the names and positions wanted, (samples,) float64 mV, NaN where padded."""
    stored = _samples(group, file)
    return {lead: stored[k] * gain + zero for lead, k in wanted.items() for gain, zero in [_scale(group, k, file)]}


def _scale(group: _Group, k: int, file: str) -> tuple[float, float]:
    """Millivolts of a step of a channel, and of its zero."""
    channel, name = group.item.ChannelDefinitionSequence[k], group.names[k]
    if channel.get("ChannelSensitivity") is None:
        raise InputError(f"{file}: lead {name} is uncalibrated, amplitudes unknown; export it again", "uncalibrated")
    gain = check_gain(float(channel.ChannelSensitivity), f"sensitivity of lead {name}", file)
    correction = channel.get("ChannelSensitivityCorrectionFactor")
    if correction not in (None, ""):
        gain *= check_gain(float(correction), f"correction of lead {name}", file)
    factor = to_millivolts(str(channel.ChannelSensitivityUnitsSequence[0].CodeValue), f"lead {name}", file)
    return gain * factor, float(channel.get("ChannelBaseline") or 0) * factor


def _check_simultaneous(group: _Group, wanted: dict[str, int], file: str) -> None:
    """Refuse leads that are shifted against each other by a sample or more."""
    shifts = []
    for k in wanted.values():
        channel = group.item.ChannelDefinitionSequence[k]
        time = float(channel.get("ChannelTimeSkew") or 0) * group.rate
        shifts.append(time + float(channel.get("ChannelSampleSkew") or 0) + float(channel.get("ChannelOffset") or 0))
    if max(shifts) - min(shifts) >= 1.0:
        raise InputError(f"{file}: leads are not simultaneous; export 10 s of all", "not_simultaneous")


def _beat(group: _Group, file: str) -> DeviceBeat | None:
    named = {name: k for k, name in enumerate(group.names) if lead_name(name)}
    return device_beat(_millivolts(group, named, file), group.rate, group.trigger)
