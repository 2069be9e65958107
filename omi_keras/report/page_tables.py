"""Data frames → a page's tables: the columns that evaluations and validations share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from omi_keras.evaluation.decisions import RATES
from omi_keras.evaluation.subgroups import METRICS
from omi_keras.report.cells import Cell, Table, count, metric, number

Row = dict[str, Any]
# Headings, and the cells of a row.
Columns = tuple[tuple[str, ...], Callable[[Row], list[Cell | str]]]

COUNTS = {"true_positive": "TP", "false_positive": "FP", "false_negative": "FN", "true_negative": "TN"}
SUBGROUPS = ("Subgroup", "ECGs", "Patients", "OMI", "AUC", "Sensitivity", "Specificity", "PPV", "NPV")
ERRORS: Columns = (
    ("ECG", "Error", "P(OMI)", "Known about it"),
    lambda row: [str(row["ecg_id"]), str(row["error"]), number(row["probability"]), str(row["facts"])],
)


def page_tables(
    columns: Mapping[str, Columns], tables: Mapping[str, pd.DataFrame], provenance: Mapping[str, str]
) -> dict[str, Table | None]:
    """Each table of a page by its name; None where there is none, or it has no rows."""
    found: dict[str, Table | None] = {"provenance": Table(("What", "Value"), provenance.items())}
    for name, (headings, cells) in columns.items():
        rows = records(tables.get(name, pd.DataFrame()))
        found[name] = Table(headings, [cells(row) for row in rows]) if rows else None
    return found


def records(table: pd.DataFrame) -> list[Row]:
    """Rows by the names of their columns."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def threshold(row: Row) -> Cell | str:
    """A threshold; a dash for what has none."""
    return "–" if pd.isna(row["threshold"]) else number(row["threshold"])


def confusion_cells(row: Row) -> list[Cell | str]:
    """Counts and rates of a decision."""
    return [*(count(row[name]) for name in COUNTS), *(metric(row, name) for name in RATES)]


def subgroup_cells(row: Row) -> list[Cell | str]:
    """A subgroup's name, size and metrics."""
    return [
        f"{row['group']}: {row['value']}" if row["value"] else str(row["group"]),
        *(count(row[name]) for name in ("ecgs", "patients", "omi")),
        *(metric(row, name) for name in METRICS),
    ]
