"""One row of a labels file → its recording → its median beat. Light, because every worker imports it."""

from __future__ import annotations

import os
from pathlib import Path

from omi_keras.signal.errors import InputError
from omi_keras.signal.median_beat import MedianBeat, median_beat
from omi_keras.signal.paths import check_path
from omi_keras.signal.readers import find_record, read_record


def read_beat(records: Path, record: str) -> tuple[MedianBeat, str] | InputError:
    """One recording → its median beat and source, or why not."""
    try:
        found = read_record(locate(records, record), ecg_id=record)
        return median_beat(found), found.source
    except InputError as error:
        return error
    except OSError as error:
        return InputError(f"{record} cannot be read: {error.strerror or error}", "unreadable")


def locate(records: Path, record: str) -> Path:
    """The file of a labels row.

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
    if not found.exists():
        raise InputError(f"{record} not found in {records}", "not_found")
    return found


def _real(path: Path) -> str:
    # Strings, because these calls are most of what is done before the first recording is read. The folder itself is
    # inside, as it is for pathlib.
    return f"{os.path.realpath(path)}{os.sep}"
