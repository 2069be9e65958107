"""Two ways of deciding on the same ECGs: whose sensitivity or specificity is higher, and is it chance?

Where both rules are given, the test is McNemar's with the patient as the unit. Of each patient, count the ECGs that the
first alone judges rightly, less those that the second alone does. Were both as good, either might have been the first,
patient by patient: all the signs of these differences are as likely, and p is the share of sign patterns whose sum is
as far from 0 as the one that was seen. Every pattern is counted, none is drawn. With one ECG per patient this is
McNemar's exact test; its normal approximation for many patients is the modified Obuchowski test for clustered matched
pairs.

References
----------
McNemar, Psychometrika 12 (1947) 153-157; Obuchowski, Statistics in Medicine 17 (1998) 1495-1507; Yang, Sun and Hardin,
Biometrical Journal 52 (2010) 638-652; Edgington and Onghena, Randomization Tests (2007), chapter 6.
"""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

from omi_keras.evaluation.bootstrap import interval, paired_bootstrap, patient_draws, patient_numbers
from omi_keras.evaluation.delong import least_p
from omi_keras.evaluation.metrics import validated
from omi_keras.evaluation.ranking import Ranking, ratio

NOTHING = {"first_value": np.nan, "second_value": np.nan, "difference": np.nan, "lo": np.nan, "hi": np.nan, "p": np.nan}


def mcnemar_by_patients(first: np.ndarray, second: np.ndarray, patient: np.ndarray) -> float:
    """Return the exact two-sided p of McNemar's test, whose units are patients; see above.

    Parameters
    ----------
    first, second
        (n,) bool, whether either decision is right.
    patient
        (n,) numbers of patients.

    Returns
    -------
    float
        1 where no patient tells them apart; NaN without ECGs.
    """
    if not first.size:
        return np.nan
    of_each = np.bincount(patient, first.astype(np.float64) - second)
    steps = np.abs(of_each[of_each != 0]).astype(int)
    seen = abs(int(of_each.sum()))
    if not seen:
        return 1.0
    # How likely each sum of randomly signed steps is; sum k stands at place k + total.
    total = int(steps.sum())
    likely = np.zeros(2 * total + 1)
    likely[total] = 1.0
    for step in steps:
        moved = np.zeros_like(likely)
        moved[step:] += likely[:-step] / 2
        moved[:-step] += likely[step:] / 2
        likely = moved
    return float(np.clip(2 * likely[total + seen :].sum(), sys.float_info.min, 1.0))


def paired_rate(
    first: npt.ArrayLike, second: npt.ArrayLike, patient_id: npt.ArrayLike, resamples: int, seed: int
) -> dict[str, float]:
    """Return the shares of ECGs that two ways of deciding judge rightly, their difference, interval and test.

    Handed the ECGs with OMI, the shares are sensitivities; handed those without, specificities.

    Parameters
    ----------
    first, second
        (n,) bool, whether either decision is right.
    patient_id
        (n,) identifiers.
    resamples, seed
        Of patients, for the interval.

    Returns
    -------
    dict
        ``first_value, second_value, difference`` (first − second), ``lo, hi`` (95 % percentiles of resamples, NaN where
        none differs), ``p`` (:func:`mcnemar_by_patients`); NaN throughout without ECGs.
    """
    one, two = np.asarray(first, bool), np.asarray(second, bool)
    patient = patient_numbers(patient_id, one.size)
    if not one.size:
        return dict(NOTHING)
    ecgs = np.bincount(patient).astype(np.float64)
    more = np.bincount(patient, one.astype(np.float64) - two)
    draws = patient_draws(one.size, ecgs.size, resamples, seed)
    low, high = interval(np.concatenate([(drawn @ more) / (drawn @ ecgs) for drawn in draws]))
    return _shares(one, two) | {"lo": low, "hi": high, "p": mcnemar_by_patients(one, two, patient)}


def at_equal_specificity(
    omi: npt.ArrayLike,
    probability: npt.ArrayLike,
    decision: npt.ArrayLike,
    patient_id: npt.ArrayLike,
    resamples: int,
    seed: int,
) -> dict[str, float]:
    """Return a model's sensitivity beside another rule's, at the threshold that raises no more false alarms than it.

    The threshold is the one of the most alarms, chosen on these very ECGs: a little in the model's favour where they
    are few. Each resample chooses its own, so that interval and p allow for that.

    Parameters
    ----------
    omi, probability, patient_id
        (n,) labels, P(OMI) of the model and identifiers.
    decision
        (n,) 0 or 1, what the other rule says.
    resamples, seed
        Of patients.

    Returns
    -------
    dict
        As :func:`paired_rate`, first the model, but that interval and p are of the resamples
        (:func:`~omi_keras.evaluation.bootstrap.paired_bootstrap`); NaN throughout where a class is missing.
    """
    label, value = validated(omi, probability)
    alarm = validated(decision, value)[0]
    patient = patient_numbers(patient_id, label.size)
    if not label.any() or label.all():
        return dict(NOTHING)
    ranking = Ranking.of(label, value)
    caught = np.zeros(label.size, bool)
    caught[ranking.positives] = _reached(ranking, np.ones((1, label.size)), alarm)[0]
    parts = []
    for drawn in patient_draws(label.size, int(patient.max()) + 1, resamples, seed):
        weight = drawn[:, patient]
        own = weight[:, ranking.positives]
        model = (own * _reached(ranking, weight, alarm)).sum(axis=1)
        other = (own * alarm[ranking.positives]).sum(axis=1)
        known = np.where(weight[:, ranking.negatives].sum(axis=1) > 0, own.sum(axis=1), 0.0)
        parts.append(ratio(model - other, known))
    values = _shares(caught[label], alarm[label])
    least = least_p(np.unique(patient).size)
    return values | paired_bootstrap(values["difference"], np.concatenate(parts), least)


def _shares(one: np.ndarray, two: np.ndarray) -> dict[str, float]:
    difference = float((one.astype(np.float64) - two).mean())
    return {"first_value": float(one.mean()), "second_value": float(two.mean()), "difference": difference}


def _reached(ranking: Ranking, weights: np.ndarray, alarm: np.ndarray) -> np.ndarray:
    """(b, n_positives) bool: which OMI ECGs lie above the threshold that each row of weights chooses."""
    others = weights[:, ranking.negatives]
    allowed = (others * alarm[ranking.negatives]).sum(axis=1)
    false = np.zeros((len(weights), others.shape[1] + 1))
    np.cumsum(others, axis=1, out=false[:, 1:])
    return np.asarray(false[:, ranking.false_end] <= allowed[:, None])
