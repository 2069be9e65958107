"""An evaluation's tables and figures → ``report.html``: which columns are shown, and how each number is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from omi_keras.report.cells import Cell, Table, count, difference, metric, p_value, spread
from omi_keras.report.looks import Looks
from omi_keras.report.page import render
from omi_keras.report.page_tables import (
    COUNTS,
    ERRORS,
    SUBGROUPS,
    Columns,
    confusion_cells,
    page_tables,
    records,
    subgroup_cells,
    threshold,
)

_TABLE4 = {"val_auc": "Val AUC", "val_ap": "Val AP", "test_auc": "Test AUC", "test_ap": "Test AP"}
_TABLE5 = {
    "accuracy": "Accuracy", "sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV",
    "f1": "F1", "auc": "AUC", "ap": "AP",
}  # fmt: skip
_FIGURES = ("history", "curves", "calibration", "decision_curve")


@dataclass(frozen=True)
class Evidence:
    """What a report shows.

    Attributes
    ----------
    title
        Heading of the page.
    simulated
        True when any ECG comes from the simulator.
    selected
        ``model``, ``fold``, ``threshold`` and ``by`` of the model that Table 5 is about.
    tables
        ``table4``, ``table5``, ``intervals``, ``comparison``, ``decisions``, ``subgroups``, ``errors``: those that
        there are.
    figures
        ``history``, ``curves``, ``calibration``, ``decision_curve`` → heading → one-panel figure.
    provenance
        Name → value, text.
    notes
        What was left out and why.
    looks
        Pictures of the ECGs to look at first; None: their table alone.
    """

    title: str
    simulated: bool
    selected: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, Mapping[str, Figure]]
    provenance: Mapping[str, str]
    notes: list[str] = field(default_factory=list)
    looks: Looks | None = None


def report_html(evidence: Evidence) -> str:
    """Return the page: one file, no request, all text escaped, the same bytes for the same evidence."""
    return render(
        "report.html.j2",
        title=evidence.title,
        simulated=evidence.simulated,
        selected=evidence.selected,
        warnings=[],
        cards=_cards(evidence),
        notes=evidence.notes,
        tables=_tables(evidence),
        figures={name: evidence.figures.get(name, {}) for name in _FIGURES},
        looks=evidence.looks,
    )


def _cards(evidence: Evidence) -> list[tuple[str, str, str]]:
    of = next(row for row in records(evidence.tables["intervals"]) if row["model"] == evidence.selected["model"])
    test = next(row for row in records(evidence.tables["table5"]) if row["split"] == "test")
    over = "mean over test folds, 95 % " if of["folds"] > 1 else "one test fold, 95 % "
    mark = ", simulated" if evidence.simulated else ""

    def card(name: str, cell: Cell, about: str) -> tuple[str, str, str]:
        return name, cell.text, about + cell.detail if cell.detail else ""

    return [
        (
            "Best model by validation",
            str(evidence.selected["model"]),
            f"{int(of['folds'])} fold{'s' * (of['folds'] > 1)} tested",
        ),
        card("Test AUC", metric(of, "auc"), over),
        card("Test average precision", metric(of, "ap"), over),
        card("Sensitivity", metric(test, "sensitivity", 2), "selected fold, 95 % "),
        card("Specificity", metric(test, "specificity", 2), "selected fold, 95 % "),
        (
            "Tested on",
            f"{int(of['ecgs']):,} ECGs{mark}",
            f"{int(of['patients']):,} patients, {int(of['omi']):,} ECGs with OMI",
        ),
    ]


def _tables(evidence: Evidence) -> dict[str, Table | None]:
    """Each table of the page; None where the evidence has none."""
    columns: dict[str, Columns] = {
        "table4": (
            ("Model", *_TABLE4.values(), "Folds"),
            lambda row: [str(row["model"]), *(spread(row, name) for name in _TABLE4), count(row["folds"])],
        ),
        "intervals": (
            ("Model", "Test AUC", "Test AP", "Brier score"),
            lambda row: [str(row["model"]), *(metric(row, name) for name in ("auc", "ap", "brier"))],
        ),
        "comparison": (
            ("First", "Second", "Metric", "Folds", "Difference", "p", "p, Holm"),
            lambda row: [
                str(row["first"]), str(row["second"]), str(row["metric"]).upper(), count(row["folds"]),
                difference(row), p_value(row["p"]), p_value(row["p_holm"]),
            ],
        ),
        "table5": (
            ("Split", *_TABLE5.values()),
            lambda row: [str(row["split"]), *(metric(row, name) for name in _TABLE5)],
        ),
        "decisions": (
            ("Rule", "Split", "Threshold", *COUNTS.values(), "Sensitivity", "Specificity", "PPV", "NPV"),
            lambda row: [str(row["rule"]), str(row["split"]), threshold(row), *confusion_cells(row)],
        ),
        "subgroups": (SUBGROUPS, subgroup_cells),
        "errors": ERRORS,
    }  # fmt: skip
    return page_tables(columns, evidence.tables, evidence.provenance)
