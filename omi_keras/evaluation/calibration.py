"""Do probabilities mean what they say (Brier score, calibration), and is acting on them worth it (net benefit)?"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from omi_keras.evaluation.bootstrap import patient_numbers
from omi_keras.evaluation.metrics import validated
from omi_keras.evaluation.proportions import proportion_interval
from omi_keras.evaluation.ranking import ratio
from omi_keras.recordings.errors import InputError

#: Threshold probabilities of decision curves: 1 % to 60 %. Beyond, nobody would wait for more evidence of OMI.
DECISION_THRESHOLDS = np.arange(1, 61) / 100


def brier_score(omi: npt.ArrayLike, probability: npt.ArrayLike) -> float:
    """Return the mean of (P(OMI) − label)²; 0 is perfect, NaN without ECGs.

    Raises
    ------
    InputError
        See :func:`checked_probability`.

    References
    ----------
    Brier, Monthly Weather Review 78 (1950) 1-3.
    """
    label, value = checked_probability(omi, probability)
    return float(np.mean((value - label) ** 2)) if label.size else np.nan


def calibration_curve(
    omi: npt.ArrayLike, probability: npt.ArrayLike, bins: int = 10, patient_id: npt.ArrayLike | None = None
) -> pd.DataFrame:
    """Return the share of OMI among ECGs of similar probability.

    Parameters
    ----------
    omi
        (n,) 0 or 1.
    probability
        (n,) P(OMI).
    bins
        Groups of as equal numbers of ECGs as ties allow: equal probabilities are never parted, so there may be
        fewer groups.
    patient_id
        (n,) identifiers; None: every ECG is of another patient.

    Returns
    -------
    DataFrame
        One row per group, ascending: ``ecgs``, ``omi``, ``probability`` (mean), ``observed`` (share of OMI), ``lo``
        and ``hi`` (95 %, :func:`~omi_keras.evaluation.proportions.proportion_interval`).

    Raises
    ------
    InputError
        When ``bins`` is below 1, a patient_id is missing or their number is wrong; and see
        :func:`checked_probability`.
    """
    label, value = checked_probability(omi, probability)
    patient = np.arange(label.size) if patient_id is None else patient_numbers(patient_id, label.size)
    if bins < 1:
        raise InputError(f"expected at least 1 bin, received {bins}", "bad_bins")
    order = np.argsort(value, kind="stable")
    ordered = value[order]
    wanted = np.arange(1, bins) * value.size // bins
    at = ordered[wanted] if value.size else ordered
    before, after = np.searchsorted(ordered, at, "left"), np.searchsorted(ordered, at, "right")
    # Beside the run of equal values, at its nearer end.
    cuts = np.where(wanted[: at.size] - before <= after - wanted[: at.size], before, after)
    edges = np.unique(np.r_[0, cuts, value.size]).astype(int)
    rows = []
    for first, last in pairwise(edges):
        inside = order[first:last]
        ecgs, positive = int(last - first), int(label[inside].sum())
        low, high = proportion_interval(label[inside], patient[inside])
        # The mean of equal numbers may miss them by a rounding.
        mean = float(np.clip(ordered[first:last].mean(), ordered[first], ordered[last - 1]))
        rows.append((ecgs, positive, mean, positive / ecgs, low, high))
    return pd.DataFrame(rows, columns=["ecgs", "omi", "probability", "observed", "lo", "hi"])


def net_benefit(
    omi: npt.ArrayLike, probability: npt.ArrayLike, thresholds: np.ndarray = DECISION_THRESHOLDS
) -> np.ndarray:
    """Return the net benefit per ECG of calling OMI where ``probability >= threshold``.

    True positives minus false positives × t / (1 − t), over all ECGs: t is the probability of OMI from which on one
    would act, so t / (1 − t) is how bad one false alarm is beside one missed OMI. A rule that is 0 or 1 (criteria,
    treat all, treat none) is the same decision at every threshold.

    Parameters
    ----------
    omi
        (n,) 0 or 1.
    probability
        (n,) P(OMI), or decisions 0 and 1.
    thresholds
        (k,) above 0 and below 1.

    Returns
    -------
    ndarray
        (k,) float64, NaN without ECGs.

    Raises
    ------
    InputError
        When a threshold is out of range; and see :func:`checked_probability`.

    References
    ----------
    Vickers and Elkin, Medical Decision Making 26 (2006) 565-574.
    """
    label, value = checked_probability(omi, probability)
    limit = np.asarray(thresholds, np.float64)
    if not ((limit > 0) & (limit < 1)).all():
        raise InputError("expected thresholds between 0 and 1, both excluded", "bad_threshold")
    positives, negatives = np.sort(value[label]), np.sort(value[~label])
    true = positives.size - np.searchsorted(positives, limit, "left")
    false = negatives.size - np.searchsorted(negatives, limit, "left")
    return ratio(true - false * limit / (1 - limit), np.full(limit.shape, float(label.size)))


def calibration_table(models: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], simulated: bool) -> pd.DataFrame:
    """Return ``calibration.csv``: :func:`calibration_curve` of each model's labels, probabilities and patients."""
    parts = []
    for model, (omi, probability, patient_id) in models.items():
        curve = calibration_curve(omi, probability, patient_id=patient_id)
        curve.insert(0, "model", model)
        parts.append(curve.assign(simulated=simulated))
    return pd.concat(parts, ignore_index=True)


def decision_curve_table(rules: Mapping[str, tuple[np.ndarray, np.ndarray]], simulated: bool) -> pd.DataFrame:
    """Return ``decision_curve.csv``: :func:`net_benefit` of each rule, labels and probabilities (or 0 and 1)."""
    parts = [
        pd.DataFrame(
            {
                "rule": rule,
                "threshold": DECISION_THRESHOLDS,
                "net_benefit": net_benefit(*judged),
                "simulated": simulated,
            }
        )
        for rule, judged in rules.items()
    ]
    return pd.concat(parts, ignore_index=True)


def checked_probability(omi: npt.ArrayLike, probability: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (n,) bool and probabilities (n,) float64 from 0 to 1.

    Raises
    ------
    InputError
        When a probability is below 0 or above 1; and see :func:`~omi_keras.evaluation.metrics.validated`.
    """
    label, value = validated(omi, probability)
    outside = (value < 0) | (value > 1)
    if outside.any():
        raise InputError(
            f"expected probabilities from 0 to 1, received {value[outside][0]:g} in {outside.sum()} of "
            f"{value.size} ECGs",
            "bad_probability",
        )
    return label, value
