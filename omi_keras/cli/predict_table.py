"""The table that ``omi-keras predict --csv`` writes: row by row, and there only when it is whole."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

from omi_keras.data.one_file import growing_file, refuse_other_kind

COLUMNS = ("file", "ecg_id", "probability", "decision", "threshold", "band", "quality", "error")
_FIRST, _KIND = f"{','.join(COLUMNS)}\n".encode(), "table of predict"


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
    with growing_file(path, _FIRST, _KIND, force=force) as file:
        text = TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)

        def add(row: dict[str, Any]) -> None:
            text.write(_line(row))

        yield add
        text.detach()


def refuse_existing_table(path: Path, force: bool) -> None:
    """Raise InputError when ``path`` exists and may not be replaced: ``force`` replaces such a table only."""
    refuse_other_kind(path, _FIRST, _KIND, force)


def _line(row: dict[str, Any]) -> str:
    """A row of the table. With this terminator a name that holds any of the two ends of a line is quoted."""
    line = StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([_cell(row.get(column)) for column in COLUMNS])
    return line.getvalue().removesuffix("\r\n") + "\n"


def _cell(value: Any) -> Any:
    """1 and 0 for a decision, flags in one cell, nothing for what is not known."""
    if isinstance(value, bool):
        return int(value)
    return " ".join(value) if isinstance(value, list) else value
