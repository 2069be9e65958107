"""CSV files that this package wrote, read back: every cell is what its column must hold, or the row is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from omi_keras.recordings.errors import InputError

# Cells of a column → values, and which of them are good.
Kind = Callable[[pd.Series], tuple[pd.Series, np.ndarray]]


def text(cells: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """anything"""
    return cells, np.ones(len(cells), bool)


def name(cells: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """a name"""
    return cells, (cells != "").to_numpy(bool)


def whole(cells: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """a whole number from 0 on"""
    good = cells.str.fullmatch("[0-9]{1,15}").to_numpy(bool)
    return cells.where(good, "0").astype(np.int64), good


def label(cells: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """0 or 1"""
    good = cells.isin(["0", "1"]).to_numpy(bool)
    return cells.where(good, "0").astype(np.int64), good


def label_or_empty(cells: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """0, 1 or empty"""
    values = pd.to_numeric(cells.where(cells.isin(["0", "1"])), errors="coerce")
    return values.astype("Int64"), cells.isin(["0", "1", ""]).to_numpy(bool)


def number(cells: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """a number or empty"""
    values, good = np.full(len(cells), np.nan), np.ones(len(cells), bool)
    for row, cell in enumerate(cells):
        try:
            # Python reads back the very number that was written; pandas' own parser may not.
            values[row] = float(cell) if cell else np.nan
        except ValueError:
            good[row] = False
    return pd.Series(values, cells.index), good


def probability(cells: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """a probability from 0 to 1"""
    values, _ = number(cells)
    return values, values.between(0, 1).to_numpy(bool)


def age(cells: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """a number of years or empty"""
    values, good = number(cells)
    return values, good & (values.between(0, 150) | (cells == "")).to_numpy(bool)


def split(cells: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """validation or test"""
    return cells, cells.isin(["validation", "test"]).to_numpy(bool)


def read_table(path: Path, kinds: Mapping[str, Kind], again: str, *, rest: Kind = text) -> pd.DataFrame:
    """Read a CSV file that this package wrote.

    Parameters
    ----------
    kinds
        What the columns hold that must be there.
    again
        What makes the file anew, for messages: ``"train this fold again"``.
    rest
        What all other columns hold.

    Raises
    ------
    InputError
        When the file is missing, is no CSV, lacks a column, or has a cell that is not of its kind.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} not found; {again}", "not_found") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not readable: {error}; {again}", "unreadable") from None
    missing = [column for column in kinds if column not in table.columns]
    if missing:
        raise InputError(f"{path} lacks the column {missing[0]}; {again}", "unreadable")
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{path} has rows with more cells than its header; {again}", "unreadable")
    for column in table.columns:
        kind = kinds.get(column, rest)
        values, good = kind(table[column])
        if not good.all():
            row = int(np.argmin(good))
            cell = str(table[column].iat[row])
            shown = cell if len(cell) <= 40 else f"{cell[:37]}..."
            # Row 1 is the header, as a person counts in an editor.
            raise InputError(
                f"{path} row {row + 2}: {column} must be {kind.__doc__}, found {shown!r}; it was altered, {again}",
                "altered",
            )
        table[column] = values
    return table
