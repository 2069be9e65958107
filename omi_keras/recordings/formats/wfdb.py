"""WFDB records: header → leads in millivolts, to the last bit what the ``wfdb`` library computes.

Storage: https://wfdb.io/spec/signal-files.html. The formats that are plain integers or pairs of 12 bits are decoded
here; the library is asked for the rest (8, 310, 311, FLAC).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats.files import read_bytes
from omi_keras.recordings.formats.recording import (
    Recording,
    check_gain,
    choose_leads,
    known_age,
    known_sex,
    to_millivolts,
)
from omi_keras.recordings.formats.wfdb_header import Header, read_header

# Storage → how it lies in the file, what is subtracted, the code of a missing sample.
INTEGERS = {
    "80": ("u1", 128, -128),
    "16": ("<i2", 0, -(1 << 15)),
    "61": (">i2", 0, -(1 << 15)),
    "160": ("<u2", 1 << 15, -(1 << 15)),
    "32": ("<i4", 0, -(1 << 31)),
}
MISSING = {**{code: missing for code, (_, _, missing) in INTEGERS.items()}, "212": -(1 << 11), "24": -(1 << 23)}

_AGE = re.compile(r"<?\bage\b>?\s*[:=]?\s*(\d{1,3}(?:\.\d*)?)", re.IGNORECASE)
_SEX = re.compile(r"<?\bsex\b>?\s*[:=]?\s*(female|male|f|m)\b", re.IGNORECASE)


def read(path: Path) -> Recording:
    """Read the record of a ``.hea`` file; its signal files lie beside it."""
    header = read_header(path)
    chosen = choose_leads([line.name for line in header.signals], path.name)
    factors = []
    for lead, k in chosen.items():
        line = header.signals[k]
        check_gain(line.gain, f"gain of lead {lead}", path.name, polarity=True)
        factors.append(to_millivolts(line.units, f"lead {lead}", path.name))
    signal, flags = read_signals(header, list(chosen.values()))
    # In place, and not for mV: the samples stay what the header's arithmetic gives, to the last bit.
    for row, factor in zip(signal, factors, strict=True):
        if factor != 1.0:
            row *= factor
    comments = "\n".join(header.comments)
    age, sex = _AGE.search(comments), _SEX.search(comments)
    return Recording(
        dict(zip(chosen, signal, strict=True)),
        header.rate,
        "WFDB",
        age=known_age(age[1] if age else None),
        sex=known_sex(sex[1] if sex else None),
        flags=flags,
    )


def read_signals(header: Header, wanted: list[int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Physical values of some signals, in the units of the header.

    Parameters
    ----------
    header
        From :func:`~omi_keras.recordings.formats.wfdb_header.read_header`.
    wanted
        Positions in ``header.signals``; their gains must not be 0. A negative gain turns a signal that was
        stored upside down.

    Returns
    -------
    numpy.ndarray
        (len(wanted), samples) float64, (adu - baseline) / gain, NaN where a sample is missing.
    tuple of str
        ``checksum`` where the samples are not those that the header was written for.
    """
    if any(header.signals[k].code not in MISSING for k in wanted):
        return _read_with_wfdb(header, wanted), ()
    out = np.empty((len(wanted), header.samples))
    # Some writers leave every checksum at 0.
    stated = any(line.checksum for line in header.signals)
    altered = False
    for file in dict.fromkeys(header.signals[k].file for k in wanted):
        group = [k for k, line in enumerate(header.signals) if line.file == file]
        first = header.signals[group[0]]
        count = header.samples * len(group)
        adu = _decode(read_bytes(header.path.parent / file)[first.offset :], first.code, count)
        if len(adu) != count:
            raise InputError(f"{header.path.name}: {file} became shorter while it was read; copy it again", "truncated")
        frames = adu.reshape(header.samples, len(group))
        for row, k in enumerate(wanted):
            if k in group:
                line = header.signals[k]
                column = frames[:, group.index(k)]
                out[row] = (column.astype(np.float64) - line.baseline) / line.gain
                out[row, column == MISSING[line.code]] = np.nan
                if stated and line.checksum is not None:
                    altered |= (int(column.sum(dtype=np.int64)) - line.checksum) % (1 << 16) != 0
    return out, ("checksum",) if altered else ()


def _decode(data: bytes, code: str, count: int) -> np.ndarray:
    """At most ``count`` samples of a signal file, (samples,) signed integers."""
    if code in INTEGERS:
        kind, zero, _ = INTEGERS[code]
        raw = np.frombuffer(data, kind, min(count, len(data) // np.dtype(kind).itemsize))
        return raw.astype(np.int32) - zero if zero else raw
    raw = np.frombuffer(data, "u1")
    raw = np.pad(raw, (0, -len(raw) % 3)).reshape(-1, 3).astype(np.int32)
    low, middle, high = raw.T
    if code == "24":
        values, sign = low | middle << 8 | high << 16, 1 << 23
    else:  # 212: the low bytes of a pair stand outside, their two upper nibbles share the middle byte
        values, sign = np.stack([low | (middle & 0x0F) << 8, high | (middle & 0xF0) << 4], axis=1).ravel(), 1 << 11
    return ((values ^ sign) - sign)[:count]


def _read_with_wfdb(header: Header, wanted: list[int]) -> np.ndarray:
    try:
        import wfdb
    except ImportError:
        code = next(header.signals[k].code for k in wanted if header.signals[k].code not in MISSING)
        raise InputError(
            f"{header.path.name}: storage format {code} needs wfdb; pip install 'omi-keras[formats]'", "needs_package"
        ) from None
    try:
        record = wfdb.rdrecord(str(header.path.with_suffix("")), channels=wanted)
    except Exception as error:  # whatever that library trips over, the file is at fault
        what = " ".join(str(error).split())[:200]
        raise InputError(
            f"{header.path.name}: cannot be decoded ({what}); export the record again", "bad_signal"
        ) from error
    signal = np.ascontiguousarray(record.p_signal.T, dtype=np.float64)
    expected = (len(wanted), header.samples)
    if signal.shape != expected:
        raise InputError(
            f"{header.path.name}: expected {expected} samples, decoded {signal.shape}; export the record again",
            "bad_signal",
        )
    return signal
