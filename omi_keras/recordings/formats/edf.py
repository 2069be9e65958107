"""EDF, EDF+ (continuous) and BDF: records of 16 or 24 bits with physical and digital ranges per signal.

Format: https://www.edfplus.info/specs/edf.html and edfplus.html, https://www.biosemi.com/faq/file_format.htm
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats.recording import (
    Recording,
    check_gain,
    check_length,
    check_rate,
    choose_leads,
    known_sex,
    printable,
    to_millivolts,
)

EDF_MAGIC, BDF_MAGIC = b"0       ", b"\xffBIOSEMI"
MAX_SIGNALS = 512
# Widths of the fields of the signal headers, in their order.
WIDTHS = {
    "label": 16, "transducer": 80, "units": 8, "low": 8, "high": 8, "digital_low": 8, "digital_high": 8,
    "filter": 80, "samples": 8, "reserved": 32,
}  # fmt: skip


class _Signal(NamedTuple):
    label: str
    units: str
    low: float
    high: float
    digital_low: float
    digital_high: float
    samples: int
    first: int  # where its samples begin in a data record


def read(data: bytes, path: Path) -> Recording:
    """Leads of a continuous recording; all twelve must have one rate."""
    file = path.name
    width = 3 if data.startswith(BDF_MAGIC) else 2
    reserved = _text(data, 192, 44)
    if reserved.startswith(("EDF+D", "BDF+D")):
        raise InputError(
            f"{file}: discontinuous EDF+ is not supported; export one continuous stretch", "not_simultaneous"
        )
    signals = _signals(data, file)
    seconds = _number(data, 244, 8, "duration of a data record", file)
    if not seconds > 0:
        raise InputError(f"{file}: duration of a data record must be > 0, got {seconds:g}; correct it", "bad_rate")
    start = 256 * (len(signals) + 1)
    per_record = sum(signal.samples for signal in signals)
    records = _records(data, start, per_record * width, file)
    chosen = choose_leads([signal.label for signal in signals], file)
    used = {lead: signals[k] for lead, k in chosen.items()}
    counts = {signal.samples for signal in used.values()}
    if len(counts) != 1:
        raise InputError(f"{file}: leads have different sampling frequencies; export them with one", "bad_rate")
    rate = check_rate(counts.pop() / seconds, file)
    check_length(records * next(iter(used.values())).samples, rate, file)
    frames = np.frombuffer(data, "u1", records * per_record * width, start).reshape(records, per_record, width)
    annotated = reserved.startswith(("EDF+", "BDF+"))
    patient = _text(data, 8, 80).split(" ")
    return Recording(
        {lead: _millivolts(frames, signal, lead, file) for lead, signal in used.items()},
        rate,
        "EDF" if width == 2 else "BDF",
        # Only EDF+ says where in the patient's field the sex is; all else there identifies the patient.
        sex=known_sex(patient[1]) if annotated and len(patient) > 1 else None,
    )


def _signals(data: bytes, file: str) -> list[_Signal]:
    count = _number(data, 252, 4, "number of signals", file)
    stated = _number(data, 184, 8, "number of bytes in the header", file)
    if not 0 < count <= MAX_SIGNALS or count != int(count):
        raise InputError(f"{file}: number of signals must be 1 to {MAX_SIGNALS}, got {count:g}", "bad_header")
    n = int(count)
    if stated != 256 * (n + 1) or len(data) < stated:
        raise InputError(
            f"{file}: header of {n} signals has {256 * (n + 1)} bytes, says {stated:g}, file has {len(data)}; "
            "export it again",
            "bad_header",
        )
    signals: list[_Signal] = []
    for k in range(n):
        at, place = 256, {}
        for name, width in WIDTHS.items():
            place[name] = at + k * width
            at += n * width
        label = _text(data, place["label"], 16)
        what = {name: f"{name.replace('_', ' ')} of signal {printable(label)}" for name in WIDTHS}
        number = {
            name: _number(data, place[name], 8, what[name], file)
            for name in ("low", "high", "digital_low", "digital_high", "samples")
        }
        if not 0 < number["samples"] <= len(data) or number["samples"] != int(number["samples"]):
            raise InputError(f"{file}: {what['samples']} must be a count, got {number['samples']:g}", "bad_header")
        first = signals[-1].first + signals[-1].samples if signals else 0
        ranges = (number["low"], number["high"], number["digital_low"], number["digital_high"])
        signals.append(_Signal(label, _text(data, place["units"], 8), *ranges, int(number["samples"]), first))
    return signals


def _records(data: bytes, start: int, size: int, file: str) -> int:
    """Number of data records, which the file's size must confirm; -1 stands for unknown."""
    stated = _number(data, 236, 8, "number of data records", file)
    records = (len(data) - start) // size if stated == -1 else stated
    if records < 1 or len(data) != start + records * size:
        raise InputError(
            f"{file}: expected {start + max(records, 1) * size:.0f} bytes, found {len(data)}; copy the file again",
            "truncated",
        )
    return int(records)


def _millivolts(frames: np.ndarray, signal: _Signal, lead: str, file: str) -> np.ndarray:
    span = signal.digital_high - signal.digital_low
    if not span > 0:
        raise InputError(
            f"{file}: digital range of lead {lead} must be > 0, got {span:g}: uncalibrated, amplitudes unknown; "
            "correct it in the file",
            "uncalibrated",
        )
    # A physical maximum below the minimum is a negative amplifier gain (EDF+): the line through both ends holds.
    gain = check_gain((signal.high - signal.low) / span, f"range of lead {lead}", file, polarity=True)
    factor = to_millivolts(signal.units, f"lead {lead}", file)
    raw = np.ascontiguousarray(frames[:, signal.first : signal.first + signal.samples]).reshape(-1, frames.shape[2])
    if raw.shape[1] == 2:
        values = raw.view("<i2")[:, 0].astype(np.float64)
    else:
        low, middle, high = raw.T.astype(np.int32)
        values = (((low | middle << 8 | high << 16) ^ 0x800000) - 0x800000).astype(np.float64)
    return ((values - signal.digital_low) * gain + signal.low) * factor


def _text(data: bytes, at: int, width: int) -> str:
    """A field: ASCII by the standard, in practice with a µ in Latin-1 or UTF-8, which do not look alike."""
    field = data[at : at + width]
    try:
        return field.decode("utf-8").strip()
    except UnicodeDecodeError:
        return field.decode("latin-1").strip()


def _number(data: bytes, at: int, width: int, what: str, file: str) -> float:
    text = _text(data, at, width)
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise InputError(f"{file}: {what} must be a number, got '{printable(text)}'; correct the file", "bad_header")
    return value
