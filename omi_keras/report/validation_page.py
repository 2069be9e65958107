"""A validation → its page and figures: the page of an evaluation, which says what is different here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from omi_keras.drawing.curves import calibration_panel, decision_panel, recall_panel, roc_panel
from omi_keras.drawing.figures import curves_figure, single, with_title
from omi_keras.evaluation.calibration import DECISION_THRESHOLDS
from omi_keras.evaluation.comparison import FoldTest
from omi_keras.evaluation.finished import EQUAL, FALSE, OPERATING_POINT, STATED
from omi_keras.report.cells import Cell, count, difference, metric, number, p_value
from omi_keras.report.looks import Looks, first_looks
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
from omi_keras.report.provenance import validation_provenance
from omi_keras.report.wrongest import wrongest

if TYPE_CHECKING:
    from omi_keras.report.validation import Validation

_METRICS = {"auc": "AUC", "ap": "AP", EQUAL: "Sensitivity at equal specificity"}
_FIT = {"brier": "Brier score", "calibration_slope": "Slope", "calibration_intercept": "Intercept"}
_COLUMNS: dict[str, Columns] = {
    "metrics": (
        ("Model", "ECGs", "Patients", "OMI", "AUC", "AP", *_FIT.values()),
        lambda row: [
            str(row["model"]), *(count(row[name]) for name in ("ecgs", "patients", "omi")),
            *(metric(row, name) for name in ("auc", "ap", *_FIT)),
        ],
    ),
    "comparison": (
        ("First", "Second", "Metric", "ECGs", "First has", "Second has", "Difference", "p", "p, Holm"),
        lambda row: [
            str(row["first"]), str(row["second"]), _METRICS.get(row["metric"], str(row["metric"]).capitalize()),
            count(row["ecgs"]), number(row["first_value"]), number(row["second_value"]), difference(row),
            p_value(row["p"]), p_value(row["p_holm"]),
        ],
    ),
    "decisions": (
        (
            "Who", "Rule", "Threshold", "False per 100", *COUNTS.values(), "Sensitivity", "Specificity", "PPV", "NPV",
        ),
        lambda row: [
            str(row["model"]), str(row["rule"]), threshold(row), metric(row, FALSE, 1), *confusion_cells(row)
        ],
    ),
    "subgroups": (("Model", *SUBGROUPS), lambda row: [str(row["model"]), *subgroup_cells(row)]),
    "errors": ERRORS,
}  # fmt: skip


def validation_html(of: Validation) -> str:
    """The page: one file, no request, all text escaped, the same bytes for the same numbers."""
    tables = {
        "metrics": of.found.measured,
        "comparison": of.comparison,
        "decisions": of.decisions,
        "subgroups": of.subgroups,
        "errors": _errors(of),
    }
    return render(
        "validation.html.j2",
        title=f"Validation: {', '.join(judge.name for judge in of.judges)}",
        simulated=of.simulated,
        warnings=of.warnings,
        cards=_cards(of),
        notes=of.notes,
        model=of.judges[0].name,
        tables=page_tables(_COLUMNS, tables, validation_provenance(of)),
        figures=_panels(of),
        looks=of.looks,
    )


def figures(of: Validation) -> dict[str, Figure]:
    """Figures as files, by name."""
    found = {"curves": curves_figure(_curves(of), _limits(of), "Validation", of.simulated, _rules(of))}
    for name in ("calibration", "decision_curve"):
        for figure in _clinical(of)[name].values():
            found[name] = with_title(figure, "Validation", of.simulated)
    return found


def _panels(of: Validation) -> dict[str, dict[str, Figure]]:
    curves, limits = _curves(of), _limits(of)
    return {
        "curves": {
            "ROC": single(lambda axes: roc_panel(axes, curves, limits, _rules(of))),
            "precision-recall": single(lambda axes: recall_panel(axes, curves, limits)),
        },
        **_clinical(of),
    }


def _clinical(of: Validation) -> dict[str, dict[str, Figure]]:
    bins = {str(model): part for model, part in of.calibration.groupby("model", sort=False)}
    curves = of.decision_curve.groupby("rule", sort=False)
    benefit = {str(rule): part["net_benefit"].to_numpy() for rule, part in curves}
    return {
        "calibration": {"Calibration": single(lambda axes: calibration_panel(axes, bins), columns=2)},
        "decision_curve": {
            "Decision curve": single(lambda axes: decision_panel(axes, DECISION_THRESHOLDS, benefit), columns=2)
        },
    }


def _curves(of: Validation) -> dict[str, tuple[Any, Any, Any]]:
    found = of.found
    return {name: (found.omi, answers.probability, found.patient_id) for name, answers in found.models.items()}


def _limits(of: Validation) -> dict[str, float]:
    return {judge.name: judge.threshold for judge in of.judges}


def _rules(of: Validation) -> dict[str, tuple[float, float]]:
    """Specificity and sensitivity of the comparators, where both are known."""
    stated = of.decisions[of.decisions["rule"] == STATED].dropna(subset=["specificity", "sensitivity"])
    return {row["model"]: (row["specificity"], row["sensitivity"]) for row in records(stated)}


def _cards(of: Validation) -> list[tuple[str, str, str]]:
    first, mark = of.judges[0].name, ", simulated" if of.simulated else ""
    row = records(of.found.measured)[0]
    decided = of.decisions[(of.decisions["model"] == first) & (of.decisions["rule"] == OPERATING_POINT)]
    at = records(decided)[0]

    def card(name: str, cell: Cell, about: str = "95 % ") -> tuple[str, str, str]:
        return name, cell.text, about + cell.detail if cell.detail else ""

    others = len(of.judges) - 1
    return [
        ("Model", first, f"and {others} more below" if others else ""),
        (
            "Judged on",
            f"{int(row['ecgs']):,} ECGs{mark}",
            f"{int(row['patients']):,} patients, {int(row['omi']):,} ECGs with OMI",
        ),
        card("AUC", metric(row, "auc")),
        card("Average precision", metric(row, "ap")),
        card("Sensitivity", metric(at, "sensitivity", 2), "at its own threshold, 95 % "),
        card("Specificity", metric(at, "specificity", 2), "at its own threshold, 95 % "),
        card("False activations per 100 ECGs", metric(at, FALSE, 1)),
    ]


def looks(of: Validation) -> Looks:
    """Pictures of the ECGs on which the first model was most wrong."""
    judge = of.judges[0]
    how: dict[str, Any] = {"records": of.records, "bands": judge.bands, "model_simulated": judge.simulated}
    groups = of.found.groups
    return first_looks(_first(of), groups, of.data.dataset, of.pictures, explain=judge.explain(), **how)


def _errors(of: Validation) -> pd.DataFrame:
    """ECGs on which the first model was most wrong."""
    ecgs = of.data.ecgs.set_index("ecg_id")
    return wrongest(_first(of), lambda names: ecgs.loc[names])


def _first(of: Validation) -> FoldTest:
    """What the first model said."""
    return next(iter(of.found.tests[of.judges[0].name].values()))
