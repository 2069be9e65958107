"""Platt scaling: probabilities of a model that ranks well and says too much or too little, by two numbers.

log odds of OMI = slope × logit + intercept. A positive slope keeps the order of ECGs, so AUC, average precision and
every decision at a threshold that is moved along stay as they were; what changes is what a probability means. The
intercept repairs what differs most often between hospitals, how many have OMI (and what undersampling in training took
away); the slope repairs probabilities that are too extreme, as a model's are where it was not trained.

The slope is estimated where at least :data:`FEWEST_FOR_SLOPE` patients have OMI and as many have not: ten for each of
the two numbers (Peduzzi et al.). Below, it stays 1 and the intercept alone is moved, as Steyerberg et al. found to be
best in small samples: an estimated slope of few patients would be worse than none.

Labels are not 1 and 0 but (n₁ + 1) / (n₁ + 2) and 1 / (n₀ + 2) of n₁ ECGs with OMI and n₀ without, as Platt proposed:
with classes that one threshold parts, the slope stays finite.

References
----------
Platt, Advances in Large Margin Classifiers (1999) 61-74; Lin, Lin and Weng, Machine Learning 68 (2007) 267-276;
Steyerberg et al., Statistics in Medicine 23 (2004) 2567-2586; Peduzzi et al., Journal of Clinical Epidemiology 49
(1996) 1373-1379; for intervals of patients with several ECGs: Liang and Zeger, Biometrika 73 (1986) 13-22.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omi_keras.evaluation.delong import Z_95
from omi_keras.recordings.errors import InputError

FEWEST_FOR_SLOPE = 20
_STEPS = 100


@dataclass(frozen=True)
class Platt:
    """A map of logits that keeps their order.

    Attributes
    ----------
    slope, intercept
        log odds = slope × logit + intercept; the slope is above 0.
    slope_error, intercept_error
        Standard errors, patients clustered; NaN for a slope that was held at 1, and with one patient.
    """

    slope: float
    intercept: float
    slope_error: float = np.nan
    intercept_error: float = np.nan

    def log_odds(self, logit: np.ndarray) -> np.ndarray:
        """New logits (n,) float64, in the order of the old ones."""
        return self.slope * np.asarray(logit, np.float64) + self.intercept

    def interval(self, name: str) -> tuple[float, float]:
        """95 % interval of ``slope`` or ``intercept``."""
        value, error = getattr(self, name), getattr(self, f"{name}_error")
        return value - Z_95 * error, value + Z_95 * error


def probability_of(odds: np.ndarray) -> np.ndarray:
    """P(OMI) of log odds (n,), float64."""
    # exp of a negative number never overflows.
    tail = np.exp(-np.abs(odds))
    return np.asarray(np.where(odds >= 0, 1, tail) / (1 + tail))


def enough_for_slope(omi: np.ndarray, patient: np.ndarray) -> bool:
    """Tell whether (n,) labels, 0 or 1, are of enough patients of either class to estimate a slope."""
    label = np.asarray(omi) == 1
    return min(np.unique(patient[label]).size, np.unique(patient[~label]).size) >= FEWEST_FOR_SLOPE


def fit_platt(omi: np.ndarray, logit: np.ndarray, patient: np.ndarray, *, slope: bool) -> Platt:
    """Fit the map to labels.

    Parameters
    ----------
    omi
        (n,) 0 or 1.
    logit
        (n,) finite logits, of patients who did not train the model.
    patient
        (n,) numbers of patients, from 0.
    slope
        Whether to fit the slope; else it is 1.

    Raises
    ------
    InputError
        When there is one class only, or the slope is not above 0: then OMI has no higher logits than others have, and
        no map that keeps the order helps.
    """
    label, x = np.asarray(omi) == 1, np.asarray(logit, np.float64)
    positive, negative = int(label.sum()), int((~label).sum())
    if not positive or not negative:
        raise InputError(
            f"expected ECGs with and without OMI to recalibrate by, received {positive} and {negative}", "one_class"
        )
    target = np.where(label, (positive + 1) / (positive + 2), 1 / (negative + 2))
    # About its mean and in units of its spread, so that both numbers are of one size.
    mean, spread = float(x.mean()), float(x.std())
    if slope and spread == 0:
        raise InputError("the model says the same of all ECGs, which no calibration helps", "no_order")
    columns = [np.ones(x.size), (x - mean) / spread] if slope else [np.ones(x.size)]
    design, offset = np.column_stack(columns), np.zeros(x.size) if slope else x - mean
    beta, errors = _logistic(target, design, offset, patient)
    found = beta[1] / spread if slope else 1.0
    if not found > 0:
        raise InputError(
            "on these ECGs the model gives OMI no higher probabilities than the others have, which no calibration "
            "helps: look at labels and leads, or train on ECGs from there",
            "no_order",
        )
    # From about the mean to about zero; the covariance of both numbers goes along.
    shift = np.array([1.0, -mean / spread]) if slope else np.array([1.0])
    error = float(np.sqrt(max(shift @ errors @ shift, 0)))
    intercept = float(beta @ shift) if slope else float(beta[0] - mean)
    return Platt(float(found), intercept, float(np.sqrt(errors[1, 1])) / spread if slope else np.nan, error)


def _logistic(
    target: np.ndarray, design: np.ndarray, offset: np.ndarray, patient: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (k,) of a logistic regression on targets from 0 to 1, and their covariance, patients clustered."""
    beta = np.zeros(design.shape[1])

    def loss(tried: np.ndarray) -> float:
        z = design @ tried + offset
        return float((np.logaddexp(0, z) - target * z).sum())

    def fitted() -> tuple[np.ndarray, np.ndarray]:
        p = 1 / (1 + np.exp(-np.clip(design @ beta + offset, -700, 700)))
        return p, (design * (p * (1 - p))[:, None]).T @ design

    for _ in range(_STEPS):
        p, curvature = fitted()
        step = np.linalg.lstsq(curvature, design.T @ (target - p), rcond=None)[0]
        # Newton's step may go too far where the curve is flat; half of it, or a quarter, does not.
        while np.abs(step).max() > 1e-12 and loss(beta + step) > loss(beta):
            step /= 2
        beta = beta + step
        if np.abs(step).max() <= 1e-12 * (1 + np.abs(beta).max()):
            break
    p, curvature = fitted()
    patients = np.unique(patient, return_inverse=True)[1]
    count = int(patients.max()) + 1
    scores = np.stack([np.bincount(patients, column * (target - p), count) for column in design.T], axis=1)
    bread = np.linalg.pinv(curvature)
    small = count / (count - 1) if count > 1 else np.nan
    return beta, small * bread @ (scores.T @ scores) @ bread
