"""What needs the system's help: names that only we take, and work that only one process does."""

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

from omi_keras.data.stops import undisturbed
from omi_keras.recordings.errors import InputError

_NO_SUCH_CALL = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}
_NO_LOCKS_HERE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR}
# What renameat2 and renamex_np call "never replace" and "exchange the two".
_NEW_NAME, _EXCHANGE = (4, 2) if sys.platform == "darwin" else (1, 2)
LOCK_MARK = "omi-keras\n"


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


def exchange(one: Path, other: Path) -> bool:
    """Let two files or folders exchange their names in one step; False where the system has no call for it."""
    if os.name == "nt":
        return False
    code = _rename_by_call(one, other, _EXCHANGE)
    if code and code not in _NO_SUCH_CALL:
        raise OSError(code, os.strerror(code), str(other))
    return not code


def _rename_without_replacing(source: Path, target: Path) -> int:
    return _rename_by_call(source, target, _NEW_NAME)


def _rename_by_call(source: Path, target: Path, how: int) -> int:
    """Ask the system; the error number, 0 when done."""
    names = os.fsencode(source), os.fsencode(target)
    libc = ctypes.CDLL(None, use_errno=True)
    here = -100  # AT_FDCWD
    try:
        if sys.platform == "darwin":
            failed = libc.renamex_np(*names, how)
        else:
            failed = libc.renameat2(here, names[0], here, names[1], how)
    except AttributeError:
        return errno.ENOSYS
    return ctypes.get_errno() if failed else 0


def _rename_onto_own_name(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        target.mkdir()
        try:
            source.rename(target)  # succeeds on an empty folder only
        except OSError as error:
            with contextlib.suppress(OSError):
                target.rmdir()
            if error.errno in _TAKEN:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
            raise
    else:
        os.link(source, target)
        source.unlink()


@contextmanager
def only_one(lock: Path, busy: str) -> Iterator[IO[str] | None]:
    """Let one process at a time into the block; the system frees the lock of a process that dies.

    Parameters
    ----------
    lock
        A file made for this, beside what is worked on and never inside a folder that is renamed meanwhile.
    busy
        The sentence for who comes second.

    Yields
    ------
    The open file, whose text outlives a process that is killed; None on a file system that has no locks, where
    nobody is kept out.

    Raises
    ------
    InputError
        ``busy``, at once, when another process (or another call in this one) is inside; or when somebody else's file
        has the name.
    """
    file: IO[str] | None = None
    locked = False
    try:
        with undisturbed():
            file, locked = _take(lock, busy)
        yield file if locked else None
    finally:
        if file is not None:
            with undisturbed():
                _give_up(file, lock)


def _take(lock: Path, busy: str) -> tuple[IO[str], bool]:
    while True:
        # Whoever may write beside the output could have laid a link here.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            file = os.fdopen(os.open(lock, flags, 0o666), "r+", encoding="utf-8", newline="\n")
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO, None):  # a link, a folder, a socket, a pipe
                raise _not_a_lock(lock) from None
            raise
        try:
            locked = _lock(file)
            if locked is None:
                raise InputError(busy, "busy")
            # Who had it before may have removed the name while this one waited to open it: then it guards nothing.
            if _is_named(file, lock):
                # A process that was killed left its mark, or nothing yet.
                if (mark := _read_mark(file)) is None or (mark and mark != LOCK_MARK):
                    raise _not_a_lock(lock)
                if not mark:
                    file.write(LOCK_MARK)
                    file.flush()
                return file, locked
        except BaseException:
            file.close()
            raise
        file.close()


def _not_a_lock(lock: Path) -> InputError:
    return InputError(f"{lock} is not a lock of omi-keras; move it away", "exists")


def _read_mark(file: IO[str]) -> str | None:
    try:
        return file.readline()
    except (OSError, UnicodeDecodeError):  # somebody's data
        return None


def _give_up(file: IO[str], lock: Path) -> None:
    if os.name == "nt":  # Windows removes no open file
        with contextlib.suppress(OSError):
            file.close()
        with contextlib.suppress(OSError):
            lock.unlink()
    else:
        with contextlib.suppress(OSError):
            if _is_named(file, lock):
                lock.unlink()
        with contextlib.suppress(OSError):
            file.close()


def _lock(file: IO[str]) -> bool | None:
    """True: it is ours; None: another has it; False: this file system knows no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            # Far behind the text, which others may still read.
            os.lseek(file.fileno(), 1 << 30, os.SEEK_SET)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            os.lseek(file.fileno(), 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _NO_LOCKS_HERE else None
    return True


def _is_named(file: IO[str], lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except FileNotFoundError:
        return False
