"""NPY and NPZ without NumPy's loader: shapes are held against bytes before memory is spent, pickles never opened."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats.declared import FIELDS, check_scales, declared, recording
from omi_keras.recordings.formats.files import MAX_BYTES
from omi_keras.recordings.formats.recording import Recording, printable

NPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK\x03\x04"
MAX_HEADER_BYTES = 10_000
MAX_MEMBERS = 16


class _Header(NamedTuple):
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    offset: int

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def looks_like(head: bytes) -> bool:
    """Whether an NPY file may hold one recording: two axes, or a header that cannot be read and will be told."""
    try:
        return len(_header(head, "")[0]) == 2
    except InputError:
        return True


def read_npy(data: bytes, path: Path) -> Recording:
    """One array of 12 leads; the rest is declared beside it."""
    header = _header(data, path.name)
    array = _array(header, data[header.offset :], path.name)
    return recording(array, declared({}, path), path, "NPY", counts=array.dtype.kind in "iu")


def read_npz(data: bytes, path: Path) -> Recording:
    """An array, ``signal`` or the only one, with ``rate``, ``units``, ``leads``, ``age`` and ``sex`` beside it."""
    file = path.name
    fields: dict[str, np.ndarray] = {}
    signals: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise InputError(f"{file}: {len(members)} arrays are too many; store one ECG per file", "too_large")
            for member in members:
                name = member.filename.removesuffix(".npy")
                array = _member(archive, member, f"{file} ({printable(name)})")
                (fields if name.lower() in FIELDS else signals)[name] = array
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: damaged or unusual archive; save it again with numpy.savez", "bad_array") from None
    if "signal" not in signals and len(signals) != 1:
        raise InputError(f"{file}: which of its {len(signals)} arrays is the ECG? Call it signal", "ambiguous")
    array = signals["signal"] if "signal" in signals else next(iter(signals.values()))
    if array.dtype.kind not in "iuf":
        raise InputError(f"{file}: expected an array of numbers, received {array.dtype}", "bad_array")
    check_scales({name: plain(value) for name, value in signals.items() if value is not array}, file)
    said = declared({name: plain(value) for name, value in fields.items()}, path)
    return recording(array, said, path, "NPZ", counts=array.dtype.kind in "iu")


def plain(array: np.ndarray) -> Any:
    """A declared field as JSON would have it: a number, a text, or a list of texts."""
    values = array.ravel().tolist()
    return values[0] if len(values) == 1 and array.ndim < 3 else values


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> np.ndarray:
    """One array of an archive; the sizes of its directory are not believed, its bytes counted as they come."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{name}: unusual compression; save it again with numpy.savez", "bad_array")
    with archive.open(member) as stream:
        start = stream.read(MAX_HEADER_BYTES + 16)
        header = _header(start, name)
        if header.bytes > MAX_BYTES:
            size = printable(" x ".join(map(str, header.shape[:4])), 60)
            raise InputError(f"{name}: {size} is too long; cut out the 10 s of interest", "too_long")
        left = header.offset + header.bytes - len(start)
        return _array(header, start[header.offset :] + (stream.read(left + 1) if left >= 0 else b""), name)


def _header(data: bytes, name: str) -> _Header:
    """Shape and type, refused unless they are an array of numbers or texts that fits into memory."""
    if not data.startswith(NPY_MAGIC):
        raise InputError(f"{name}: not a NumPy array file; save it with numpy.save", "bad_array")
    stream = io.BytesIO(data[: MAX_HEADER_BYTES + 16])
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream, max_header_size=MAX_HEADER_BYTES)
    except Exception:  # whatever NumPy trips over in these bytes, they are no header
        raise InputError(f"{name}: damaged NumPy header; save it again with numpy.save", "bad_array") from None
    if dtype.hasobject:
        raise InputError(f"{name}: object arrays are not allowed, they may run code; save plain numbers", "pickle")
    if dtype.kind not in "iufU" or dtype.itemsize == 0 or any(size < 0 for size in shape):
        raise InputError(f"{name}: expected an array of numbers, received {printable(str(dtype))}", "bad_array")
    return _Header(shape, fortran, dtype, stream.tell())


def _array(header: _Header, content: bytes, name: str) -> np.ndarray:
    if len(content) != header.bytes:
        which = "shorter" if len(content) < header.bytes else "longer"
        raise InputError(
            f"{name}: file is {which} than its header says (expected {header.bytes} bytes of numbers, found "
            f"{len(content)}); save it again",
            "truncated",
        )
    flat = np.frombuffer(content, header.dtype, math.prod(header.shape))
    return flat.reshape(header.shape, order="F" if header.fortran else "C")
