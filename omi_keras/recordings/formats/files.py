"""Opening files of strangers: regular files of a sane size, read once, never a pipe, a device or a folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from omi_keras.recordings.errors import InputError

MAX_BYTES = 64 << 20
# Formats whose parsers build an object for every element need far less for an ECG, and more memory per byte.
MAX_PARSED_BYTES = 8 << 20


def read_bytes(path: Path, limit: int = MAX_BYTES, *, start: int | None = None) -> bytes:
    """Content of a regular file.

    Parameters
    ----------
    path
        Its name; links are followed, what is at their end must be a regular file.
    limit
        Most bytes that are accepted.
    start
        Read so many bytes from the start only, whatever the file's size.

    Raises
    ------
    InputError
        For anything but a readable regular file of at most ``limit`` bytes.
    """
    try:
        # The name is looked at before it is opened (opening a device may have effects), and again afterwards
        # (the name may have been given to something else). Without O_NONBLOCK a pipe would wait for a writer.
        _require_regular(path, path.stat(), limit if start is None else None)
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            info = os.fstat(handle)
            _require_regular(path, info, limit if start is None else None)
            data = file.read(info.st_size + 1 if start is None else start)
    except FileNotFoundError:
        raise InputError(f"{path.name}: file not found; check the path", "missing_file") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        what = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{path.name}: cannot be read ({what}); check the file and its permissions", "unreadable"
        ) from None
    if start is None and len(data) != info.st_size:
        raise InputError(f"{path.name}: changed while it was read; copy it again", "truncated")
    return data


def _require_regular(path: Path, info: os.stat_result, limit: int | None) -> None:
    name = path.name or str(path)
    if stat.S_ISDIR(info.st_mode):
        raise InputError(f"{name}: is a directory; name a recording in it", "not_a_file")
    if not stat.S_ISREG(info.st_mode):
        raise InputError(f"{name}: is not a regular file; name a recording", "not_a_file")
    if limit is not None and info.st_size > limit:
        raise InputError(
            f"{name}: {info.st_size} bytes are too many (at most {limit >> 20} MB); cut out the 10 s of interest",
            "too_large",
        )
