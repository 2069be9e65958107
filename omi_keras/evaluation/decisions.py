"""Decisions that can be made with a probability: at the operating point, ruling out, ruling in, beside criteria."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from omi_keras.evaluation.bands import RULE_IN_PPV, RULE_OUT_SENSITIVITY, find_bands
from omi_keras.evaluation.bootstrap import patient_numbers
from omi_keras.evaluation.metrics import (
    checked_threshold,
    operating_point_metrics,
    threshold_counts,
    threshold_from,
    validated,
)
from omi_keras.evaluation.proportions import rate_intervals

RATES = ("sensitivity", "specificity", "ppv", "npv")
DECISIONS_COLUMNS = (
    "rule", "chosen_on", "split", "threshold", "true_positive", "false_positive", "false_negative", "true_negative",
    "alarm_share", *(f"{name}{end}" for name in RATES for end in ("", "_lo", "_hi")), "simulated",
)  # fmt: skip


def threshold_at_specificity(omi: npt.ArrayLike, probability: npt.ArrayLike, specificity: float) -> float:
    """Return the threshold t of the **most alarms** at which ``probability >= t`` has at least this specificity.

    The most sensitive decision that raises no more false alarms than another rule. NaN without ECGs of no OMI, where
    the specificity is NaN, and where no observed probability has it. Between two observed probabilities, see
    :func:`~omi_keras.evaluation.metrics.threshold_from`.

    Raises
    ------
    InputError
        See :func:`~omi_keras.evaluation.metrics.validated`.
    """
    thresholds, _, false = threshold_counts(omi, probability)
    if thresholds.size == 0 or false[-1] == 0 or np.isnan(specificity):
        return np.nan
    enough = np.flatnonzero(false <= np.floor((1 - specificity) * false[-1] + 1e-9))
    return threshold_from(thresholds, int(enough[-1])) if enough.size else np.nan


def decision_table(splits: Mapping[str, Mapping[str, Any]], threshold: float, simulated: bool) -> pd.DataFrame:
    """Return what each rule decides on each split: confusion matrix and rates with 95 % intervals.

    Rules: the operating point; ruling out and in (:func:`~omi_keras.evaluation.bands.find_bands`), chosen on
    validation as the operating point was and applied to both splits; where the splits have ``stemi``, the STEMI
    criteria, and the model at the specificity that those have on validation.

    Parameters
    ----------
    splits
        ``"validation"`` and others → arrays ``omi``, ``probability``, ``patient_id`` and, where known, ``stemi`` (n,)
        bool.
    threshold
        Operating point.
    simulated
        True when the data come from the simulator.

    Returns
    -------
    DataFrame
        One row per rule and split, columns :data:`DECISIONS_COLUMNS`; NaN is undefined. A rule whose threshold
        validation cannot give has rows of NaN. Intervals: :mod:`~omi_keras.evaluation.proportions`.

    Raises
    ------
    InputError
        When an array is not valid.
    """
    chosen = splits["validation"]
    omi, probability = chosen["omi"], chosen["probability"]
    low, high = (np.nan if edge is None else edge for edge in find_bands(omi, probability).values())
    rules: list[tuple[str, str, float, str]] = [
        ("operating point (highest F1)", "validation", checked_threshold(threshold), "probability"),
        (f"rule out (sensitivity ≥ {RULE_OUT_SENSITIVITY:g})", "validation", low, ""),
        (f"rule in (PPV ≥ {RULE_IN_PPV:g})", "validation", high, ""),
    ]
    if all("stemi" in arrays for arrays in splits.values()):
        specificity = operating_point_metrics(omi, np.asarray(chosen["stemi"], float), 0.5)["specificity"]
        matched = threshold_at_specificity(omi, probability, specificity)
        rules += [
            ("STEMI criteria", "", 0.5, "stemi"),
            ("model at the specificity of the STEMI criteria", "validation", matched, ""),
        ]
    rows = [
        {"rule": rule, "chosen_on": origin, "split": split}
        | _decided(arrays, limit, column or "probability")
        | {"simulated": bool(simulated)}
        for rule, origin, limit, column in rules
        for split, arrays in splits.items()
    ]
    return pd.DataFrame(rows, columns=list(DECISIONS_COLUMNS))


def _decided(arrays: Mapping[str, Any], threshold: float, column: str) -> dict[str, float | int]:
    """One row of the decision table, without its names."""
    if np.isnan(threshold):
        return dict.fromkeys(DECISIONS_COLUMNS[3:-1], np.nan)
    label, value = validated(arrays["omi"], np.asarray(arrays[column], np.float64))
    counted = confusion(label, value >= threshold, arrays["patient_id"])
    return {"threshold": np.nan if column == "stemi" else threshold, **counted}


def confusion(omi: np.ndarray, alarm: np.ndarray, patient_id: npt.ArrayLike) -> dict[str, float | int]:
    """Return the confusion matrix of a decision, its rates with 95 % intervals, and the share of ECGs with an alarm.

    Parameters
    ----------
    omi, alarm
        (n,) bool.
    patient_id
        (n,) identifiers.
    """
    point = operating_point_metrics(omi, alarm.astype(np.float64), 0.5)
    found = rate_intervals(omi, alarm, patient_numbers(patient_id, omi.size))
    row: dict[str, float | int] = {
        "true_positive": int((omi & alarm).sum()),
        "false_positive": int((~omi & alarm).sum()),
        "false_negative": int((omi & ~alarm).sum()),
        "true_negative": int((~omi & ~alarm).sum()),
        "alarm_share": float(alarm.mean()) if alarm.size else np.nan,
    }
    for name in RATES:
        row |= {name: point[name], f"{name}_lo": found[name][0], f"{name}_hi": found[name][1]}
    return row
