"""WFDB headers, parsed strictly.

Nothing is believed before it is checked: every number of the header is held against the size of the files
before a sample is read, and signal files are only looked for beside the header.
Format: https://wfdb.io/spec/header-files.html
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats.files import read_bytes
from omi_keras.recordings.formats.recording import check_length, check_rate

MAX_HEADER_BYTES = 1 << 20
MAX_SIGNALS = 256

# Bytes per sample, as a fraction, of the storage formats whose size can be foretold.
BYTES_PER_SAMPLE = {
    "8": (1, 1), "80": (1, 1), "16": (2, 1), "61": (2, 1), "160": (2, 1), "24": (3, 1), "32": (4, 1),
    "212": (3, 2), "310": (4, 3), "311": (4, 3),
}  # fmt: skip

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_STORAGE = re.compile(r"(?P<code>\d+)(?:x(?P<per_frame>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?")
_GAIN = re.compile(rf"(?P<gain>{_NUMBER})(?:\((?P<baseline>[-+]?\d+)\))?(?:/(?P<units>\S+))?")
_RATE = re.compile(rf"(?P<rate>{_NUMBER})(?:/.*)?")
_COUNT = re.compile(r"\d{1,15}")


@dataclass(frozen=True)
class SignalLine:
    """One signal line of a header. ``gain`` in adu per unit, 0 where it gives none; ``checksum`` likewise None."""

    file: str
    code: str
    offset: int
    gain: float
    baseline: int
    units: str
    checksum: int | None
    name: str


@dataclass(frozen=True)
class Header:
    """A header that has passed all checks but those on leads. ``comments`` without their ``#``."""

    path: Path
    rate: float
    samples: int
    signals: tuple[SignalLine, ...]
    comments: tuple[str, ...]


def read_header(path: Path) -> Header:
    """Parse and check a header, and the sizes of the signal files that it names.

    Parameters
    ----------
    path
        The ``.hea`` file.

    Returns
    -------
    Header

    Raises
    ------
    InputError
        Naming the file, what is wrong and what to do.
    """
    lines = _text(path).splitlines()
    comments = tuple(line.strip().lstrip("#").strip() for line in lines if line.strip().startswith("#"))
    content = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not content:
        raise _error(path, "empty header; export the record again", "empty_file")
    if _is_multi_segment(content):
        raise _error(path, "multi-segment records are not supported; name one segment", "multi_segment")
    n_signals, rate, claimed = _record_line(path, content[0].split())
    if len(content) - 1 != n_signals:
        raise _error(
            path,
            f"header says {n_signals} signals but lists {len(content) - 1}; correct the header",
            "bad_header",
        )
    signals = tuple(_signal_line(path, line) for line in content[1:])
    counts = set()
    for file in dict.fromkeys(line.file for line in signals):
        counts.add(_check_file(path, file, [line for line in signals if line.file == file], claimed))
    if len(counts) != 1:
        raise _error(path, "signal files hold different numbers of samples; copy them again", "truncated")
    samples = counts.pop()
    check_length(samples, rate, path.name)
    return Header(path, rate, samples, signals, comments)


def _error(path: Path, text: str, reason: str) -> InputError:
    return InputError(f"{path.name}: {text}", reason)


def _text(path: Path) -> str:
    data = read_bytes(path)
    if len(data) > MAX_HEADER_BYTES:
        raise _error(path, f"{len(data)} bytes are too many for a header; name a .hea file", "bad_header")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if any(byte < 32 and byte not in b"\t\n\r" for byte in data):
            raise _error(path, "not a WFDB header (.hea); it is not UTF-8 text", "bad_header") from None
        return data.decode("latin-1")  # a µ or an accent in a comment


def _is_multi_segment(content: list[str]) -> bool:
    """Whether the record's name ends in a number of segments (``v102s/3``), not in a number of a folder's record.

    Some databases write the record's folder into its name (``records500/00000/00001_hr``, or ``p1/104``); the name is
    not used, the signal files lie beside the header anyway. Segments are lines of a name and a length.
    """
    name = content[0].split()[0].rpartition("/")
    if not name[1] or not _COUNT.fullmatch(name[2]):
        return False
    lines = [line.split() for line in content[1:]]
    return not lines or (len(lines) == int(name[2]) and all(len(fields) == 2 for fields in lines))


def _record_line(path: Path, fields: list[str]) -> tuple[int, float, int | None]:
    """Number of signals, sampling rate and number of samples; base time and date are not read at all."""
    if len(fields) < 2 or re.search(r"[=<{]", fields[0]) or not re.fullmatch(r"[-+]?\d+", fields[1]):
        raise _error(path, "not a WFDB header (.hea); its first line names no record and signals", "bad_header")
    if not _COUNT.fullmatch(fields[1]) or not 0 < int(fields[1]) <= MAX_SIGNALS:
        raise _error(path, f"number of signals must be 1 to {MAX_SIGNALS}, got {fields[1]}", "bad_header")
    match = _RATE.fullmatch(fields[2]) if len(fields) > 2 else None
    if match is None:
        raise _error(path, "sampling frequency is missing or no number; add it to the first line", "bad_rate")
    rate = check_rate(float(match["rate"]), path.name)
    if len(fields) < 4 or fields[3] == "0":
        return int(fields[1]), rate, None
    if not _COUNT.fullmatch(fields[3]):
        raise _error(path, f"number of samples is no whole number: {fields[3]}; correct the header", "bad_header")
    return int(fields[1]), rate, int(fields[3])


def _signal_line(path: Path, line: str) -> SignalLine:
    # file storage [gain [resolution [zero [first [checksum [block [name with blanks]]]]]]]
    fields = line.split(None, 8)
    storage = _STORAGE.fullmatch(fields[1]) if len(fields) > 1 else None
    if storage is None:
        raise _error(path, f"signal line '{line[:60]}' names no storage format; correct the header", "bad_header")
    file = fields[0]
    if re.search(r"[/\\:\0]", file) or file in ("~", "-", ".", ".."):
        raise _error(
            path,
            f"signal file name must be a plain name beside the header, got {file!r}; move the file there and "
            "take the folder out of the header",
            "bad_path",
        )
    if int(storage["per_frame"] or 1) != 1 or int(storage["skew"] or 0) != 0:
        raise _error(path, "several samples per frame and skewed signals are not supported; resample it", "bad_header")
    gain, baseline, units = 0.0, None, "mV"
    if len(fields) > 2:
        match = _GAIN.fullmatch(fields[2])
        if match is None:
            raise _error(path, f"gain '{fields[2][:30]}' is no number; correct the header", "bad_gain")
        gain, units = float(match["gain"]), match["units"] or units
        baseline = None if match["baseline"] is None else int(match["baseline"])
    if baseline is None:
        zero = fields[4] if len(fields) > 4 else "0"
        if not re.fullmatch(r"[-+]?\d{1,10}", zero):
            raise _error(path, f"ADC zero '{zero[:30]}' is no whole number; correct the header", "bad_header")
        baseline = int(zero)
    checksum = int(fields[6]) if len(fields) > 6 and re.fullmatch(r"[-+]?\d{1,10}", fields[6]) else None
    name = fields[8].strip() if len(fields) > 8 else ""
    return SignalLine(file, storage["code"], int(storage["offset"] or 0), gain, baseline, units, checksum, name)


def _check_file(path: Path, file: str, group: list[SignalLine], samples: int | None) -> int:
    """Hold one signal file's size against the header; the number of samples, from the size if need be."""
    if len({(line.code, line.offset) for line in group}) != 1:
        raise _error(path, f"signals in {file} disagree about its format; correct the header", "bad_header")
    code, offset = group[0].code, group[0].offset
    try:
        info = (path.parent / file).stat()
    except OSError:
        raise _error(path, f"signal file {file} not found next to the header; copy both", "missing_file") from None
    if not stat.S_ISREG(info.st_mode):
        raise _error(path, f"signal file {file} is not a regular file", "not_a_file")
    if code not in BYTES_PER_SAMPLE:
        if samples is None:
            raise _error(path, "number of samples is missing; add it to the first line", "bad_header")
        return samples
    top, bottom = BYTES_PER_SAMPLE[code]
    if samples is None:
        samples = max(0, info.st_size - offset) * bottom // (top * len(group))
    expected = offset + -(-samples * len(group) * top // bottom)
    # Packed formats may end on a filled-up group of samples.
    if not expected <= info.st_size <= expected + (0 if bottom == 1 else 3):
        raise _error(path, f"{file}: expected {expected} bytes, found {info.st_size}; copy the file again", "truncated")
    return samples
