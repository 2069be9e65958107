"""What stands in a page's tables: numbers with their intervals as text, and what they sort by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

UNDEFINED = "undefined"
# Longer text may break into lines.
LONG = 30


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    text
        What it says.
    value
        What it sorts by, for numbers; NaN sorts last.
    detail
        A second, smaller line.
    """

    text: str
    value: float | None = None
    detail: str = ""

    @property
    def sort(self) -> str | None:
        """What the page's script sorts by: None for text, empty for what is undefined."""
        if self.value is None:
            return None
        return "" if math.isnan(self.value) else f"{self.value:.9g}"

    @property
    def long(self) -> bool:
        """Whether the text may break into lines."""
        return len(self.text) > LONG


class Table:
    """Headings and rows; a plain string is a cell of text."""

    def __init__(self, headings: Sequence[str], rows: Iterable[Sequence[Cell | str]]) -> None:
        self.headings = tuple(headings)
        self.cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
        self.textual = [all(row[k].value is None for row in self.cells) for k in range(len(self.headings))]


def number(value: float, low: float = math.nan, high: float = math.nan, digits: int = 3) -> Cell:
    """Return a number, with its interval below it where there is one; NaN says undefined."""
    if math.isnan(value):
        return Cell(UNDEFINED, math.nan)
    detail = "" if math.isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"
    return Cell(f"{value:.{digits}f}", value, detail)


def count(value: float) -> Cell:
    """Return a whole number with thousands; NaN says undefined."""
    return Cell(UNDEFINED, math.nan) if math.isnan(value) else Cell(f"{value:,.0f}", value)


def metric(row: Mapping[str, Any], name: str, digits: int = 3) -> Cell:
    """Return a number of a row with the interval that stands beside it as ``_lo`` and ``_hi``."""
    return number(row[name], row[f"{name}_lo"], row[f"{name}_hi"], digits)


def spread(row: Mapping[str, Any], name: str) -> Cell:
    """Return a mean over folds with its SD, which one fold does not have."""
    detail = "" if pd.isna(row[f"{name}_sd"]) else f"± {row[f'{name}_sd']:.3f}"
    return Cell(number(row[f"{name}_mean"]).text, row[f"{name}_mean"], detail)


def difference(row: Mapping[str, Any]) -> Cell:
    """Return a signed difference with its interval."""
    if pd.isna(row["difference"]):
        return number(row["difference"])
    detail = "" if pd.isna(row["lo"]) else f"{row['lo']:+.3f} to {row['hi']:+.3f}"
    return Cell(f"{row['difference']:+.3f}", row["difference"], detail)


def p_value(value: float) -> Cell:
    """Return a p value; below 0.001 it says only that."""
    return number(value) if pd.isna(value) or value >= 0.001 else Cell("< 0.001", value)
