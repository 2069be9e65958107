"""What a ranking of few patients can and cannot say: when AUC and AP are undefined, and limits of their intervals.

All ECGs of one OMI patient may stand above all others by chance, and every resample of such patients ranks perfectly,
too: the bootstrap then says [1, 1]. So below :data:`MIN_PATIENTS` patients of either class AUC and AP are undefined, as
the variance of DeLong's test is; and from there on no interval may promise more than a perfect ranking of as many
patients could. What that can promise is Newcombe's score interval of an AUC of 1: the AUC whose standard error, by
Hanley and McNeil, puts an observed 1 just within reach. Patients are counted, not ECGs (Kish's number per class).

Average precision has no such interval of its own. Hanley and McNeil's formula is that of the ROC curve
TPR = FPR^((1 − AUC) / AUC), and an average precision follows from that curve and the share of OMI.

References
----------
Hanley and McNeil, Radiology 143 (1982) 29-36; Newcombe, Statistics in Medicine 25 (2006) 559-573, method 5.
"""

from __future__ import annotations

import numpy as np

from omi_keras.evaluation.proportions import effective_patients

#: Fewest patients with OMI, and without, of whom AUC and average precision are told.
MIN_PATIENTS = 2

_Z_SQUARED = 1.959963984540054**2
# Points at which the curve is summed up: errors below 1e-4.
_STEPS = 4096


def enough_patients(omi: np.ndarray, patient: np.ndarray) -> bool:
    """Tell whether (n,) labels, 0 or 1, are of at least :data:`MIN_PATIENTS` patients of either class."""
    label = np.asarray(omi) == 1
    patient = np.asarray(patient)
    return min(np.unique(patient[label]).size, np.unique(patient[~label]).size) >= MIN_PATIENTS


def ranking_limits(strata: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, tuple[float, float]]:
    """Return how high a lower limit of AUC and of AP may be, and how low an upper one.

    Parameters
    ----------
    strata
        (omi, patient), (n,) each, of every fold whose rankings are averaged or pooled.

    Returns
    -------
    dict
        ``auc``, ``ap`` → (highest lower limit, lowest upper limit).
    """
    with_omi = sum(effective_patients(patient[omi == 1]) for omi, patient in strata)
    without = sum(effective_patients(patient[omi == 0]) for omi, patient in strata)
    share = sum(int((omi == 1).sum()) for omi, _ in strata) / max(1, sum(omi.size for omi, _ in strata))
    least = perfect_auc_limit(with_omi, without)
    return {"auc": (least, 1 - least), "ap": (ap_of_auc(least, share), ap_of_auc(1 - least, share))}


def widened(interval: tuple[float, float], limits: tuple[float, float]) -> tuple[float, float]:
    """Return an interval that promises no more than ``limits``; NaN for both where it still has no width."""
    low, high = min(interval[0], limits[0]), max(interval[1], limits[1])
    return (low, high) if low < high and not np.isnan(interval).any() else (np.nan, np.nan)


def perfect_auc_limit(with_omi: float, without: float) -> float:
    """Return the lower 95 % limit of an AUC of 1 among so many patients of either class; 0 where a class has none."""
    if with_omi <= 0 or without <= 0:
        return 0.0
    others = (with_omi + without) / 2 - 1
    low, high = 0.0, 1.0
    for _ in range(60):  # halves the range to below the rounding of floats
        auc = (low + high) / 2
        spread = 1 + others * ((1 - auc) / (2 - auc) + auc / (1 + auc))
        # (1 − AUC)² = z² AUC (1 − AUC) spread / (patients × patients): the left side is the larger below the limit.
        below = 1 - auc > _Z_SQUARED * auc * spread / (with_omi * without)
        low, high = (auc, high) if below else (low, auc)
    return (low + high) / 2


def ap_of_auc(auc: float, share: float) -> float:
    """Return the average precision of Hanley and McNeil's ROC curve of this AUC where ``share`` of the ECGs is OMI."""
    if share <= 0 or auc >= 1:
        return float(share > 0)
    found = (np.arange(_STEPS) + 0.5) / _STEPS
    # Sensitivity u comes with FPR = u^(AUC / (1 − AUC)); in logarithms, because powers of small numbers overflow.
    false_per_true = np.log((1 - share) / share) + (2 * auc - 1) / (1 - auc) * np.log(found) if share < 1 else -np.inf
    return float(np.mean(1 / (1 + np.exp(np.clip(false_per_true, -700, 700)))))
