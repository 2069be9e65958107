"""Two things that need the system's help: a name that only we take, and work that only one process does."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from omi_keras.recordings.errors import InputError

_NO_SUCH_CALL = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}


def move_to_new_name(source: Path, target: Path) -> None:
    """Rename a file or folder to a name that nothing has, in one step: what appears there meanwhile is not replaced.

    Linux and macOS have a call for it and Windows never replaces on a rename. Elsewhere, and on file systems without
    the call, the new name is taken by an exclusive ``mkdir`` (or hard link) first, and a folder that is no longer
    empty by then is left alone.

    Raises
    ------
    FileExistsError
        When ``target`` exists.
    """
    if os.name == "nt":
        source.rename(target)
        return
    code = _rename_without_replacing(source, target)
    if code in _NO_SUCH_CALL:
        _rename_onto_own_name(source, target)
    elif code:
        raise OSError(code, os.strerror(code), str(target))  # Python makes a FileExistsError of EEXIST


def _rename_without_replacing(source: Path, target: Path) -> int:
    """Ask the system; the error number, 0 when done."""
    names = os.fsencode(source), os.fsencode(target)
    libc = ctypes.CDLL(None, use_errno=True)
    here = -100  # AT_FDCWD
    try:
        if sys.platform == "darwin":
            failed = libc.renamex_np(*names, 4)  # RENAME_EXCL
        else:
            failed = libc.renameat2(here, names[0], here, names[1], 1)  # RENAME_NOREPLACE
    except AttributeError:
        return errno.ENOSYS
    return ctypes.get_errno() if failed else 0


def _rename_onto_own_name(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        target.mkdir()
        try:
            source.rename(target)  # succeeds on an empty folder only
        except OSError:
            with contextlib.suppress(OSError):
                target.rmdir()
            raise
    else:
        os.link(source, target)
        source.unlink()


@contextmanager
def only_one(lock: Path, busy: str) -> Iterator[None]:
    """Let one process at a time into the block; the system frees the lock of a process that dies.

    Parameters
    ----------
    lock
        A file made for this, beside what is worked on and never inside a folder that is renamed meanwhile.
    busy
        The sentence for who comes second.

    Raises
    ------
    InputError
        ``busy``, at once, when another process (or another call in this one) is inside.
    """
    while True:
        file = lock.open("a")
        try:
            _lock(file)
        except OSError:
            file.close()
            raise InputError(busy, "busy") from None
        # Who had it before may have removed the name while this one waited to open it: then it guards nothing.
        if _is_named(file, lock):
            break
        file.close()
    try:
        yield
    finally:
        if os.name == "nt":  # Windows removes no open file
            file.close()
            with contextlib.suppress(OSError):
                lock.unlink()
        else:
            lock.unlink(missing_ok=True)
            file.close()


def _lock(file: IO[str]) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_named(file: IO[str], lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except FileNotFoundError:
        return False
