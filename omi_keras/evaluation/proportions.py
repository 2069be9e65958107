"""95 % intervals of proportions of ECGs whose patients may have several: sensitivity, PPV, accuracy and the like.

The bootstrap says [1, 1] of 12 patients who were all judged rightly, as if no thirteenth could be judged wrongly. So
proportions have the interval of Korn and Graubard: Clopper and Pearson's exact binomial interval for the number of
independent ECGs that carry as much information as these do. That number is the number of ECGs over the design effect,
by which the variance between patients exceeds that of independent ECGs (Rao and Scott). With one ECG per patient it is
Clopper and Pearson's interval itself.

Where all ECGs or none are right there is no variance to take a design effect from. Then the ECGs of a patient count as
copies of one (correlation 1, the worst case): Kish's number, (Σ n)² / Σ n² for n ECGs of each patient, which is the
number of patients where all have equally many. No other result may have a better lower limit than "all right" of the
same patients has, nor a better upper limit than "none right": one failure among many ECGs says next to nothing about
how failures cluster.

References
----------
Korn and Graubard, Survey Methodology 24 (1998) 193-201; Rao and Scott, Biometrics 48 (1992) 577-585; Kish, Survey
Sampling (1965); Clopper and Pearson, Biometrika 26 (1934) 404-413.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv, stdtrit

#: Ends of the 95 % interval.
TAILS = (0.025, 0.975)


def proportion_interval(right: np.ndarray, patient: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the share of ``right`` ECGs.

    Parameters
    ----------
    right
        (n,) bool, of the ECGs of the denominator only.
    patient
        (n,) numbers or names of their patients.

    Returns
    -------
    tuple
        Low and high, 0 to 1, never of width zero; NaN for both without ECGs.
    """
    if not right.size:
        return np.nan, np.nan
    number = np.unique(patient, return_inverse=True)[1].reshape(right.size)
    ecgs, hits = np.bincount(number), np.bincount(number, right)
    copies = _kish(ecgs)
    share = float(hits.sum() / ecgs.sum())
    low, high = clopper_pearson(share, _effective(hits, ecgs))
    return min(low, clopper_pearson(1.0, copies)[0]), max(high, clopper_pearson(0.0, copies)[1])


def rate_intervals(omi: np.ndarray, alarm: np.ndarray, patient: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return the intervals of the six rates of Table 5.

    F1 is no proportion, but 2 J / (1 + J) of one: of J, the share of true alarms among the ECGs that have OMI or an
    alarm. Its limits are those of J, so transformed.

    Parameters
    ----------
    omi, alarm
        (n,) bool.
    patient
        (n,) numbers or names of patients.

    Returns
    -------
    dict
        ``accuracy, sensitivity, specificity, ppv, npv, f1`` → (low, high), see :func:`proportion_interval`.
    """
    right = omi == alarm
    parts = {
        "accuracy": np.ones(omi.shape, bool),
        "sensitivity": omi,
        "specificity": ~omi,
        "ppv": alarm,
        "npv": ~alarm,
        "f1": omi | alarm,
    }
    found = {name: proportion_interval(right[inside], patient[inside]) for name, inside in parts.items()}
    low, high = found["f1"]
    return found | {"f1": (2 * low / (1 + low), 2 * high / (1 + high))}


def clopper_pearson(share: float, number: float) -> tuple[float, float]:
    """Return the exact binomial 95 % interval of ``share`` among ``number``, which need not be whole."""
    hits = share * number
    low = float(betaincinv(hits, number - hits + 1, TAILS[0])) if share > 0 else 0.0
    high = float(betaincinv(hits + 1, number - hits, TAILS[1])) if share < 1 else 1.0
    return low, high


def effective_patients(patient: np.ndarray) -> float:
    """Return how many patients with one ECG each the ECGs of ``patient`` (n,) are worth if one's ECGs are copies."""
    return _kish(np.unique(patient, return_counts=True)[1])


def _kish(ecgs: np.ndarray) -> float:
    return float(ecgs.sum() ** 2 / (ecgs.astype(np.float64) ** 2).sum()) if ecgs.size else 0.0


def _effective(hits: np.ndarray, ecgs: np.ndarray) -> float:
    """Korn and Graubard's number of independent ECGs, at most the number of ECGs."""
    patients, total = ecgs.size, int(ecgs.sum())
    share = hits.sum() / total
    if patients < 2 or share in (0, 1):
        return _kish(ecgs)
    between = patients / (patients - 1) * ((hits - share * ecgs) ** 2).sum() / total**2
    independent = share * (1 - share) / (total - 1)
    # What is lost by taking the variance from few patients.
    freedom = (stdtrit(total - 1, TAILS[1]) / stdtrit(patients - 1, TAILS[1])) ** 2
    return float(min(total, total * independent / between * freedom)) if between > 0 else float(total)
