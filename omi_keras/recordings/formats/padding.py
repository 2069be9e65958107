"""Which of a DICOM channel's samples equal to the padding value are padding.

The value marks places without a sample, so it should be one that no sample has. Widely used converters write 0
instead, and of a real ECG a tenth of all samples are 0. Only runs that cannot be signal are taken for padding then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

# A lead does not rest on one value, to the step, for so many times as long as nine of ten of its other rests. Without
# noise (a simulator's, a filter's) that is as long as from T to P; then at least so long, the slowest rates' pause.
TIMES_LONGER, LEAST_SECONDS, REST_SECONDS = 10, 0.1, 2.0
# All leads at once do not for a shorter time: the sum of what each says, held against this.
TIMES_OF_ALL, LEAST_OF_ALL = 20, 8
# A break is held against the bends so near, of which so many must be known; less than some steps is none.
NEAR_SECONDS, FEWEST_BENDS, STEPS = 0.04, 5, 10.0


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
    out = np.zeros(equal.shape, bool)
    doubts = 0.0
    for k in range(raw.shape[1]):
        first, end = _runs(equal[:, k])
        if not first.size:
            continue
        rests = np.sort(end - first)
        usual = int(rests[int(0.9 * (len(rests) - 1))]) if len(rests) > 1 else 1
        # A lead that is padded throughout says nothing about the others.
        doubts += 1.0 / usual if rests[-1] < REST_SECONDS * rate or len(rests) > 1 else 0.0
        longest = min(max(TIMES_LONGER * usual, LEAST_SECONDS * rate), REST_SECONDS * rate)
        bends = _bends(raw[:, k].astype(np.int64), equal[:, k])
        gap = (end - first >= longest) | _breaks(raw[:, k], first, end, value, _steepest(bends, rate))
        for start, stop in zip(first[gap].tolist(), end[gap].tolist(), strict=True):
            out[start:stop, k] = True
    for start, stop in zip(*(edge.tolist() for edge in _runs(equal.all(axis=1))), strict=True):
        if stop - start >= LEAST_OF_ALL and (stop - start) * doubts >= TIMES_OF_ALL:
            out[start:stop] = True
    return out


def _bends(x: np.ndarray, equal: np.ndarray) -> np.ndarray:
    """Absolute second differences about each sample, (samples,) float64; NaN where one touches the padding value."""
    out = np.full(len(x), np.nan)
    if len(x) > 2:
        clear = ~(equal[:-2] | equal[1:-1] | equal[2:])
        out[1:-1][clear] = np.abs(np.diff(x, 2))[clear]
    return out


def _steepest(bends: np.ndarray, rate: float) -> np.ndarray:
    """The sharpest bend around each sample; that of the whole lead where too few around it are known."""
    known = np.isfinite(bends)
    size = 2 * round(NEAR_SECONDS * rate) + 1
    near = maximum_filter1d(np.where(known, bends, 0.0), size, mode="nearest")
    enough = uniform_filter1d(known.astype(np.float64), size, mode="nearest") * size >= FEWEST_BENDS - 0.5
    return np.where(enough, near, np.where(known, bends, 0.0).max())


def _breaks(x: np.ndarray, first: np.ndarray, end: np.ndarray, value: int, steepest: np.ndarray) -> np.ndarray:
    """Runs that the signal enters or leaves with a sharper bend than it has around them, by half and some steps."""
    last = len(x) - 1
    wide = np.pad(x.astype(np.int64), (4, 4), constant_values=value)  # sample k is at k + 4
    # Bends just outside the run: a pacing spike beside zeros is as sharp there.
    before = [wide[first + 4 - k] for k in (1, 2, 3)]
    after = [wide[end + 3 + k] for k in (1, 2, 3)]
    outside = np.maximum(*(np.abs(a - 2 * b + c) for a, b, c in (before, after)))
    inner = (first > 0) & (end <= last)
    jump = np.maximum(
        np.where(first > 0, np.abs(before[0] - value), 0), np.where(end <= last, np.abs(after[0] - value), 0)
    )
    # A single sample may lie on a slope, and a slope may lead to the very first and last.
    jump = np.where(end - first == 1, np.where(inner, np.abs(before[0] + after[0] - 2 * value), 0), jump)
    known = np.maximum(steepest[np.maximum(first - 1, 0)], steepest[np.minimum(end, last)])
    return jump > 1.5 * np.maximum(known, outside) + STEPS


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where stretches of True begin, and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return edges[::2], edges[1::2]
