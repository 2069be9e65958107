"""Compare the AUCs of two models on the same ECGs: DeLong's test, for patients with several ECGs, over folds.

Ten folds have ten models, whose probabilities are on ten scales. So ECGs are ranked within each fold only, and the
statistic is the difference of the mean test AUCs over folds, the very numbers of Table 4. Folds share no patient:
the variance of their mean is the sum of the folds' variances over the square of their number. Within a fold the
ECGs of one patient are not independent; Obuchowski's clustered form of DeLong's variance allows for that, and with
one ECG per patient it is DeLong's.

The trained models are taken as given. That another training set would have given other models is not in the
variance: the test is about these models and patients like these, not about the architectures as such.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omi_keras.evaluation.bootstrap import patient_numbers
from omi_keras.evaluation.metrics import validated
from omi_keras.recordings.errors import InputError

# 97.5th percentile of the normal distribution.
Z_95 = 1.959963984540054
# What sums of shares may be off by.
_ROUNDING = 1e-13


@dataclass(frozen=True)
class PairedFold:
    """Two models' probabilities for the test ECGs of one fold.

    Attributes
    ----------
    omi
        (n,) 0 or 1.
    first, second
        (n,) P(OMI) of either model.
    patient_id
        (n,) identifiers.
    """

    omi: npt.ArrayLike
    first: npt.ArrayLike
    second: npt.ArrayLike
    patient_id: npt.ArrayLike


def auc_variance(omi: npt.ArrayLike, probability: npt.ArrayLike, patient_id: npt.ArrayLike) -> tuple[float, float]:
    """Return the AUC and its variance for ECGs of the same patients (Obuchowski 1997).

    Parameters
    ----------
    omi, probability, patient_id
        (n,) each; see :class:`PairedFold`.

    Returns
    -------
    tuple
        NaN for the AUC where one class is missing, for the variance where a class has fewer than two patients.

    Raises
    ------
    InputError
        See :func:`~omi_keras.evaluation.metrics.validated`; and when a patient_id is missing.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837-845; Obuchowski, Biometrics 53 (1997) 567-578.
    """
    label, value = validated(omi, probability)
    patient = patient_numbers(patient_id, label.size)
    components = _components(label, value)
    auc = float(components[label].mean()) if label.any() and not label.all() else math.nan
    return auc, _variance(label, components, patient)


def paired_delong(folds: Sequence[PairedFold]) -> dict[str, float]:
    """Return the difference of the mean AUCs over folds, first minus second, with a two-sided test.

    Returns
    -------
    dict
        ``difference``, ``standard_error``, ``lo`` and ``hi`` (95 %, within -1 and 1), ``z``, ``p``. All NaN where a
        fold has one class only; all but the difference where a fold has fewer than two patients of a class, or where
        the standard error is 0 and the difference is not. Identical rankings give a difference of 0 with p = 1 and no
        interval: few patients may be ranked alike by models that differ. p is never below :func:`least_p`.

    Raises
    ------
    InputError
        When there is no fold, or as :func:`auc_variance`.
    """
    if not folds:
        raise InputError("expected at least one fold to compare two models on, received none", "no_folds")
    differences, variances, patients = [], [], 0
    for fold in folds:
        label, first = validated(fold.omi, fold.first)
        second = validated(fold.omi, fold.second)[1]
        patient = patient_numbers(fold.patient_id, label.size)
        if not label.any() or label.all():
            return dict.fromkeys(("difference", "standard_error", "lo", "hi", "z", "p"), math.nan)
        components = _components(label, first) - _components(label, second)
        patients += int(patient.max()) + 1
        differences.append(float(components[label].mean()))
        variances.append(_variance(label, components, patient))
    difference = math.fsum(differences) / len(folds)
    error = math.sqrt(math.fsum(variances) / len(folds) ** 2) if not any(map(math.isnan, variances)) else math.nan
    found = {"difference": difference, "standard_error": error, "lo": math.nan, "hi": math.nan, "z": math.nan}
    if error <= _ROUNDING:
        if abs(difference) > _ROUNDING:
            return found | {"standard_error": math.nan, "p": math.nan}
        return found | {"difference": 0.0, "standard_error": 0.0, "z": 0.0, "p": 1.0}
    if math.isnan(error):
        return found | {"p": math.nan}
    z = difference / error
    low, high = max(-1.0, difference - Z_95 * error), min(1.0, difference + Z_95 * error)
    p = max(math.erfc(abs(z) / math.sqrt(2)), least_p(patients))
    return found | {"lo": low, "hi": high, "z": z, "p": p}


def least_p(patients: int) -> float:
    """Return the smallest two-sided p that a paired test of so many patients can have, always above 0.

    Were the models alike, either might have been the first, patient by patient: of 2^patients outcomes that are as
    likely, the most extreme are two (the permutation test).
    """
    return max(2.0 ** min(0, 1 - patients), sys.float_info.min)


def _components(label: np.ndarray, value: np.ndarray) -> np.ndarray:
    """(n,) share of the other class that each ECG is ranked rightly against, a tie counting half.

    Their mean over either class is the AUC. NaN where there is no other class.
    """
    found = np.full(label.size, np.nan)
    if label.any() and not label.all():
        positives, negatives = np.sort(value[label]), np.sort(value[~label])
        below = np.searchsorted(negatives, value[label], "left") + np.searchsorted(negatives, value[label], "right")
        above = np.searchsorted(positives, value[~label], "left") + np.searchsorted(positives, value[~label], "right")
        found[label] = below / (2 * negatives.size)
        found[~label] = 1 - above / (2 * positives.size)
    return found


def _variance(label: np.ndarray, components: np.ndarray, patient: np.ndarray) -> float:
    """Obuchowski's variance of the mean of ``components``: of an AUC, or (they are linear) of a difference of two."""
    mean = components[label].mean() if label.any() else np.nan
    patients = int(patient.max()) + 1 if patient.size else 0
    # What is left of each patient's components after the mean, by class.
    positive = np.bincount(patient[label], components[label] - mean, patients)
    negative = np.bincount(patient[~label], components[~label] - mean, patients)
    with_positive = np.unique(patient[label]).size
    with_negative = np.unique(patient[~label]).size
    if with_positive < 2 or with_negative < 2:
        return math.nan
    ecgs_positive, ecgs_negative = int(label.sum()), int((~label).sum())
    spread = (
        with_positive / (with_positive - 1) * (positive @ positive) / ecgs_positive**2
        + with_negative / (with_negative - 1) * (negative @ negative) / ecgs_negative**2
        + 2 * patients / (patients - 1) * (positive @ negative) / (ecgs_positive * ecgs_negative)
    )
    # Negative only by rounding, or by a correlation within patients that few patients exaggerate.
    return max(float(spread), 0.0)
