"""Confidence intervals by resampling patients: the ECGs of one patient are not independent."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from omi_keras.evaluation.metrics import OPERATING_POINT_METRICS, checked_threshold, validated
from omi_keras.evaluation.proportions import rate_intervals
from omi_keras.evaluation.ranking import Ranking
from omi_keras.evaluation.separation import enough_patients, ranking_limits, widened
from omi_keras.recordings.errors import InputError

#: Ends of the 95 % percentile interval.
PERCENTILES = (2.5, 97.5)
#: What tables call :func:`paired_bootstrap`.
BOOTSTRAP = "patient bootstrap"

#: Weights held at once (resamples × ECGs); a few float64 arrays of this size are all the memory it takes.
_CHUNK_WEIGHTS = 1_000_000


def patient_bootstrap(
    omi: npt.ArrayLike,
    probability: npt.ArrayLike,
    patient_id: npt.ArrayLike,
    threshold: float,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return 95 % confidence intervals of the metrics of Table 5.

    AUC and AP: percentile intervals. Each resample draws as many patients as there are, with replacement, and takes
    all ECGs of each drawn patient; one that lacks a class is left out. The interval promises no more than a perfect
    ranking of as many patients could (:mod:`~omi_keras.evaluation.separation`), and is undefined where that module
    calls the metrics undefined. Rates are proportions: :mod:`~omi_keras.evaluation.proportions`. The intervals do not
    depend on the order of the ECGs.

    Parameters
    ----------
    omi
        (n,) 0 or 1.
    probability
        (n,) P(OMI).
    patient_id
        (n,) identifiers, text or numbers; none missing or empty.
    threshold
        The decision is ``probability >= threshold``.
    resamples
        Number of resamples.
    seed
        Same seed, same intervals.

    Returns
    -------
    dict
        Metric (:data:`~omi_keras.evaluation.metrics.OPERATING_POINT_METRICS`) → (low, high); NaN for both
        where the metric is undefined, in the data or in more than half of the resamples.

    Raises
    ------
    InputError
        When a patient_id is missing or their number is wrong, ``resamples`` is below 1, or the threshold is
        not finite; and see :func:`~omi_keras.evaluation.metrics.validated`.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13 (percentile intervals).
    """
    label, value = validated(omi, probability)
    patient = patient_numbers(patient_id, label.size)
    alarm = value >= checked_threshold(threshold)
    if label.size == 0:
        return dict.fromkeys(OPERATING_POINT_METRICS, (np.nan, np.nan))

    ranked = np.full((2, 1), np.nan)
    draws = patient_draws(label.size, int(patient.max()) + 1, resamples, seed)
    if enough_patients(label, patient):
        ranking = Ranking.of(label, value)
        ranked = np.concatenate([np.stack(ranking.auc_ap(drawn[:, patient])) for drawn in draws], axis=1)
    limits = ranking_limits([(label, patient)])
    found = rate_intervals(label, alarm, patient)
    found |= {name: widened(percentiles(ranked[k]), limits[name]) for k, name in enumerate(("auc", "ap"))}
    return {name: found[name] for name in OPERATING_POINT_METRICS}


def fold_resamples(
    omi: npt.ArrayLike, probability: npt.ArrayLike, patient_id: npt.ArrayLike, resamples: int = 2000, seed: int = 0
) -> dict[str, np.ndarray]:
    """Return AUC, AP and Brier score of each resample of the patients of one fold.

    The draws depend on the seed and on the patients only: two models that judged the same ECGs are resampled
    alike, so differences of what is returned are paired.

    Parameters
    ----------
    omi, probability, patient_id, resamples, seed
        See :func:`patient_bootstrap`.

    Returns
    -------
    dict
        ``auc``, ``ap``, ``brier`` → (resamples,) float64; AUC and AP are NaN where a resample has one class, and
        everywhere where the fold has too few patients of a class.

    Raises
    ------
    InputError
        See :func:`patient_bootstrap`.
    """
    label, value = validated(omi, probability)
    patient = patient_numbers(patient_id, label.size)
    if label.size == 0:
        return {name: np.full(resamples, np.nan) for name in ("auc", "ap", "brier")}
    ranking = Ranking.of(label, value)
    ranked = enough_patients(label, patient)
    squared = np.bincount(patient, (value - label) ** 2)
    ecgs = np.bincount(patient).astype(np.float64)
    parts: list[dict[str, np.ndarray]] = []
    for drawn in patient_draws(label.size, ecgs.size, resamples, seed):
        auc, ap = ranking.auc_ap(drawn[:, patient]) if ranked else np.full((2, len(drawn)), np.nan)
        parts.append({"auc": auc, "ap": ap, "brier": (drawn @ squared) / (drawn @ ecgs)})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile interval of resampled values.

    NaN for both where over half of them are undefined, and where the interval has no width: that resamples do not
    differ says that there are too few patients, not that the number is certain.
    """
    low, high = percentiles(values)
    return (low, high) if low < high else (np.nan, np.nan)


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of :func:`interval`, whatever its width."""
    defined = values[~np.isnan(values)]
    if 2 * defined.size < values.size or not defined.size:
        return np.nan, np.nan
    low, high = np.percentile(defined, PERCENTILES)
    return float(low), float(high)


def paired_bootstrap(difference: float, resampled: np.ndarray, least: float) -> dict[str, float]:
    """Return a difference's percentile interval and the two-sided p whose interval would just touch 0.

    Parameters
    ----------
    difference
        As it was seen.
    resampled
        (resamples,) as each resample gives it, NaN where it is undefined there.
    least
        The smallest p that so many patients can give (:func:`~omi_keras.evaluation.delong.least_p`).

    Returns
    -------
    dict
        ``difference, lo, hi, p``; the last three NaN where the difference is undefined, in the data or in over half of
        the resamples, or where none of them changes it.
    """
    if np.isnan(percentiles(resampled)[0]) or np.isnan(difference):
        return {"difference": difference, "lo": np.nan, "hi": np.nan, "p": np.nan}
    low, high = interval(resampled)
    if np.isnan(low) and difference != 0:
        return {"difference": difference, "lo": low, "hi": high, "p": np.nan}
    defined = resampled[~np.isnan(resampled)]
    # One is added because the data themselves are one possible resample: p is never 0.
    tail = min((defined <= 0).sum(), (defined >= 0).sum())
    p = min(1.0, max(least, 2 * (1 + tail) / (1 + defined.size)))
    return {"difference": difference, "lo": low, "hi": high, "p": float(p)}


def patient_numbers(patient_id: npt.ArrayLike, ecgs: int) -> np.ndarray:
    """Return (n,) numbers 0 to patients - 1, in the order of the sorted identifiers.

    Raises
    ------
    InputError
        When one is missing, or there are not as many as ECGs.
    """
    # As objects: NumPy would turn a missing value among texts into the text "nan".
    names = np.asarray(patient_id, dtype=object)
    if names.shape != (ecgs,):
        raise InputError(
            f"expected one patient_id per ECG (shape ({ecgs},)), received shape {names.shape}", "wrong_shape"
        )
    # Text of any identifier: 12 and "12" are one patient, and mixed columns can be sorted.
    text = np.array([_identifier(name) for name in names.tolist()], dtype=np.str_)
    missing = int((text == "").sum())
    if missing:
        raise InputError(
            f"expected a patient_id for every ECG, received none for {missing} of {ecgs}; "
            "without it the ECGs of one patient cannot be kept together",
            "missing_patient_id",
        )
    return np.unique(text, return_inverse=True)[1].reshape(ecgs)


def _identifier(name: object) -> str:
    if name is None or (isinstance(name, float) and np.isnan(name)):
        return ""
    # pandas' missing value is neither None nor a float, and its comparisons have no truth value.
    return "" if type(name).__name__ == "NAType" else unicodedata.normalize("NFC", str(name)).strip()


def patient_draws(ecgs: int, patients: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each patient is drawn, (b, patients) at a time, as many as memory holds for so many ECGs."""
    if resamples < 1:
        raise InputError(f"expected at least 1 resample, received {resamples}", "bad_resamples")
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_WEIGHTS // ecgs)
    return (_draws(rng, min(chunk, resamples - start), patients) for start in range(0, resamples, chunk))


def _draws(rng: np.random.Generator, resamples: int, patients: int) -> np.ndarray:
    """(resamples, patients) float64: how often each patient is drawn; rows sum to the number of patients."""
    drawn = rng.integers(patients, size=(resamples, patients))
    drawn += patients * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * patients)
    return counts.reshape(resamples, patients).astype(np.float64)
