"""WFDB records: a strict header parser and a format 16 decoder.

Nothing is believed before it is checked: every number of the header is held against the size of the files
before a sample is read, and signal files are only looked for beside the header.
Format: https://wfdb.io/spec/header-files.html and https://wfdb.io/spec/signal-files.html
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omi_keras.signal.errors import InputError

MAX_HEADER_BYTES = 1 << 20
MAX_SIGNALS = 256
MIN_RATE, MAX_RATE = 50.0, 10000.0
MAX_SECONDS = 3600.0
MISSING_16 = -32768

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
    """One signal line of a header. ``gain`` in adu per unit, 0 where the header gives none."""

    file: str
    code: str
    offset: int
    gain: float
    baseline: int
    units: str
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
    if samples / rate > MAX_SECONDS:
        raise _error(
            path,
            f"{samples} samples at {rate:g} Hz are more than 1 hour; cut out the 10 s of interest",
            "too_long",
        )
    return Header(path, rate, samples, signals, comments)


def read_signals(header: Header, wanted: list[int]) -> np.ndarray:
    """Physical values of some signals, in the units of the header.

    Parameters
    ----------
    header
        From :func:`read_header`.
    wanted
        Positions in ``header.signals``; their gains must be above 0.

    Returns
    -------
    numpy.ndarray
        (len(wanted), samples) float64, (adu - baseline) / gain, NaN where a sample is missing.
    """
    if any(header.signals[k].code != "16" for k in wanted):
        return _read_with_wfdb(header, wanted)
    out = np.empty((len(wanted), header.samples))
    for file in dict.fromkeys(header.signals[k].file for k in wanted):
        group = [k for k, line in enumerate(header.signals) if line.file == file]
        count = header.samples * len(group)
        adu = np.fromfile(header.path.parent / file, "<i2", count=count, offset=header.signals[group[0]].offset)
        if len(adu) != count:
            raise _error(header.path, f"{file} became shorter while it was read; copy it again", "truncated")
        frames = adu.reshape(header.samples, len(group))
        for row, k in enumerate(wanted):
            if k in group:
                line = header.signals[k]
                column = frames[:, group.index(k)]
                out[row] = (column.astype(np.float64) - line.baseline) / line.gain
                out[row, column == MISSING_16] = np.nan
    return out


def _read_with_wfdb(header: Header, wanted: list[int]) -> np.ndarray:
    try:
        import wfdb
    except ImportError:
        code = next(header.signals[k].code for k in wanted if header.signals[k].code != "16")
        raise _error(
            header.path,
            f"format {code} needs the wfdb package; pip install 'omi-keras[formats]'",
            "needs_wfdb",
        ) from None
    try:
        record = wfdb.rdrecord(str(header.path.with_suffix("")), channels=wanted)
    except Exception as error:  # whatever that library trips over, the file is at fault
        what = " ".join(str(error).split())[:200]
        raise _error(header.path, f"cannot be decoded ({what}); export the record again", "bad_signal") from error
    signal = np.ascontiguousarray(record.p_signal.T, dtype=np.float64)
    if signal.shape != (len(wanted), header.samples):
        expected = (len(wanted), header.samples)
        raise _error(
            header.path,
            f"expected {expected} samples, decoded {signal.shape}; export the record again",
            "bad_signal",
        )
    return signal


def _error(path: Path, text: str, reason: str) -> InputError:
    return InputError(f"{path.name}: {text}", reason)


def _text(path: Path) -> str:
    """The header's text; anything but a regular file of a sane size is refused before it is opened."""
    try:
        info = path.stat()
        if stat.S_ISDIR(info.st_mode):
            raise _error(path, "is a directory; name the .hea file in it", "not_a_file")
        if not stat.S_ISREG(info.st_mode):
            raise _error(path, "is not a regular file; name a .hea file", "not_a_file")
        if info.st_size > MAX_HEADER_BYTES:
            raise _error(path, f"{info.st_size} bytes are too many for a header; name a .hea file", "bad_header")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise _error(path, "file not found; check the path", "missing_file") from None
    except UnicodeDecodeError:
        raise _error(path, "not a WFDB header (.hea); it is not UTF-8 text", "bad_header") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise _error(path, f"cannot be read ({reason}); check the file and its permissions", "unreadable") from None


def _record_line(path: Path, fields: list[str]) -> tuple[int, float, int | None]:
    """Number of signals, sampling rate and number of samples; base time and date are not read at all."""
    if len(fields) < 2 or "=" in fields[0] or "<" in fields[0]:
        raise _error(path, "not a WFDB header (.hea); its first line names no record and signals", "bad_header")
    if "/" in fields[0]:
        raise _error(path, "multi-segment records are not supported; name one segment", "multi_segment")
    if not _COUNT.fullmatch(fields[1]) or not 0 < int(fields[1]) <= MAX_SIGNALS:
        raise _error(path, f"number of signals must be 1 to {MAX_SIGNALS}, got {fields[1]}", "bad_header")
    match = _RATE.fullmatch(fields[2]) if len(fields) > 2 else None
    if match is None:
        raise _error(path, "sampling frequency is missing or no number; add it to the first line", "bad_rate")
    rate = float(match["rate"])
    if not rate > 0:
        raise _error(path, f"sampling frequency must be > 0, got {rate:g}; correct the header", "bad_rate")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise _error(
            path,
            f"sampling frequency must be {MIN_RATE:g} to {MAX_RATE:g} Hz, got {rate:g}; correct it",
            "bad_rate",
        )
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
        raise _error(path, f"signal file name must be a plain name beside the header, got {file!r}", "bad_path")
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
    name = fields[8].strip() if len(fields) > 8 else ""
    return SignalLine(file, storage["code"], int(storage["offset"] or 0), gain, baseline, units, name)


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
