"""One row of a labels file → its recording → its median beat. Light, because every worker imports it."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from omi_keras.beats.median_beats import MedianBeat, median_beat
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.paths import check_path
from omi_keras.recordings.readers import SUFFIXES, find_record, read_record

MOST_ERRORS = 5


def read_beat(records: Path, record: str) -> tuple[MedianBeat, str] | InputError:
    """One recording → its median beat and source, or why not."""
    try:
        found = read_record(locate(records, record), ecg_id=record)
        return median_beat(found), found.source
    except InputError as error:
        return error
    except OSError as error:
        return InputError(f"{record} cannot be read: {error.strerror or error}", "unreadable")


def check_places(names: Iterable[str], labels: Path, records: Path) -> None:
    """Refuse a labels file that names what is not in the data folder, or one recording twice, before any is read.

    What is compared is the file that is opened: ``a``, ``a.hea``, ``a.dat``, a link to it and its name in other letters
    where the file system does not mind are one recording, which two patients would otherwise share.

    Parameters
    ----------
    names
        The records of the labels file, in its order.
    labels, records
        The file, for messages, and the data folder.

    Raises
    ------
    InputError
        One sentence that names the first rows.
    """
    problems: list[str] = []
    seen: dict[object, tuple[int, str]] = {}
    for row, record in enumerate(names, start=2):  # row 1 is the header, as a person counts in an editor
        try:
            found = opened(locate(records, record))
            info = found.stat()
        except InputError as error:
            problems.append(f"row {row}: {error}")
            continue
        except OSError as error:
            problems.append(f"row {row}: {record} cannot be read: {error.strerror or error}")
            continue
        # Some file systems number no files.
        key: object = (info.st_dev, info.st_ino) if info.st_ino else os.path.normcase(os.path.realpath(found))
        before, other = seen.setdefault(key, (row, record))
        if before != row:
            problems.append(f"row {row}: {record} is the recording of row {before} ({other}), listed twice")
    if problems:
        more = f"; and {len(problems) - MOST_ERRORS} more rows" if len(problems) > MOST_ERRORS else ""
        what = "correct or delete the rows" if len(problems) > 1 else "correct or delete the row"
        raise InputError(f"{labels}: {'; '.join(problems[:MOST_ERRORS])}{more}; {what}", "bad_labels")


def opened(path: Path) -> Path:
    """The file that reading ``path`` begins with: the header of a signal file, the array that a sidecar describes."""
    other = None
    if path.suffix.lower() in (".mat", ".dat"):
        other = path.with_suffix(".hea")
    elif path.suffix.lower() == ".json":
        other = path.with_suffix("")
    return other if other is not None and other.is_file() else path


def locate(records: Path, record: str) -> Path:
    """The file of a labels row, in whichever Unicode form its name is on the disk.

    Raises
    ------
    InputError
        When it is not there, or not below the data folder: then nothing is said about it.
    """
    try:
        os.fsencode(record)
    except UnicodeEncodeError:
        check_path(records / record)
    path, inside = records / record, _real(records)
    if Path(record).is_absolute() or not _real(path).startswith(inside):
        raise InputError(f"{record}: record must stay below the data folder {records}", "outside")
    found = find_record(path)
    if found != path and not _real(found).startswith(inside):
        raise InputError(f"{record}: record must stay below the data folder {records}", "outside")
    if not found.exists() and not record.isascii():
        found = _in_another_form(records, record) or found
        if not _real(found).startswith(inside):
            raise InputError(f"{record}: record must stay below the data folder {records}", "outside")
    if not found.exists():
        raise InputError(f"{record} not found in {records}", "not_found")
    return found


def _in_another_form(records: Path, record: str) -> Path | None:
    """The file whose name is the same text in composed or decomposed letters, or partly."""
    *folders, name = Path(record).parts
    place = records
    for folder in folders:
        spellings = _names(place).get(_composed(folder), [folder])
        place /= spellings[0] if len(spellings) == 1 or folder not in spellings else folder
    names, whole = _names(place), _composed(name)
    stems = {other[: len(other) - len(suffix)] for suffix in ("", *SUFFIXES) for other in names.get(whole + suffix, [])}
    if len(stems) > 1:
        raise InputError(
            f"{record}: {len(stems)} files have this name in different Unicode forms; rename one of them", "ambiguous"
        )
    return find_record(place / stems.pop()) if stems else None


def _names(folder: Path) -> dict[str, list[str]]:
    try:
        return _listing(str(folder), folder.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=64)
def _listing(folder: str, changed: int) -> dict[str, list[str]]:
    """Composed name → the names on the disk; read anew when the folder has changed."""
    found: dict[str, list[str]] = {}
    for path in Path(folder).iterdir():
        found.setdefault(_composed(path.name), []).append(path.name)
    return found


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _real(path: Path) -> str:
    # Strings, because these calls are most of what is done before the first recording is read. The folder itself is
    # inside, as it is for pathlib.
    return f"{os.path.realpath(path)}{os.sep}"
