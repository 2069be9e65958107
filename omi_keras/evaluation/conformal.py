"""How many OMI patients may be ruled out by a threshold that few of them chose: class-conditional conformal prediction.

That nine of ten OMI ECGs of a sample lie above a threshold does not say that nine of ten of the next patients will: of
the next patient's rank among n others every place is equally likely, one of n + 1. So the **p-value** of "this is OMI"
is (1 + number of the n with a probability as low or lower) / (n + 1), and of all OMI patients that are like these, at
most a share α gets a p-value of α or less, whatever the model and however small n. Ruling out at a p-value of α rules
out at most a share α of them; below n = 1/α − 1 (nine patients for 10 %) nobody can be ruled out so.

Only the ranks among patients **with OMI** count (class-conditional, Mondrian): it is no matter how many others there
are, nor that they are like tomorrow's. Only their order counts: probabilities of another scale give the same answers.

Patients are exchangeable, the ECGs of one are not. A patient's score is the **lowest** probability of their OMI ECGs:
one score a patient keeps the finite-sample guarantee, and this one covers each of the ECGs, as an ECG of a patient is
ruled out only when their lowest one is.

The guarantee is of the mean over samples and patients: with one sample in hand, the share may be higher or lower.

References
----------
Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005), chapter 4 (Mondrian predictors); Vovk,
Proceedings of Machine Learning Research 25 (2012) 475-490; Dunn, Wasserman and Ramdas, Journal of the American
Statistical Association 118 (2023) 2491-2502 (one score of each of several that belong together).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omi_keras.evaluation.bootstrap import patient_numbers
from omi_keras.evaluation.metrics import validated
from omi_keras.recordings.errors import InputError

# 0.1 × 10 must be 1, whatever floats say of 1 − 0.9.
_ROUNDING = 1e-9


def omi_scores(omi: npt.ArrayLike, probability: npt.ArrayLike, patient_id: npt.ArrayLike | None = None) -> np.ndarray:
    """Return the lowest probability among the OMI ECGs of each patient who has one, ascending.

    Parameters
    ----------
    omi, probability
        (n,) labels 0 or 1, P(OMI).
    patient_id
        (n,) identifiers; None: every ECG is of another patient.

    Raises
    ------
    InputError
        When a patient_id is missing; and see :func:`~omi_keras.evaluation.metrics.validated`.
    """
    label, value = validated(omi, probability)
    patient = np.arange(label.size) if patient_id is None else patient_numbers(patient_id, label.size)
    lowest = np.full(patient.max() + 1 if label.size else 0, np.inf)
    np.minimum.at(lowest, patient[label], value[label])
    return np.sort(lowest[np.isfinite(lowest)])


def conformal_p_values(scores: npt.ArrayLike, probability: npt.ArrayLike) -> np.ndarray:
    """Return the p-value of "this is OMI" of each probability.

    Parameters
    ----------
    scores
        (patients,) one of each OMI patient, as :func:`omi_scores` gives them; the model must not have learned from
        these patients.
    probability
        (n,) P(OMI) of other ECGs.

    Returns
    -------
    ndarray
        (n,) above 0, at most 1. OMI patients who are exchangeable with those of the scores have a p-value of α or less
        with a probability of at most α.

    Examples
    --------
    >>> from omi_keras.evaluation.conformal import conformal_p_values
    >>> conformal_p_values([0.2, 0.5, 0.7], [0.1, 0.5, 0.9]).tolist()
    [0.25, 0.75, 1.0]
    """
    ordered = np.sort(np.asarray(scores, np.float64))
    as_low = np.searchsorted(ordered, np.asarray(probability, np.float64), "right")
    return np.asarray((1 + as_low) / (1 + ordered.size))


def conformal_threshold(scores: npt.ArrayLike, level: float) -> float:
    """Return the probability below which the p-value is at most ``level``, the highest such; NaN where there is none.

    It is one of the scores: of n ascending ones, number ⌊level × (n + 1)⌋.

    Raises
    ------
    InputError
        When the level is not between 0 and 1.
    """
    ordered = np.sort(np.asarray(scores, np.float64))
    if not 0 < level < 1:
        raise InputError(f"expected a level between 0 and 1, received {level}", "bad_level")
    rank = int(np.floor(level * (ordered.size + 1) + _ROUNDING))
    return float(ordered[rank - 1]) if rank else np.nan


def ruled_out_at_most(scores: npt.ArrayLike, threshold: float) -> float:
    """Return the share of OMI patients that a threshold of this rank rules out at most: the mean over samples.

    Exact where the rank of the threshold among the scores was fixed before they were seen.
    """
    values = np.asarray(scores, np.float64)
    return float((1 + (values < threshold).sum()) / (1 + values.size))


def patients_needed(level: float) -> int:
    """Return the fewest OMI patients with whom any threshold can promise to rule out at most this share of them."""
    return int(np.ceil(1 / level - _ROUNDING)) - 1
