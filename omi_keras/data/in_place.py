"""Output folders that appear at once and whole, and that never replace what is not ours.

While a folder OUT is made there are, beside it and hidden:

.OUT.omi-keras.lock     held by the process that makes OUT; in it, what that process made
.OUT.<number>.partial   the folder itself, until it takes its name; .OUT.partial of ``prepare``
.OUT.<number>.old       what OUT was, for a moment, where two folders cannot exchange their names in one step

They go when the process ends, however it ends; after SIGKILL or a power cut, when OUT is made again. Linux and macOS
exchange names in one step. On Windows, and on file systems without the call, an output that is replaced with ``force``
has no name for a moment; killed just then, it gets its name back when OUT is made again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from omi_keras.data.exclusive import exchange, move_to_new_name, only_one
from omi_keras.data.foreign import foreign_files, refuse_foreign_files
from omi_keras.data.stops import undisturbed
from omi_keras.recordings.errors import InputError

KINDS = (
    "dataset", "run", "report", "validation", "model", "bundle", "records", "saliency", "pictures",
    "learning-rate search", "learning curve",
)  # fmt: skip
MARKERS = (
    "dataset.json", "config.json", "report.json", "model.json", "manifest.json", "simulation.json", "saliency.json",
    "pictures.json", "search.json", "learning-curve.json",
)  # fmt: skip


@contextmanager
def new_folder(out: Path, marker: str, *, force: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside ``out`` that becomes ``out`` when the block ends without an error.

    Parameters
    ----------
    marker
        Name of the JSON file that every folder of this kind has: ``force`` replaces only a folder with one.

    Raises
    ------
    InputError
        As :func:`refuse_existing`; when another process is making ``out``; when something else took the name
        meanwhile: then the sentence says where the finished folder is.
    """
    refuse_existing(out, marker, force)
    with alone(out) as journal:
        partial: Path | None = None
        try:
            with undisturbed():
                # What was left, or came, before the lock was ours.
                refuse_existing(out, marker, force)
                partial = journal.new("partial")
            yield partial
            with undisturbed():
                put_or_keep(partial, out, marker if force else None, journal)
        except BaseException:
            with undisturbed():
                if partial is not None:
                    shutil.rmtree(partial, ignore_errors=True)
            raise


class Journal:
    """Names that a process made beside ``out``, for whoever comes after a kill.

    Parameters
    ----------
    out
        The output.
    file
        The lock, which only we hold; None: nothing is noted, and nothing cleared.
    """

    def __init__(self, out: Path, file: IO[str] | None) -> None:
        self.out, self.file = out, file

    def new(self, kind: str) -> Path:
        """A new empty folder of ours."""
        path = self.out.with_name(f".{self.out.name}.{secrets.token_hex(8)}.{kind}")
        self._note(path, None)
        path.mkdir()
        self.claim(path)
        return path

    def claim(self, path: Path) -> None:
        """Note that what has this name now may be removed."""
        self._note(path, os.lstat(path).st_ino)

    def _note(self, path: Path, inode: int | None) -> None:
        if self.file is not None:
            self.file.seek(0, os.SEEK_END)
            self.file.write(json.dumps([path.name, inode]) + "\n")
            self.file.flush()

    def clear(self) -> None:
        """Remove what a process left that was killed while it made ``out``, and nothing else."""
        if self.file is None:
            return
        self.file.seek(0)
        noted: dict[str, set[int | None]] = {}
        for line in self.file.read().splitlines()[1:]:
            with contextlib.suppress(ValueError, TypeError):  # the last line may be torn
                name, inode = json.loads(line)
                noted.setdefault(name, set()).add(inode)
        ours = re.compile(
            rf"\.{re.escape(self.out.name)}\.[0-9a-f]{{16}}\.(partial|old)|\.{re.escape(self.out.name)}\.partial"
        )
        for name, inodes in noted.items():
            path = self.out.with_name(name) if isinstance(name, str) and ours.fullmatch(name) else None
            if path is None or not os.path.lexists(path):
                continue
            if name.endswith(".old") and not os.path.lexists(self.out) and os.path.lexists(path / self.out.name):
                move_to_new_name(path / self.out.name, self.out)
            if os.lstat(path).st_ino in inodes or _made_by_us(path):
                remove(path)
            else:
                with contextlib.suppress(OSError):
                    path.rmdir()


@contextmanager
def alone(out: Path, doing: str = "made") -> Iterator[Journal]:
    """Keep every other process from making ``out``, and clear what a killed one left.

    Raises
    ------
    InputError
        At once, when another process is making it.
    """
    made = _make_parents(out)
    try:
        busy = f"{out} is being {doing} by another process; wait for it, or choose another name"
        with _named(out), only_one(out.with_name(f".{out.name}.omi-keras.lock"), busy) as file:
            journal = Journal(out, file)
            with undisturbed():
                journal.clear()
            yield journal
    finally:
        for parent in made:  # a refused command leaves nothing
            with contextlib.suppress(OSError):
                parent.rmdir()


@contextmanager
def _named(out: Path) -> Iterator[None]:
    """Give an error of the system the output's name: a full disk names no file, or the one that was copied from."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)) and out.name not in str(error.filename)
        if full or error.filename is None or str(error.filename).endswith(".omi-keras.lock"):
            error.filename = str(out)
        raise


def _make_parents(out: Path) -> list[Path]:
    """Make the folder that ``out`` will lie in; return the folders that were made, innermost first."""
    absent = [parent for parent in out.parents if not os.path.lexists(parent)]
    out.parent.mkdir(parents=True, exist_ok=True)
    return absent


def put_or_keep(partial: Path, out: Path, marker: str | None, journal: Journal) -> None:
    """As :func:`put_in_place`, but finished work that finds its name taken is kept under another one.

    Raises
    ------
    InputError
        When the name is taken: it says where the work is.
    """
    try:
        put_in_place(partial, out, marker, journal)
    except InputError as error:
        for number in range(1, 1000):
            kept = out.with_name(f"{out.name}.finished" + (f"-{number}" if number > 1 else ""))
            with contextlib.suppress(FileExistsError):
                move_to_new_name(partial, kept)
                break
        else:
            raise
        raise InputError(f"{error}; the finished work is in {kept}", "exists") from None


def put_in_place(partial: Path, out: Path, marker: str | None = None, journal: Journal | None = None) -> None:
    """Give a finished folder its name, atomically; what is not ours is never replaced.

    Parameters
    ----------
    marker
        What may be replaced: an empty folder, or one of ours with this file. It is looked at again when it has been
        moved aside, and put back if it is not. None: nothing may be replaced.
    journal
        Notes what was replaced before it is removed.

    Raises
    ------
    InputError
        When something has the name that may not be replaced; ``partial`` stays.
    """
    for _ in range(3):  # the name may come and go meanwhile
        try:
            move_to_new_name(partial, out)
            return
        except FileExistsError:
            if marker is None or not _replaceable(out, marker):
                break
        with contextlib.suppress(FileNotFoundError):
            if _replace(partial, out, marker, journal or Journal(out, None)):
                return
            break
    raise InputError(f"{out} was made by something else meanwhile and is left as it is", "exists")


def _replace(partial: Path, out: Path, marker: str, journal: Journal) -> bool:
    """Exchange; whether what stood there was ours alone, and is gone."""
    if exchange(partial, out):
        if not _replaceable(partial, marker):
            exchange(partial, out)
            return False
        journal.claim(partial)
        remove(partial)
        return True
    aside = (old := journal.new("old")) / out.name
    move_to_new_name(out, aside)
    try:
        if not _replaceable(aside, marker):
            move_to_new_name(aside, out)
            old.rmdir()
            return False
        move_to_new_name(partial, out)
    except FileExistsError:
        # Somebody was quicker; what was theirs or ours keeps a name that can be seen.
        sentence = f"{out} was made by something else meanwhile; what it was before is in {aside}"
        raise InputError(sentence, "exists") from None
    remove(old)
    return True


def refuse_existing(out: Path, marker: str, force: bool) -> None:
    """Raise InputError when ``out`` exists and may not be replaced.

    ``force`` replaces an empty folder, or one of ours with its ``marker``: never somebody's recordings or thesis.
    """
    if Path.cwd().is_relative_to(os.path.realpath(out)):
        raise InputError(f"{out} is the current folder or above it; name a new folder", "exists")
    if out.name in ("", ".."):
        raise InputError(f"{out} is no name for a new folder; name one", "exists")
    if not os.path.lexists(out):
        return
    if not force:
        raise InputError(f"{out} exists already; choose another name or add --force to replace it", "exists")
    if not _of_kind(out, marker):
        sentence = f"{out} has no {marker} of omi-keras, so --force will not replace it; choose another name"
        raise InputError(sentence, "exists")
    refuse_foreign_files(out, marker)


def _replaceable(path: Path, marker: str) -> bool:
    return _of_kind(path, marker) and not foreign_files(path, marker)


def _of_kind(path: Path, marker: str) -> bool:
    try:
        return (path.is_dir() and not any(path.iterdir())) or _has_marker(path, marker)
    except OSError:
        return False


def _made_by_us(path: Path) -> bool:
    return any(_has_marker(path, marker) for marker in MARKERS)


def _has_marker(path: Path, marker: str) -> bool:
    try:
        return json.loads((path / marker).read_text(encoding="utf-8"))["kind"] in KINDS
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
