"""The file that ``torch.save`` writes: a zip of a pickle and raw numbers, or, before PyTorch 1.6, pickles in a row.

Only bytes that are there are read, and none is written: names inside the file are looked up, never opened as paths.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from omi_keras.models.weights.restricted_pickle import MOST_BYTES, NoPickle, read_pickle
from omi_keras.models.weights.torch_tensors import STAND_INS, Storage, storage

# What the form before the zip begins with, and its version.
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_LONGEST_LINE = 4096
_MOST_STORAGES = 100_000
# What zipfile may read at once: the directory of 60,000 entries.
_MOST_AT_ONCE = 8 * 2**20
_ENCRYPTED = 1


class TorchScript(NoPickle):
    """The file holds a program that PyTorch compiled, and not a pickle of parameters alone."""


class Compressed(NoPickle):
    """The zip is compressed, as ``torch.save`` leaves none, and could grow without bounds."""


class Checkpoint(NamedTuple):
    """What the pickle holds, and where its numbers are."""

    content: Any
    bytes_of: Callable[[Storage], bytes]
    byte_order: str


class _Bounded(io.BufferedReader):
    """A file that gives no more at once than is honest, whatever length the file itself claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(_MOST_AT_ONCE if size is None or size < 0 else min(size, _MOST_AT_ONCE))

    def readline(self, size: int | None = -1, /) -> bytes:
        return super().readline(_LONGEST_LINE)

    def all_of(self, start: int, length: int) -> bytes:
        """``length`` bytes from ``start`` on, if the file has them."""
        if not 0 <= start <= start + length <= self.seek(0, io.SEEK_END):
            raise NoPickle("shorter than it says")
        self.seek(start)
        return super().read(length)


def open_checkpoint(path: Path) -> _Bounded:
    """The file for :func:`read_torch_file`."""
    return _Bounded(io.FileIO(path))


def read_torch_file(file: _Bounded) -> Checkpoint:
    """Read the pickle of a checkpoint; its numbers are read when they are asked for, while ``file`` is open.

    Raises
    ------
    NoPickle
        When it is none or damaged; :class:`TorchScript` and :class:`Compressed` say more.
    """
    if file.all_of(0, min(4, file.seek(0, io.SEEK_END))) == b"PK\x03\x04":
        return _zip(file)
    file.seek(0)
    return _pickles(file)


def _zip(file: _Bounded) -> Checkpoint:
    try:
        entries = {entry.filename: entry for entry in zipfile.ZipFile(file).infolist()}
    # RuntimeError is what zipfile says to zips of later versions.
    except (zipfile.BadZipFile, RuntimeError, ValueError, struct.error) as error:
        raise NoPickle(str(error)) from None
    # The folder's name is that of the file when it was saved.
    folder = next(iter(entries), "").partition("/")[0]
    if f"{folder}/constants.pkl" in entries:
        raise TorchScript("constants.pkl")
    if f"{folder}/data.pkl" not in entries:
        raise NoPickle("no data.pkl")

    def member(name: str, length: int | None = None) -> bytes:
        entry = entries.get(f"{folder}/{name}")
        if entry is None or entry.file_size != (entry.file_size if length is None else length):
            raise NoPickle("a part is missing, or of another length")
        return _stored(file, entry)

    if entries[f"{folder}/data.pkl"].file_size > MOST_BYTES:
        raise NoPickle("longer than that of any checkpoint")
    content = read_pickle(io.BytesIO(member("data.pkl")), STAND_INS, storage)
    order = member("byteorder") if f"{folder}/byteorder" in entries else b"little"
    if order not in (b"little", b"big"):
        raise NoPickle("bytes in an order that is not known")
    return Checkpoint(content, lambda held: member(f"data/{held.key}", held.nbytes), order.decode())


def _stored(file: _Bounded, entry: zipfile.ZipInfo) -> bytes:
    """The bytes of an entry that is neither compressed nor encrypted, checked against its CRC where it has one."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _ENCRYPTED:
        raise Compressed(entry.filename)
    header = file.all_of(entry.header_offset, 30)
    name, extra = struct.unpack("<HH", header[26:])
    if header[:4] != b"PK\x03\x04":
        raise NoPickle("a damaged zip")
    content = file.all_of(entry.header_offset + 30 + name + extra, entry.file_size)
    # torch.serialization.set_crc32_options(False) leaves zeros.
    if entry.CRC and zlib.crc32(content) != entry.CRC:
        raise NoPickle("a wrong checksum")
    return content


def _pickles(file: _Bounded) -> Checkpoint:
    """Magic number, version, the machine's sizes, the content, keys of storages; then each one's length and bytes."""
    known: dict[str, Storage] = {}

    def persistent(key: Any) -> Any:
        held = storage(key)
        if isinstance(held, Storage) and known.setdefault(held.key, held) != held:
            raise NoPickle("a storage of two lengths")
        return held

    if (read_pickle(file), read_pickle(file)) != (_MAGIC, _VERSION):
        raise NoPickle("not PyTorch's")
    read_pickle(file)
    content = read_pickle(file, STAND_INS, persistent)
    keys = read_pickle(file)
    if not isinstance(keys, list) or len(keys) > _MOST_STORAGES:
        raise NoPickle("no list of storages")
    starts, place = {}, file.tell()
    for key in keys:
        held = known.get(key) if isinstance(key, str) else None
        if held is None or file.all_of(place, 8) != struct.pack("<q", held.count):
            raise NoPickle("a storage of another length")
        starts[key] = place + 8
        place += 8 + held.nbytes

    def bytes_of(held: Storage) -> bytes:
        if held.key not in starts:
            raise NoPickle("a storage that is not there")
        return file.all_of(starts[held.key], held.nbytes)

    # Always little: big-endian machines turn the bytes round when they write this form.
    return Checkpoint(content, bytes_of, "little")
