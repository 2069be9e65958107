"""The paper's Tables 4 and 5 as data frames (``table4.csv``, ``table5.csv``) and as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from omi_keras.evaluation.bootstrap import patient_bootstrap
from omi_keras.evaluation.metrics import OPERATING_POINT_METRICS, checked_threshold, operating_point_metrics
from omi_keras.evaluation.separation import enough_patients
from omi_keras.recordings.errors import InputError

# (column prefix, part of metrics.json, metric, heading), in the order of Table 4.
_TABLE4 = (
    ("val_auc", "validation", "auc", "Val AUC"),
    ("val_ap", "validation", "ap", "Val AP"),
    ("test_auc", "test", "auc", "Test AUC"),
    ("test_ap", "test", "ap", "Test AP"),
)
_TABLE4_COLUMNS = (
    "model",
    *(f"{prefix}_{statistic}" for prefix, *_ in _TABLE4 for statistic in ("mean", "sd")),
    "folds",
    "simulated",
)
_TABLE5_COLUMNS = (
    "split",
    "threshold",
    *OPERATING_POINT_METRICS,
    *(f"{name}_{end}" for name in OPERATING_POINT_METRICS for end in ("lo", "hi")),
    "simulated",
)
_TABLE5_HEADINGS = dict(
    zip(
        OPERATING_POINT_METRICS,
        ("Accuracy", "Sensitivity", "Specificity", "PPV", "NPV", "F1", "AUC", "AP"),
        strict=True,
    )
)
_UNDEFINED = "undefined"


def table4(models: Mapping[str, Sequence[Mapping[str, Any]]], simulated: bool) -> pd.DataFrame:
    """Return the comparison of models: mean and SD of AUC and AP over folds (paper III.A, Table 4).

    Parameters
    ----------
    models
        Name → one mapping per fold, as in ``metrics.json``: ``{"validation": {"auc", "ap"}, "test": {"auc",
        "ap"}}``; other keys are ignored; None stands for undefined.
    simulated
        True when any of the data come from the simulator.

    Returns
    -------
    DataFrame
        One row per model: ``model, val_auc_mean, val_auc_sd, val_ap_mean, val_ap_sd, test_auc_mean,
        test_auc_sd, test_ap_mean, test_ap_sd, folds, simulated``. The SD (``ddof=1``) is NaN for a single
        fold. Where one fold is undefined, mean and SD are NaN: a mean over fewer folds would not compare.

    Raises
    ------
    InputError
        When a model has no folds, or a fold lacks one of the four numbers.
    """
    rows = []
    for model, folds in models.items():
        if not folds:
            raise InputError(f"{model}: expected at least one fold, received none", "no_folds")
        row: dict[str, object] = {"model": model}
        for prefix, part, metric, _ in _TABLE4:
            values = np.array([_fold_value(model, k, fold, part, metric) for k, fold in enumerate(folds)])
            row[f"{prefix}_mean"] = values.mean()
            row[f"{prefix}_sd"] = values.std(ddof=1) if values.size > 1 else np.nan
        rows.append(row | {"folds": len(folds), "simulated": bool(simulated)})
    return pd.DataFrame(rows, columns=list(_TABLE4_COLUMNS))


def table5(
    splits: Mapping[str, Mapping[str, Any]],
    threshold: float,
    resamples: int,
    seed: int,
    simulated: bool,
) -> pd.DataFrame:
    """Return the selected model's metrics at its operating point, with intervals (paper III.B, Table 5).

    Parameters
    ----------
    splits
        Name (``"validation"``, ``"test"``) → arrays ``omi`` (n,) 0/1, ``probability`` (n,) and
        ``patient_id`` (n,).
    threshold
        Operating point; the decision is ``probability >= threshold``.
    resamples, seed
        See :func:`~omi_keras.evaluation.bootstrap.patient_bootstrap`.
    simulated
        True when the data come from the simulator.

    Returns
    -------
    DataFrame
        One row per split: ``split, threshold, accuracy, sensitivity, specificity, ppv, npv, f1, auc, ap``,
        then ``_lo`` and ``_hi`` of each (95 %, not in the paper; see
        :func:`~omi_keras.evaluation.bootstrap.patient_bootstrap`), then ``simulated``; NaN is undefined: a
        denominator of 0; AUC and AP of fewer than :data:`~omi_keras.evaluation.separation.MIN_PATIENTS` patients
        of a class.

    Raises
    ------
    InputError
        When an array is missing or not valid; the message starts with the split's name.
    """
    rows = []
    for split, arrays in splits.items():
        absent = [name for name in ("omi", "probability", "patient_id") if name not in arrays]
        if absent:
            raise InputError(f"{split}: expected omi, probability and patient_id, received no {', '.join(absent)}")
        omi, probability = arrays["omi"], arrays["probability"]
        try:
            point = operating_point_metrics(omi, probability, threshold)
            intervals = patient_bootstrap(omi, probability, arrays["patient_id"], threshold, resamples, seed)
        except InputError as error:
            raise InputError(f"{split}: {error}", error.reason) from error
        if not enough_patients(omi, arrays["patient_id"]):
            point |= {"auc": np.nan, "ap": np.nan}
        row: dict[str, object] = {"split": split, "threshold": checked_threshold(threshold), **point}
        for name, (low, high) in intervals.items():
            row |= {f"{name}_lo": low, f"{name}_hi": high}
        rows.append(row | {"simulated": bool(simulated)})
    return pd.DataFrame(rows, columns=list(_TABLE5_COLUMNS))


def format_table4(table: pd.DataFrame) -> str:
    """Return :func:`table4` as text in the paper's form, ``0.902 ± 0.025``; no ± for a single fold."""
    lines = [["Model", *(heading for *_, heading in _TABLE4), "Folds"]]
    for row in table.to_dict("records"):
        cells = [_mean_sd(row[f"{prefix}_mean"], row[f"{prefix}_sd"]) for prefix, *_ in _TABLE4]
        lines.append([str(row["model"]), *cells, str(row["folds"])])
    return "\n".join([_title("Table 4. Model performance, mean ± SD over folds", table), *_aligned(lines)])


def format_table5(table: pd.DataFrame) -> str:
    """Return :func:`table5` as text: a column per split, ``0.564 [0.468, 0.660]`` with the 95 % interval."""
    records = table.to_dict("records")
    lines = [["", *(str(row["split"])[:1].upper() + str(row["split"])[1:] for row in records)]]
    lines.append(["Threshold", *(_number(row["threshold"]) for row in records)])
    for name, heading in _TABLE5_HEADINGS.items():
        cells = [_with_interval(row[name], row[f"{name}_lo"], row[f"{name}_hi"]) for row in records]
        lines.append([heading, *cells])
    title = _title("Table 5. Selected model at its operating point [95 % interval, patients clustered]", table)
    return "\n".join([title, *_aligned(lines)])


def format_metrics(table: pd.DataFrame) -> str:
    """Return ``metrics.csv`` of a validation as text, a line per model."""
    lines = [["Model", "ECGs", "Patients", "OMI", "AUC", "AP", "Brier", "Slope", "Intercept"]]
    for row in table.to_dict("records"):
        ranked = [_with_interval(row[name], row[f"{name}_lo"], row[f"{name}_hi"]) for name in ("auc", "ap")]
        further = [_number(row[name]) for name in ("brier", "calibration_slope", "calibration_intercept")]
        counts = [str(row[name]) for name in ("ecgs", "patients", "omi")]
        lines.append([str(row["model"]), *counts, *ranked, *further])
    return "\n".join([_title("Validation [95 % interval, patients clustered]", table), *_aligned(lines)])


def format_comparison(
    table: pd.DataFrame, title: str = "Paired differences, mean over test folds [95 % interval]"
) -> str:
    """Return paired tests as text, a line per pair and metric.

    Those of :func:`~omi_keras.evaluation.comparison.comparisons`, or of a validation.
    """
    lines = [["First", "Second", "Metric", "Difference", "p", "p, Holm"]]
    for row in table.to_dict("records"):
        difference = _UNDEFINED if np.isnan(row["difference"]) else f"{row['difference']:+.3f}"
        if not np.isnan(row["lo"]):
            difference += f" [{row['lo']:+.3f}, {row['hi']:+.3f}]"
        p = [_number(value) if np.isnan(value) or value >= 0.001 else "<0.001" for value in (row["p"], row["p_holm"])]
        lines.append([str(row["first"]), str(row["second"]), _metric(str(row["metric"])), difference, *p])
    return "\n".join([_title(title, table), *_aligned(lines)])


def _metric(name: str) -> str:
    return name.upper() if name in ("auc", "ap") else name


def _fold_value(model: str, number: int, fold: Mapping[str, Any], part: str, metric: str) -> float:
    try:
        value = fold[part][metric]
        return np.nan if value is None else float(value)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{model}, fold {number}: expected a number at {part}.{metric}, received {error}", "bad_metrics"
        ) from error


def _title(text: str, table: pd.DataFrame) -> str:
    return f"{text} (SIMULATED data)" if table["simulated"].astype(bool).any() else text


def _number(value: float) -> str:
    return _UNDEFINED if np.isnan(value) else f"{value:.3f}"


def _mean_sd(mean: float, sd: float) -> str:
    return _number(mean) if np.isnan(sd) else f"{mean:.3f} ± {sd:.3f}"


def _with_interval(value: float, low: float, high: float) -> str:
    return _number(value) if np.isnan(low) else f"{_number(value)} [{low:.3f}, {high:.3f}]"


def _aligned(lines: list[list[str]]) -> list[str]:
    """Columns two spaces apart, a rule under the heading."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    return [text[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *text[1:]]
