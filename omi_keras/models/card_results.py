"""The parts of a model card that are numbers: metrics, subgroups, operating point and bands, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omi_keras.models.markdown import inside, interval, kind_of_ecgs, listed, mapping, number, plain_text, table
from omi_keras.recordings.numbers import is_number

_METRICS = {
    "auc": "AUC", "ap": "average precision", "sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV",
    "npv": "NPV", "f1": "F1", "accuracy": "accuracy",
}  # fmt: skip
_SPLITS = {
    "validation": "Validation: ECGs that chose the epoch or candidate, and the threshold.",
    "test": "Test: ECGs of patients that had no part in training.",
    "out_of_fold": "Out of fold: the test ECGs of all folds, each judged by the model of its own fold and not by the "
    "ensemble.",
    "cross_fitted": "Cross-fitted: local ECGs, each judged by a recalibration that the others decided.",
}
_RATES = {"rule_out": ("sensitivity", "npv"), "rule_in": ("ppv", "sensitivity")}


def metrics_lines(info: Mapping[str, Any]) -> list[str]:
    """A table of every part that was judged, with 95 % intervals over patients where these are known."""
    parts = {name: found for name, found in mapping(info.get("metrics")).items() if isinstance(found, dict) and found}
    if not parts:
        return ["Not known: nobody has judged it here."]
    rows = []
    for metric, name in _METRICS.items():
        if any(is_number(found.get(metric)) for found in parts.values()):
            rows.append([name, *(_with_interval(info, part, metric) for part in parts)])
    mark = " (simulated)" if info.get("simulated") else ""
    headings = [
        f"at threshold {number(info.get('threshold'))}{mark}",
        *(plain_text(part.replace("_", " ")) for part in parts),
    ]
    known = [f"- {_SPLITS[part]}" for part in parts if part in _SPLITS]
    return [*table(headings, rows)[1:], *known, "- In brackets: 95 % intervals, patients resampled or clustered."]


def _with_interval(info: Mapping[str, Any], part: str, metric: str) -> str:
    found = info["metrics"][part]
    low, high = (found.get(f"{metric}_{end}") for end in ("lo", "hi"))
    ends = inside(info.get("intervals"), f"{part}.{metric}")
    if isinstance(ends, list | tuple) and len(ends) == 2:
        low, high = ends
    return interval(found.get(metric), low, high)


def subgroups_lines(info: Mapping[str, Any]) -> list[str]:
    """A table of sites, sexes and ages."""
    rows = [row for row in listed(info.get("subgroups")) if isinstance(row, dict)]
    if not rows:
        return ["Not known to this folder: the table is made where the dataset is at hand when a model is selected."]
    names = ("auc", "sensitivity", "specificity")
    cells = [
        [
            plain_text(f"{row.get('group')} {row.get('value') or ''}".strip()),
            *(number(row.get(count)) for count in ("ecgs", "patients", "omi")),
            *(interval(*(row.get(f"{name}{end}") for end in ("", "_lo", "_hi"))) for name in names),
        ]
        for row in rows
    ]
    simulated = " Simulated." if info.get("simulated") else ""
    what = "the test ECGs"
    if info.get("members", 1) != 1:
        what = "the test ECGs of all folds, each judged by its own (AUC: ECGs of one fold compared with each other)"
    return [
        f"On {what}, at the operating point.{simulated}",
        *table(("group", "ECGs", "patients", "OMI", *(_METRICS[name] for name in names)), cells),
        "Few patients make wide intervals; a difference between two rows may be chance.",
    ]


def bands_lines(info: Mapping[str, Any]) -> list[str]:
    """The threshold, and from where on OMI is ruled in and out."""
    lines = [f"- OMI when P(OMI) is at least {number(info.get('threshold'))}{_chosen(info)}."]
    bands, details = info.get("bands"), info.get("bands_details")
    if not isinstance(bands, dict):
        return [*lines, "- Bands: none were looked for."]
    for side, sign in (("rule_out", "below"), ("rule_in", "at least")):
        name = "Ruled out" if side == "rule_out" else "Ruled in"
        if bands.get(side) is None:
            lines.append(f"- {name}: never; no threshold reaches the target.")
            continue
        found = mapping(inside(details, side))
        rates = ", ".join(
            f"{_METRICS[rate]} {interval(*(found.get(f'{rate}{end}') for end in ('', '_lo', '_hi')))}"
            for rate in _RATES[side]
            if is_number(found.get(rate))
        )
        lines.append(f"- {name}: P(OMI) {sign} {number(bands[side])}{f' ({rates})' if rates else ''}.")
    lines.append("- Between the two: open; the ECG does not decide.")
    if is_number(patients := inside(details, "omi_patients")):
        lines.append(f"- These thresholds come from {number(patients)} patients with OMI.")
    return lines


def _chosen(info: Mapping[str, Any]) -> str:
    if info.get("calibration"):
        return ", the threshold with the highest F1 on the local ECGs"
    if inside(info.get("provenance"), "imported_from") is not None:
        return ", as whoever imported it said"
    where = "the out-of-fold predictions" if info.get("members", 1) != 1 else "the validation ECGs"
    return f", the threshold with the highest F1 on {where}"


def calibration_lines(info: Mapping[str, Any]) -> list[str]:
    """Whether its probabilities were fitted to anybody, and to whom."""
    calibration = info.get("calibration")
    if not isinstance(calibration, dict):
        lines = ["Not recalibrated: its probabilities are those of training."]
        if inside(info.get("provenance"), "balance") in ("batch", "class"):
            lines += ["", "Both classes weighed the same in training, so P(OMI) is too high where OMI is rarer."]
        return [
            *lines,
            "",
            "Compare predicted with observed shares before they are read as risks (`omi-keras validate`).",
        ]
    kind = kind_of_ecgs(calibration.get("simulated"))
    counts = f"{number(calibration.get('ecgs'))} local {kind} ECGs of {number(calibration.get('patients'))} patients"
    return [
        f"Recalibrated ({plain_text(calibration.get('method'))}) by {counts}, "
        f"{number(calibration.get('omi_patients'))} of them with OMI: log odds of training × "
        f"{number(calibration.get('slope'))} + {number(calibration.get('intercept'))}. The order of ECGs is unchanged.",
        "",
        f"Brier score {number(inside(calibration, 'brier.before'))} before, "
        f"{number(inside(calibration, 'brier.cross_fitted'))} after, cross-fitted.",
    ]
