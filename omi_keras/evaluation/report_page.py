"""The tables and figures of an evaluation in the order in which they are read: ``report.html``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from omi_keras.drawing.svg import svg
from omi_keras.evaluation import page
from omi_keras.evaluation.decisions import RATES
from omi_keras.evaluation.page import Cell, Markup, count, number
from omi_keras.evaluation.subgroups import METRICS

_TABLE4 = (("val_auc", "Val AUC"), ("val_ap", "Val AP"), ("test_auc", "Test AUC"), ("test_ap", "Test AP"))
_TABLE5 = {
    "accuracy": "Accuracy", "sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV",
    "f1": "F1", "auc": "AUC", "ap": "AP",
}  # fmt: skip
_SIMULATED = (
    "SIMULATED data: these ECGs were made by a program. The numbers show that the method works; they say nothing "
    "about patients."
)
_BY_TEST = (
    "The fold was chosen by its validation score. The paper chose by test score: of ten models the one that its test "
    "ECGs happened to suit best. Its test result then is the best of ten draws and would not be met again with new "
    "ECGs. Chosen by validation, the test ECGs have decided nothing, and their result can be believed."
)


_RULES = (
    "What each rule would have decided. Thresholds are chosen on validation. Below the threshold for ruling out, OMI "
    "is unlikely; from the threshold for ruling in, at least every second alarm was OMI on validation; ECGs between "
    "the two stay open. Where the model is so good that the threshold for ruling in is the lower one, none stay open. "
    "STEMI criteria, where the dataset is at hand: ST elevation in millimetres by the universal definition of "
    "infarction, what OMI detectors are compared with; the model is also shown at the specificity that they have on "
    "validation."
)
_CALIBRATION = (
    "Groups of equal numbers of ECGs; bars: 95 %. On the dotted line, 30 % means 30 in 100. Training on as "
    "many OMI as other ECGs makes probabilities too high, and the points lie below the line: ranks and decisions at a "
    "threshold chosen on validation do not suffer, the probabilities themselves do."
)
_DECISION_CURVE = (
    "True alarms minus false ones, weighed by the probability from which on one would act. A rule is worth using where "
    "its line is above treat all and treat none."
)
_SUBGROUPS = (
    "All test folds of the best model, each ECG at the threshold of its fold. AUC orders ECGs within a fold only. "
    "Undefined: the subgroup has no ECGs of the class that the number is about, such as specificity among occlusions "
    "of one artery, or fewer than two patients of either class for AUC."
)


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
    """

    title: str
    simulated: bool
    selected: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, Mapping[str, Figure]]
    provenance: Mapping[str, str]
    notes: list[str] = field(default_factory=list)


def report_html(evidence: Evidence) -> str:
    """Return the page: one file, no request, all text escaped, the same bytes for the same evidence."""
    parts = [
        page.paragraph(_SIMULATED, "banner") if evidence.simulated else Markup(""),
        _summary(evidence),
        *(page.paragraph(note, "soft") for note in evidence.notes),
        _models(evidence),
        _selected(evidence),
        _decisions(evidence),
        _probabilities(evidence),
        _subgroups(evidence),
        _errors(evidence),
        page.section(
            "Where this comes from",
            page.table("Provenance", ("What", "Value"), evidence.provenance.items()),
            page.paragraph("Research software, not a medical device.", "soft"),
        ),
    ]
    return page.document(evidence.title, *(part for part in parts if part))


def _summary(evidence: Evidence) -> Markup:
    of = next(row for row in _records(evidence.tables["intervals"]) if row["model"] == evidence.selected["model"])
    test = next(row for row in _records(evidence.tables["table5"]) if row["split"] == "test")
    auc, ap = (number(of[name], of[f"{name}_lo"], of[f"{name}_hi"]) for name in ("auc", "ap"))
    caught = number(test["sensitivity"], test["sensitivity_lo"], test["sensitivity_hi"], digits=2)
    spared = number(test["specificity"], test["specificity_lo"], test["specificity_hi"], digits=2)
    mark = ", simulated" if evidence.simulated else ""
    over = "mean over test folds, 95 % " if of["folds"] > 1 else "one test fold, 95 % "
    return page.cards(
        [
            (
                "Best model by validation",
                str(evidence.selected["model"]),
                f"{int(of['folds'])} fold{'s' * (of['folds'] > 1)} tested",
            ),
            ("Test AUC", auc.text, over + auc.detail if auc.detail else ""),
            ("Test average precision", ap.text, over + ap.detail if ap.detail else ""),
            ("Sensitivity", caught.text, f"selected fold, 95 % {caught.detail}" if caught.detail else ""),
            ("Specificity", spared.text, f"selected fold, 95 % {spared.detail}" if spared.detail else ""),
            (
                "Tested on",
                f"{int(of['ecgs']):,} ECGs{mark}",
                f"{int(of['patients']):,} patients, {int(of['omi']):,} ECGs with OMI",
            ),
        ]
    )


def _models(evidence: Evidence) -> Markup:
    mean = evidence.tables["table4"]
    rows: list[list[Cell | str]] = [
        [
            str(row["model"]),
            *(
                Cell(
                    number(row[f"{name}_mean"]).text, row[f"{name}_mean"],
                    "" if pd.isna(row[f"{name}_sd"]) else f"± {row[f'{name}_sd']:.3f}",
                )
                for name, _ in _TABLE4
            ),
            count(row["folds"]),
        ]
        for row in _records(mean)
    ]  # fmt: skip
    parts = [
        page.table(
            "Table 4. Area under the ROC curve (AUC) and average precision (AP), mean ± SD over folds.",
            ("Model", *(heading for _, heading in _TABLE4), "Folds"),
            rows,
        ),
        page.table(
            "Mean over test folds with 95 % interval: patients resampled within their folds. Brier score: 0 is "
            "perfect.",
            ("Model", "Test AUC", "Test AP", "Brier score"),
            (
                [str(row["model"]), *(_metric(row, name) for name in ("auc", "ap", "brier"))]
                for row in _records(evidence.tables["intervals"])
            ),
        ),
    ]
    comparison = evidence.tables.get("comparison")
    if comparison is not None and len(comparison):
        parts.append(
            page.table(
                "Paired differences on the same test folds, first minus second, with 95 % interval. AUC: DeLong's test "
                "with the ECGs of a patient clustered; AP: paired bootstrap of patients. p is also given corrected for "
                "all tests in this table (Holm).",
                ("First", "Second", "Metric", "Folds", "Difference", "p", "p, Holm"),
                (
                    [
                        str(row["first"]), str(row["second"]), str(row["metric"]).upper(), count(row["folds"]),
                        _signed(row), _p(row["p"]), _p(row["p_holm"]),
                    ]
                    for row in _records(comparison)
                ),
            )
        )  # fmt: skip
    parts += _drawn(evidence, "history", "Figure 5. Validation during training, mean over folds ± 1 SD")
    return page.section("Models", *parts)


def _selected(evidence: Evidence) -> Markup:
    chosen = evidence.selected
    mark = ", simulated" if evidence.simulated else ""
    rows: list[list[Cell | str]] = [
        [str(row["split"]), *(_metric(row, name) for name in _TABLE5)] for row in _records(evidence.tables["table5"])
    ]
    return page.section(
        "Selected model",
        page.paragraph(
            f"{chosen['model']}, fold {chosen['fold']}: OMI when P(OMI) ≥ {chosen['threshold']:.3f}, the threshold "
            f"with the highest F1 on validation. {_BY_TEST}"
        ),
        page.table(
            "Table 5. At the operating point, with 95 % intervals, patients clustered" + mark + ".",
            ("Split", *_TABLE5.values()),
            rows,
        ),
        *_drawn(evidence, "curves", "Figure 6" + mark),
    )


def _decisions(evidence: Evidence) -> Markup:
    rows: list[list[Cell | str]] = [
        [
            str(row["rule"]), str(row["split"]),
            Cell("–", None) if pd.isna(row["threshold"]) else number(row["threshold"]),
            *(count(row[name]) for name in ("true_positive", "false_positive", "false_negative", "true_negative")),
            *(_metric(row, name) for name in RATES),
        ]
        for row in _records(evidence.tables["decisions"])
    ]  # fmt: skip
    return page.section(
        "Decisions",
        page.paragraph(
            _RULES
        ),
        page.table(
            "Confusion matrix (TP: OMI with alarm, FP: false alarms, FN: missed OMI, TN: rightly quiet) and rates, "
            "with 95 % intervals, patients clustered.",
            (
                "Rule", "Split", "Threshold", "TP", "FP", "FN", "TN", "Sensitivity", "Specificity", "PPV", "NPV",
            ),
            rows,
        ),
    )  # fmt: skip


def _probabilities(evidence: Evidence) -> Markup:
    drawn = [
        (svg(figure, heading), caption)
        for kind, caption in (
            (
                "calibration",
                _CALIBRATION,
            ),
            (
                "decision_curve",
                _DECISION_CURVE,
            ),
        )
        for heading, figure in evidence.figures.get(kind, {}).items()
    ]
    mark = " (simulated)" if evidence.simulated else ""
    text = "All test folds together: each ECG is judged once, by the model that did not see its patient."
    return page.section("Probabilities" + mark, page.paragraph(text), page.figures(drawn)) if drawn else Markup("")


def _subgroups(evidence: Evidence) -> Markup:
    groups = evidence.tables.get("subgroups")
    if groups is None:
        return Markup("")
    rows: list[list[Cell | str]] = [
        [
            f"{row['group']}: {row['value']}" if row["value"] else str(row["group"]),
            *(count(row[name]) for name in ("ecgs", "patients", "omi")),
            *(_metric(row, name) for name in METRICS),
        ]
        for row in _records(groups)
    ]
    headings = ("Subgroup", "ECGs", "Patients", "OMI", "AUC", "Sensitivity", "Specificity", "PPV", "NPV")
    return page.section(
        "Subgroups",
        page.paragraph(_SUBGROUPS),
        page.table("With 95 % intervals, patients clustered. Many subgroups: some differ by chance.", headings, rows),
    )


def _errors(evidence: Evidence) -> Markup:
    errors = evidence.tables.get("errors")
    if errors is None or not len(errors):
        return Markup("")
    rows: list[list[Cell | str]] = [
        [str(row["ecg_id"]), str(row["error"]), number(row["probability"]), str(row["facts"])]
        for row in _records(errors)
    ]
    return page.section(
        "To look at first",
        page.paragraph("Test ECGs of the selected fold on which the model was most wrong, or the label is."),
        page.table("Missed OMI of lowest and false alarms of highest probability.",
                   ("ECG", "Error", "P(OMI)", "Known about it"), rows),
    )  # fmt: skip


def _drawn(evidence: Evidence, kind: str, caption: str) -> list[Markup]:
    panels = evidence.figures.get(kind, {})
    if not panels:
        return []
    drawn = [(svg(figure, f"{caption}: {heading}"), "") for heading, figure in panels.items()]
    return [page.paragraph(caption, "soft"), page.figures(drawn)]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _metric(row: Mapping[str, Any], name: str) -> Cell:
    return number(row[name], row[f"{name}_lo"], row[f"{name}_hi"])


def _signed(row: Mapping[str, Any]) -> Cell:
    if pd.isna(row["difference"]):
        return number(row["difference"])
    detail = "" if pd.isna(row["lo"]) else f"{row['lo']:+.3f} to {row['hi']:+.3f}"
    return Cell(f"{row['difference']:+.3f}", row["difference"], detail)


def _p(value: float) -> Cell:
    return number(value) if pd.isna(value) or value >= 0.001 else Cell("< 0.001", value)
