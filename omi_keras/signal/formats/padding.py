"""Which of a DICOM channel's samples equal to the padding value are padding.

The value marks places without a sample, so it should be one that no sample has. Widely used converters write 0
instead, and of a real ECG a tenth of all samples are 0. Only runs that cannot be signal are taken for padding then.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Noisy leads do not stay on one value to the step for so long; in several leads at once, for less.
NOISY_SECONDS = 0.1
NOISY_SAMPLES_OF_ALL = 8
# Without noise (a simulator's, a filter's) a lead may rest between T and P, at the slowest rates for so long.
REST_SECONDS = 2.0


def padding_value(value: Any, kind: str) -> int | None:
    """The padding value as a sample of type ``kind``; None where none is stated.

    It is bytes by the standard; libraries and careless writers hand it over as a number, too, signed or not.
    """
    if value is None or value == "" or value == b"":
        return None
    kind = np.dtype(kind).newbyteorder("<").str
    width = np.dtype(kind).itemsize
    if isinstance(value, (bytes, bytearray)):
        stored = bytes(value)[:width].ljust(width, b"\0")
    elif isinstance(value, (list, tuple)) or (hasattr(value, "__iter__") and not isinstance(value, str)):
        values = {padding_value(item, kind) for item in value}
        return values.pop() if len(values) == 1 else None
    else:
        stored = (int(value) % (1 << 8 * width)).to_bytes(width, "little")
    return int(np.frombuffer(stored, kind)[0])


def padded(raw: np.ndarray, value: int, rate: float, bits_stored: int) -> np.ndarray:
    """Where a group's samples are padding.

    Parameters
    ----------
    raw
        (samples, channels) integers as stored.
    value
        From :func:`padding_value`.
    rate
        Hz.
    bits_stored
        Bits that a sample uses.

    Returns
    -------
    numpy.ndarray
        (samples, channels) bool.
    """
    equal = raw == value
    limits = np.iinfo(raw.dtype)
    signed = limits.min < 0
    extremes = {limits.min, limits.max}
    if 1 < bits_stored < limits.bits:
        half = 1 << (bits_stored - 1)
        extremes |= {-half, half - 1} if signed else {2 * half - 1}
    if value in extremes or not equal.any():
        return equal
    bends = [_bends(raw[:, k].astype(np.int64), equal[:, k]) for k in range(raw.shape[1])]
    noisy = [bool(bend.size) and float(np.median(bend)) >= 1.0 for bend in bends]
    out = np.zeros(equal.shape, bool)
    for k in range(raw.shape[1]):
        longest = round((NOISY_SECONDS if noisy[k] else REST_SECONDS) * rate)
        steepest = float(bends[k].max()) if bends[k].size else 0.0
        first, end = _runs(equal[:, k])
        gap = (end - first >= longest) | _breaks_in(raw[:, k], first, end, value, steepest)
        for start, stop in zip(first[gap].tolist(), end[gap].tolist(), strict=True):
            out[start:stop, k] = True
    if 2 * sum(noisy) > len(noisy):
        for start, stop in zip(*(edge.tolist() for edge in _runs(equal.all(axis=1))), strict=True):
            if stop - start >= NOISY_SAMPLES_OF_ALL:
                out[start:stop] = True
    return out


def _bends(x: np.ndarray, equal: np.ndarray) -> np.ndarray:
    """Absolute second differences that touch no sample of the padding value."""
    clear = ~(equal[:-2] | equal[1:-1] | equal[2:])
    return np.abs(np.diff(x, 2))[clear]


def _breaks_in(x: np.ndarray, first: np.ndarray, end: np.ndarray, value: int, steepest: float) -> np.ndarray:
    """Runs that begin or end with a sharper bend than the channel has anywhere else, by half and a step or two."""
    inner = (first > 0) & (end < len(x))
    before = np.where(first > 0, x[first - 1].astype(np.int64) - value, 0)
    after = np.where(end < len(x), x[np.minimum(end, len(x) - 1)].astype(np.int64) - value, 0)
    bend = np.maximum(np.abs(before), np.abs(after))
    # A single sample may lie on a slope, and a slope may lead to the very first and last.
    single = end - first == 1
    bend = np.where(single, np.where(inner, np.abs(before + after), 0), bend)
    return bend > 1.5 * steepest + 2.0


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where stretches of True begin, and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return edges[::2], edges[1::2]
