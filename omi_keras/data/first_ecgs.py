"""The first ECG of each patient, for judging patients once however often they were recorded."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from omi_keras.data.identities import one_form
from omi_keras.recordings.errors import InputError

# Columns that say when an ECG was recorded: recording_date as in PTB-XL, ecg_time as in MIMIC-IV-ECG, and others. The
# first that is there is taken.
TIME_COLUMNS = (
    "recorded_at", "recording_time", "recording_date", "ecg_time", "ecg_date", "acquisition_time", "acquisition_date",
    "acquired_at", "datetime", "date_time", "timestamp", "time", "date",
)  # fmt: skip


def first_ecgs(ecgs: pd.DataFrame) -> np.ndarray:
    """Which rows are the first ECG of their patient.

    Parameters
    ----------
    ecgs
        Rows of ``ecgs.csv`` with ``patient_id``; of a dataset, hand over the labelled ones if only these count.

    Returns
    -------
    (n,) bool array, one True a patient: the earliest by the time column (see :func:`time_column`), ECGs without a time
    after those with one; of equals, and where no column says the time, the first row.

    Raises
    ------
    InputError
        When the time column has a cell that is neither empty, nor a number, nor a time in ISO 8601.

    Examples
    --------
    >>> import pandas as pd
    >>> from omi_keras.data.first_ecgs import first_ecgs
    >>> first_ecgs(pd.DataFrame({"patient_id": ["p1", "p1", "p2"], "time": ["2026-01-02", "2026-01-01", ""]})).tolist()
    [False, True, True]
    """
    column = time_column(ecgs)
    when = [0.0] * len(ecgs) if column is None else _times(column, ecgs[column])
    first: dict[str, int] = {}
    for row, patient in enumerate(one_form(str(name)) for name in ecgs["patient_id"]):
        if patient not in first or when[row] < when[first[patient]]:
            first[patient] = row
    found = np.zeros(len(ecgs), bool)
    found[list(first.values())] = True
    return found


def time_column(ecgs: pd.DataFrame) -> str | None:
    """The column of ``ecgs`` that says when each was recorded, whatever its case: one of :data:`TIME_COLUMNS`."""
    by_name = {str(name).casefold(): str(name) for name in reversed(list(ecgs.columns))}
    return next((by_name[name] for name in TIME_COLUMNS if name in by_name), None)


def _times(column: str, cells: pd.Series) -> list[float]:
    """Seconds, infinite where the cell is empty."""
    text = ["" if pd.isna(cell) else str(cell).strip() for cell in cells]
    # Dates such as 20260131 are numbers, too, and in the same order.
    kinds: tuple[Callable[[str], float], ...] = (_number, _seconds)
    for read in kinds:
        try:
            return [read(cell) if cell else math.inf for cell in text]
        except ValueError as error:
            found = str(error)
    raise InputError(
        f"column {column} decides which ECG of a patient is the first, so its cells must be times in ISO 8601 "
        f"(2026-01-31 12:30:00), all numbers, or empty; found {found!r}",
        "bad_times",
    )


def _number(cell: str) -> float:
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(cell)
    return value


def _seconds(cell: str) -> float:
    try:
        time = dt.datetime.fromisoformat(cell)
    except ValueError:
        raise ValueError(cell) from None
    # Times without a zone are compared as if all were of one.
    return time.replace(tzinfo=time.tzinfo or dt.timezone.utc).timestamp()
