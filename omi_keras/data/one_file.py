"""A single file as output: at once and whole, and nothing replaced that omi-keras did not make."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from omi_keras.data.exclusive import move_to_new_name
from omi_keras.data.stops import undisturbed
from omi_keras.recordings.errors import InputError

# Stands in every file that is written so: in the metadata of a PNG or PDF, in an attribute of an SVG, in a page's head.
MARK = b"omi-keras"
_MOST_BYTES = 1 << 28


def refuse_existing_file(out: Path, force: bool) -> None:
    """Raise InputError when ``out`` exists and may not be replaced; ``force`` replaces only what has our mark."""
    if not os.path.lexists(out):
        return
    if not force:
        raise InputError(f"{out} exists already; choose another name or add --force to replace it", "exists")
    if not _ours(out):
        raise InputError(
            f"{out} was not made by omi-keras, so --force will not replace it; choose another name", "exists"
        )


def write_file(out: Path, content: bytes, *, force: bool = False) -> None:
    """Write a file that has our mark; missing folders are made.

    Raises
    ------
    InputError
        As :func:`refuse_existing_file`, also when something took the name meanwhile.
    """
    assert MARK in content, "what is written here can be replaced with --force"
    refuse_existing_file(out, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _whole(out, lambda: force and _ours(out)) as file:
        file.write(content)


@contextmanager
def growing_file(out: Path, first: bytes, kind: str, *, force: bool = False) -> Iterator[IO[bytes]]:
    """A file that is written bit by bit, and there only when the block ends without an error.

    Parameters
    ----------
    first, kind
        As :func:`refuse_other_kind`; ``first`` is written already.

    Raises
    ------
    InputError
        As :func:`refuse_other_kind`, also when something took the name meanwhile; when its folder is not there.
    """
    refuse_other_kind(out, first, kind, force)
    if not out.parent.is_dir():
        raise InputError(f"{out.parent} is not a folder; make it, or name another", "not_found")

    def replaces() -> bool:
        if force:
            refuse_other_kind(out, first, kind, force)
        return force

    with _whole(out, replaces) as file:
        file.write(first)
        yield file


@contextmanager
def _whole(out: Path, replaces: Callable[[], bool]) -> Iterator[IO[bytes]]:
    """A file that has its name when the block ends without an error; ``replaces`` is asked then."""
    partial = out.with_name(f".{out.name}.{secrets.token_hex(8)}.part")
    try:
        with partial.open("xb") as file:
            yield file
        with undisturbed():
            if replaces():
                partial.replace(out)
            else:
                move_to_new_name(partial, out)
    except FileExistsError:
        raise InputError(f"{out} appeared meanwhile and was not replaced; name another file", "exists") from None
    finally:
        with undisturbed():
            partial.unlink(missing_ok=True)


def refuse_other_kind(out: Path, first: bytes, kind: str, force: bool) -> None:
    """Raise InputError when ``out`` exists and may not be replaced.

    Parameters
    ----------
    first
        ``force`` replaces only a file that begins so.
    kind
        What such a file is, for the sentence.
    """
    if not os.path.lexists(out):
        return
    if not force:
        raise InputError(f"{out} exists already; choose another name or add --force to replace it", "exists")
    if not _begins(out, first):
        raise InputError(f"{out} is no {kind}, so --force will not replace it; name another file", "exists")


def _begins(path: Path, first: bytes) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(first)) == first


def _ours(path: Path) -> bool:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return False
        return MARK in path.read_bytes()
    except OSError:
        return False
