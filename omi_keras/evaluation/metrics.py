"""How good is a list of probabilities: ranking (AUC, AP), operating point (F1 threshold) and what it yields.

Labels are 1 (OMI) or 0 (no OMI); a decision is ``probability >= threshold``. A number that the data cannot
define is NaN, never 0 and never a warning.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omi_keras.evaluation.ranking import Ranking, ratio
from omi_keras.recordings.errors import InputError

#: Weight of AUC in the score (paper II.B, Equation 1); AP weighs ``1 - ALPHA``.
ALPHA = 2 / 3

#: What :func:`operating_point_metrics` returns, in the order of Table 5.
OPERATING_POINT_METRICS = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "auc", "ap")


def score(auc: float, ap: float) -> float:
    """Return the score that selects epochs and models: ⅔ AUC + ⅓ AP (paper II.B, Equation 1).

    Parameters
    ----------
    auc, ap
        Area under the ROC curve and average precision, 0 to 1; NaN gives NaN.
    """
    return ALPHA * auc + (1 - ALPHA) * ap


def validated(omi: npt.ArrayLike, probability: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as (n,) bool and probabilities as (n,) float64, or say what is wrong with them.

    Float64 keeps a float32 probability exactly, so a threshold taken from it decides the same everywhere.

    Raises
    ------
    InputError
        When the two are not one-dimensional and of one length, a label is not 0 or 1, or a probability is not
        finite.
    """
    label, value = np.asarray(omi), np.asarray(probability)
    if label.ndim != 1 or value.ndim != 1 or label.size != value.size:
        raise InputError(
            "expected one label and one probability per ECG (two arrays of shape (n,)), "
            f"received omi {label.shape} and probability {value.shape}",
            "wrong_shape",
        )
    try:
        number, value = label.astype(np.float64), value.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"expected numbers, received omi {label.dtype} and probability {value.dtype} ({error})",
            "wrong_dtype",
        ) from error
    wrong = (number != 0) & (number != 1)
    if wrong.any():
        found = ", ".join(str(bad) for bad in label[wrong][:3])
        raise InputError(
            f"expected omi to be 0 or 1, received {found} in {wrong.sum()} of {label.size} ECGs", "bad_label"
        )
    lost = ~np.isfinite(value)
    if lost.any():
        found = ", ".join(str(bad) for bad in value[lost][:3])
        raise InputError(
            f"expected finite probabilities, received {found} in {lost.sum()} of {value.size} ECGs",
            "not_finite",
        )
    return number == 1, value


def ranking_metrics(omi: npt.ArrayLike, probability: npt.ArrayLike) -> dict[str, float]:
    """Return ``{"auc", "ap", "score"}`` with scikit-learn's definitions (paper II.B; Table 4).

    Any finite numbers rank, so logits serve as well as probabilities.

    Parameters
    ----------
    omi
        (n,) 0 or 1.
    probability
        (n,) P(OMI).

    Returns
    -------
    dict
        NaN for all three where only one class (or nothing) is present.

    Raises
    ------
    InputError
        See :func:`validated`.
    """
    label, value = validated(omi, probability)
    auc, ap = Ranking.of(label, value).auc_ap(np.ones((1, label.size)))
    return {"auc": float(auc[0]), "ap": float(ap[0]), "score": score(float(auc[0]), float(ap[0]))}


def threshold_counts(omi: npt.ArrayLike, probability: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what each possible threshold selects: the points of the ROC and precision-recall curves.

    Returns
    -------
    tuple
        Thresholds (k,) float64, the observed probabilities, each once, **descending**; true positives (k,)
        and false positives (k,) int64 of the decision ``probability >= threshold``.

    Raises
    ------
    InputError
        See :func:`validated`.
    """
    label, value = validated(omi, probability)
    ascending, place = np.unique(value, return_inverse=True)
    true = np.bincount(place[label], minlength=ascending.size)[::-1].cumsum()
    false = np.bincount(place[~label], minlength=ascending.size)[::-1].cumsum()
    return ascending[::-1], true, false


def best_f1_threshold(omi: npt.ArrayLike, probability: npt.ArrayLike) -> float:
    """Return the threshold with the highest F1, the paper's operating point (III.B; 0.57 there).

    Candidates are the observed probabilities. Among those with the same highest F1 the **highest** is taken:
    the fewest alarms for the same F1. The threshold lies below it: :func:`threshold_from`.

    Parameters
    ----------
    omi
        (n,) 0 or 1; both classes must be present.
    probability
        (n,) P(OMI).

    Raises
    ------
    InputError
        When there are no ECGs or only one class; and see :func:`validated`.
    """
    thresholds, true, false = threshold_counts(omi, probability)
    if thresholds.size == 0 or true[-1] == 0 or false[-1] == 0:
        counted = f"{true[-1]} OMI and {false[-1]} no OMI" if thresholds.size else "no ECGs"
        raise InputError(f"expected ECGs of both classes to choose a threshold, received {counted}", "one_class")
    f1 = 2 * true / (true + false + true[-1])
    # Thresholds descend and argmax takes the first: the highest threshold among equals.
    return threshold_from(thresholds, int(np.argmax(f1)))


def threshold_from(thresholds: np.ndarray, chosen: int) -> float:
    """Return a threshold that decides as an observed probability does, but on which no ECG sits.

    It lies midway between that probability and the next lower one, or 0 where none is lower and everybody is alarmed.
    An ECG on the threshold itself would be decided by rounding: by the digits of a printed threshold, or by the
    processor on which the same network computes a probability of one bit less.

    Neighbours among float64 have nothing between them, and 0 has nothing below it: there it is the probability itself,
    the only number from 0 to 1 that decides so. Of float32 probabilities it decides the same when rounded to float32.

    Parameters
    ----------
    thresholds
        (k,) observed probabilities, each once, descending, as :func:`threshold_counts` returns them.
    chosen
        Number of the one that is the lowest alarm.
    """
    upper = float(thresholds[chosen])
    below = float(thresholds[chosen + 1]) if chosen + 1 < len(thresholds) else min(0.0, upper)
    midway = (upper + below) / 2
    with np.errstate(over="ignore", under="ignore"):
        as_single = [float(np.float32(value)) for value in (below, midway, upper)]
    if as_single[::2] == [below, upper] and as_single[1] <= below:
        # Neighbours among float32, whose middle rounds to the lower one; one bit more, and it rounds to the upper one.
        midway = float(np.nextafter(midway, upper))
    return midway if below < midway <= upper else upper


def operating_point_metrics(omi: npt.ArrayLike, probability: npt.ArrayLike, threshold: float) -> dict[str, float]:
    """Return the columns of Table 5 at one threshold.

    Parameters
    ----------
    omi
        (n,) 0 or 1.
    probability
        (n,) P(OMI).
    threshold
        The decision is ``probability >= threshold``.

    Returns
    -------
    dict
        ``accuracy, sensitivity, specificity, ppv, npv, f1, auc, ap``; NaN where a denominator is 0, and for
        AUC and AP where only one class is present.

    Raises
    ------
    InputError
        When the threshold is not finite; and see :func:`validated`.
    """
    label, value = validated(omi, probability)
    alarm = value >= checked_threshold(threshold)
    counts = [np.sum(label & alarm), np.sum(~label & alarm), np.sum(label & ~alarm), np.sum(~label & ~alarm)]
    rates = confusion_rates(*(np.asarray(count, np.float64) for count in counts))
    ranking = ranking_metrics(label, value)
    return {name: float(rate) for name, rate in rates.items()} | {name: ranking[name] for name in ("auc", "ap")}


def confusion_rates(
    true_positive: np.ndarray,
    false_positive: np.ndarray,
    false_negative: np.ndarray,
    true_negative: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return the six rates of Table 5 that a confusion matrix gives; NaN where a denominator is 0.

    Parameters
    ----------
    true_positive, false_positive, false_negative, true_negative
        Counts (or sums of weights), float64, all of one shape.
    """
    tp, fp, fn, tn = true_positive, false_positive, false_negative, true_negative
    return {
        "accuracy": ratio(tp + tn, tp + fp + fn + tn),
        "sensitivity": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "ppv": ratio(tp, tp + fp),
        "npv": ratio(tn, tn + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
    }


def checked_threshold(threshold: float) -> float:
    """Return a threshold as float, or raise InputError when it is not a finite number."""
    try:
        value = float(threshold)
    except (TypeError, ValueError):
        value = np.nan
    if not np.isfinite(value):
        raise InputError(f"expected a finite threshold, received {threshold!r}", "bad_threshold")
    return value
