"""The table that ``omi-keras predict --csv`` writes: row by row, and there only when it is whole."""

from __future__ import annotations

import csv
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omi_keras.data.exclusive import move_to_new_name, undisturbed
from omi_keras.recordings.errors import InputError

COLUMNS = ("file", "ecg_id", "probability", "decision", "threshold", "band", "quality", "error")


@contextmanager
def new_table(path: Path | None, force: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that adds a row of :func:`edge.many_files.judge_files`; of no ``path``, one that does nothing.

    Raises
    ------
    InputError
        When ``path`` exists, unless ``force`` and it is such a table; when its folder is not there.
    """
    if path is None:
        yield lambda row: None
        return
    refuse_existing_table(path, force)
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a folder; make it, or name another", "not_found")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with partial.open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            yield lambda row: writer.writerow(map(_cell, (row.get(column) for column in COLUMNS)))
        with undisturbed():
            if force:
                refuse_existing_table(path, force)
                partial.replace(path)
            else:
                move_to_new_name(partial, path)
    except FileExistsError:
        raise InputError(f"{path} appeared meanwhile and was not replaced; name another file", "exists") from None
    finally:
        with undisturbed():
            partial.unlink(missing_ok=True)


def refuse_existing_table(path: Path, force: bool) -> None:
    """Raise InputError when ``path`` exists and may not be replaced: ``force`` replaces such a table only."""
    if not os.path.lexists(path):
        return
    if not force:
        raise InputError(f"{path} exists already; choose another name or add --force to replace it", "exists")
    first = b""
    if path.is_file():
        with path.open("rb") as file:
            first = file.readline(200)
    if first.decode("utf-8", "replace").strip() != ",".join(COLUMNS):
        raise InputError(f"{path} is no table of predict, so --force will not replace it; name another file", "exists")


def _cell(value: Any) -> Any:
    """1 and 0 for a decision, flags in one cell, nothing for what is not known."""
    if isinstance(value, bool):
        return int(value)
    return " ".join(value) if isinstance(value, list) else value
