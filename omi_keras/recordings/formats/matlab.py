"""MATLAB files of versions 4 to 7: numbers and texts, nothing else; decompression is bounded.

Format: MathWorks, "MAT-File Format". Version 7.3 is HDF5 and is refused. A ``.mat`` with a WFDB header beside it is
that record's signal file and never comes here.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats.arrays import plain
from omi_keras.recordings.formats.declared import FIELDS, check_scales, declared, recording
from omi_keras.recordings.formats.files import MAX_PARSED_BYTES
from omi_keras.recordings.formats.recording import Recording, printable

MAGIC = b"MATLAB "
# How the numbers of an element lie, and what type they become.
STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
    17: "u2",
}
MATRIX, COMPRESSED = 14, 15
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
STRUCT, CHARACTERS = 2, 4
VERSION_4 = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}
MAX_DEPTH, MAX_FIELDS, MAX_VARIABLES = 3, 64, 64
SIGNALS = ("signal", "data", "val", "ecg", "sig")


class _Damaged(Exception):
    pass


def read(data: bytes, path: Path) -> Recording:
    """The ECG of a .mat file: ``data``, ``val`` or ``signal`` (12 leads), at the top or in a struct such as CPSC's."""
    file = path.name
    if data.startswith(MAGIC + b"7.3"):
        raise InputError(f"{file}: MATLAB 7.3 (HDF5) is not supported; save it with -v7", "unsupported_version")
    try:
        variables = _version_5(data) if data.startswith(MAGIC) else _version_4(data)
    except (_Damaged, struct.error, ValueError, zlib.error, OverflowError):
        raise InputError(f"{file}: not a MATLAB file, or damaged or cut off; save it again", "bad_array") from None
    found = [item for name, value in variables.items() for item in _flat(name, value)]
    lower = {name.lower(): value for name, value in reversed(found)}  # of two fields the first
    arrays = [(name, value) for name, value in found if name.lower() in SIGNALS and isinstance(value, np.ndarray)]
    signals = [(name, value) for name, value in arrays if min(value.shape, default=0) > 1] or arrays[:1]
    if any(not np.array_equal(value, signals[0][1]) for _, value in signals[1:]):
        names = ", ".join(printable(name) for name, _ in signals[:10])
        raise InputError(f"{file}: which of its arrays is the ECG ({names})? Keep one of them", "ambiguous")
    array = signals[0][1] if signals else None
    if array is None:
        have = ", ".join(printable(name) for name, _ in found[:10]) or "nothing"
        raise InputError(f"{file}: no ECG found (it holds {have}); call the 12 x samples array signal", "ambiguous")
    said = {name: _plain(value) for name, value in lower.items() if name in FIELDS and not isinstance(value, dict)}
    check_scales({name: _plain(value) for name, value in lower.items()}, file)
    return recording(array, declared(said, path), path, "MATLAB", counts=array.dtype.kind in "iu")


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    """A variable, and the fields of a struct as if they were variables."""
    return [(name, value), *(value.items() if isinstance(value, dict) else ())]


def _plain(value: Any) -> Any:
    return plain(value) if isinstance(value, np.ndarray) else value


def _version_4(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    at = 0
    while at < len(data) and len(found) < MAX_VARIABLES:
        kind, rows, columns, imaginary, length = struct.unpack_from("<5i", data, at)
        stored = VERSION_4.get(kind // 10 % 10)
        if not 0 <= kind < 100 or kind % 10 > 1 or stored is None or imaginary or not 0 < length <= 64:
            raise _Damaged
        if rows < 0 or columns < 0:
            raise _Damaged
        name = data[at + 20 : at + 20 + length].split(b"\0")[0].decode("latin-1")
        at += 20 + length
        size = rows * columns * np.dtype(stored).itemsize
        if at + size > len(data):
            raise _Damaged
        values = np.frombuffer(data, "<" + stored, rows * columns, at).reshape((rows, columns), order="F")
        found[name] = values if kind % 10 == 0 else "".join(map(chr, values.astype(int).ravel() & 0xFF))
        at += size
    return found


def _version_5(data: bytes) -> dict[str, Any]:
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise _Damaged
    found: dict[str, Any] = {}
    at, budget = 128, 2 * MAX_PARSED_BYTES
    while at + 8 <= len(data) and len(found) < MAX_VARIABLES:
        kind, content, at = _element(data, at, order)
        if kind == COMPRESSED:
            engine = zlib.decompressobj()
            content = engine.decompress(content, budget)
            if engine.unconsumed_tail or not engine.eof:
                raise _Damaged
            budget -= len(content)
            if budget <= 0:
                raise _Damaged
            kind, content, _ = _element(content, 0, order)
        if kind == MATRIX:
            name, value = _matrix(content, order, 0)
            if value is not None:
                found[name] = value
    return found


def _element(data: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """Type, content and end of the element at ``at``."""
    kind, size = struct.unpack_from(order + "2I", data, at)
    if kind >> 16:  # up to four bytes lie in the tag itself
        kind, size = kind & 0xFFFF, kind >> 16
        start, end = at + 4, at + 8
    else:
        start = at + 8
        # Compressed elements are not filled up to eight bytes.
        end = start + size + (0 if kind == COMPRESSED else -size % 8)
    if start + size > len(data) or size > end - start:
        raise _Damaged
    return kind, data[start : start + size], end


def _matrix(data: bytes, order: str, depth: int) -> tuple[str, Any]:
    """Name and value of an array: numbers, a text, a struct as dict; None for anything else."""
    if not data:
        return "", None
    _, flags, at = _element(data, 0, order)
    _, sizes, at = _element(data, at, order)
    _, name, at = _element(data, at, order)
    (flag,) = struct.unpack_from(order + "I", flags)
    kind, is_complex = flag & 0xFF, flag & 0x800
    shape = np.frombuffer(sizes, order + "i4").tolist()
    title = name.decode("latin-1")
    if kind == STRUCT and math.prod(shape) == 1 and depth < MAX_DEPTH:
        return title, _struct(data, at, order, depth)
    if (kind not in CLASSES and kind != CHARACTERS) or is_complex:
        return title, None
    stored, content, _ = _element(data, at, order)
    if stored not in STORED or any(size < 0 for size in shape):
        raise _Damaged
    values = np.frombuffer(content, order + STORED[stored])
    if kind == CHARACTERS:
        return title, "".join(map(chr, values[:200].astype(int)))
    if len(values) != math.prod(shape):
        raise _Damaged
    return title, values.astype(CLASSES[kind]).reshape(shape, order="F")


def _struct(data: bytes, at: int, order: str, depth: int) -> dict[str, Any]:
    _, width, at = _element(data, at, order)
    _, names, at = _element(data, at, order)
    (length,) = struct.unpack_from(order + "i", width)
    if not 0 < length <= 64 or len(names) > MAX_FIELDS * length:
        raise _Damaged
    fields = {}
    for k in range(0, len(names), length):
        _, content, at = _element(data, at, order)
        fields[names[k : k + length].split(b"\0")[0].decode("latin-1")] = _matrix(content, order, depth + 1)[1]
    return {name: value for name, value in fields.items() if value is not None}
