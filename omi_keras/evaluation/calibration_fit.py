"""Calibration as two numbers: how much too extreme probabilities are (slope) and how much too high (intercept).

Both are of logistic regressions of the label on the logit of the probability (Cox). The **slope** is that of a
regression with a free intercept: 1 is right, below 1 the probabilities are too extreme. The **intercept** is
calibration in the large, of a regression whose slope is held at 1: 0 is right, below 0 the probabilities are too high.
An intercept beside a free slope would be where the line crosses probability ½, which says little where few have OMI.

References
----------
Cox, Biometrika 45 (1958) 562-565; Van Calster et al., BMC Medicine 17 (2019) 230; for the intervals, of which each
patient is one observation however many ECGs: Liang and Zeger, Biometrika 73 (1986) 13-22.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omi_keras.evaluation.bootstrap import patient_numbers
from omi_keras.evaluation.calibration import checked_probability
from omi_keras.evaluation.delong import Z_95
from omi_keras.evaluation.separation import enough_patients

#: Probabilities are held this far from 0 and 1, whose logits are infinite: float32 tells no closer one from 1.
NEAREST = 1e-7
FIT = ("calibration_slope", "calibration_intercept")
_STEPS = 200


def calibration_fit(omi: npt.ArrayLike, probability: npt.ArrayLike, patient_id: npt.ArrayLike) -> dict[str, float]:
    """Return slope and intercept of calibration, each with a 95 % interval of patients.

    Parameters
    ----------
    omi, probability, patient_id
        (n,) labels 0 or 1, P(OMI) and identifiers.

    Returns
    -------
    dict
        ``calibration_slope``, ``calibration_intercept``, and ``_lo`` and ``_hi`` of each. NaN where a class has fewer
        than :data:`~omi_keras.evaluation.separation.MIN_PATIENTS` patients; for the slope also where one threshold
        parts the classes, as no slope is then steep enough, or where all probabilities are one.

    Raises
    ------
    InputError
        When a probability is none, or a patient_id is missing.
    """
    label, value = checked_probability(omi, probability)
    patient = patient_numbers(patient_id, label.size)
    found = {f"{name}{end}": np.nan for name in FIT for end in ("", "_lo", "_hi")}
    if not enough_patients(label, patient):
        return found
    logit = logits(value)
    whole = np.ones((label.size, 1))
    found |= _with_interval(FIT[1], 0, label, whole, logit, patient)
    if logit[~label].max() > logit[label].min() and logit[label].max() > logit[~label].min():
        found |= _with_interval(FIT[0], 1, label, np.column_stack([whole, logit]), np.zeros(label.size), patient)
    return found


def logits(probability: np.ndarray) -> np.ndarray:
    """Log odds of probabilities, those nearer to 0 or 1 than :data:`NEAREST` held there."""
    held = np.clip(np.asarray(probability, np.float64), NEAREST, 1 - NEAREST)
    return np.log(held) - np.log1p(-held)


def _with_interval(
    name: str, of: int, label: np.ndarray, x: np.ndarray, offset: np.ndarray, patient: np.ndarray
) -> dict[str, float]:
    """A coefficient of the logistic regression of ``label`` on ``x`` (n, k), with its interval."""
    beta = np.zeros(x.shape[1])
    loss = _loss(label, x @ beta + offset)
    for _ in range(_STEPS):
        right = 1 / (1 + np.exp(-np.clip(x @ beta + offset, -700, 700)))
        gradient, curvature = x.T @ (label - right), _curvature(x, right)
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        # Newton's step may go too far where the curve is flat; half of it, or a quarter, does not.
        while (tried := _loss(label, x @ (beta + step) + offset)) > loss and np.abs(step).max() > 1e-12:
            step /= 2
        beta, loss = beta + step, min(tried, loss)
        if np.abs(step).max() <= 1e-12 * (1 + np.abs(beta).max()):
            break
    right = 1 / (1 + np.exp(-np.clip(x @ beta + offset, -700, 700)))
    patients = int(patient.max()) + 1
    scores = np.stack([np.bincount(patient, column * (label - right), patients) for column in x.T], axis=1)
    bread = np.linalg.pinv(_curvature(x, right))
    spread = patients / (patients - 1) * bread @ (scores.T @ scores) @ bread
    error = float(np.sqrt(max(spread[of, of], 0.0)))
    value = float(beta[of])
    return {name: value, f"{name}_lo": value - Z_95 * error, f"{name}_hi": value + Z_95 * error}


def _loss(label: np.ndarray, logit: np.ndarray) -> float:
    return float(np.logaddexp(0, np.where(label, -logit, logit)).sum())


def _curvature(x: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray((x * (right * (1 - right))[:, None]).T @ x)
