"""Models side by side on their test folds: intervals of the means over folds, and paired tests of differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from omi_keras.evaluation.bootstrap import BOOTSTRAP, fold_resamples, interval, paired_bootstrap, percentiles
from omi_keras.evaluation.calibration import brier_score
from omi_keras.evaluation.delong import PairedFold, least_p, paired_delong
from omi_keras.evaluation.metrics import ranking_metrics
from omi_keras.evaluation.separation import enough_patients, ranking_limits, widened
from omi_keras.recordings.errors import InputError

INTERVAL_METRICS = ("auc", "ap", "brier")
INTERVALS_COLUMNS = (
    "model", "folds", "ecgs", "patients", "omi",
    *(f"{name}{end}" for name in INTERVAL_METRICS for end in ("", "_lo", "_hi")),
    "simulated",
)  # fmt: skip
COMPARISON_COLUMNS = (
    "first", "second", "metric", "folds", "difference", "lo", "hi", "p", "p_holm", "method", "simulated",
)  # fmt: skip
DELONG = "DeLong, patients clustered"


@dataclass(frozen=True)
class FoldTest:
    """One fold's test ECGs as its model judged them, in an order that all models share.

    Attributes
    ----------
    ecg_id
        (n,) text.
    omi
        (n,) 0 or 1.
    probability
        (n,) P(OMI).
    patient_id
        (n,) text.
    threshold
        Operating point of the fold's model, from its validation fold.
    """

    ecg_id: np.ndarray
    omi: np.ndarray
    probability: np.ndarray
    patient_id: np.ndarray
    threshold: float


class Resamples:
    """What every fold of every model gives in every resample of patients, computed once."""

    def __init__(self, models: Mapping[str, Mapping[int, FoldTest]], resamples: int, seed: int) -> None:
        self.models = models
        self._values = {
            (model, fold): fold_resamples(test.omi, test.probability, test.patient_id, resamples, seed + fold)
            for model, folds in models.items()
            for fold, test in folds.items()
        }

    def mean(self, model: str, metric: str, folds: Sequence[int]) -> np.ndarray:
        """(resamples,) mean over folds; NaN where one of them is undefined."""
        return np.mean([self._values[model, fold][metric] for fold in folds], axis=0)


def intervals(resampled: Resamples, simulated: bool) -> pd.DataFrame:
    """Return each model's mean test AUC, AP and Brier score over folds with 95 % intervals.

    The mean is Table 4's. Patients are resampled within their folds, and each fold keeps its own model: the
    interval is about the patients, whereas Table 4's SD is about folds and models together. The later version of
    the paper gives AUC 0.953 [0.921, 0.978] in this form. Percentiles of the resamples; those of AUC and AP promise no
    more than perfect rankings of as many patients could (:mod:`~omi_keras.evaluation.separation`).

    Returns
    -------
    DataFrame
        One row per model, columns :data:`INTERVALS_COLUMNS`; NaN is undefined, as in Table 4 when one fold is: of
        one class, or of fewer than :data:`~omi_keras.evaluation.separation.MIN_PATIENTS` patients of a class.
    """
    rows = []
    for model, folds in resampled.models.items():
        point = _means(folds.values())
        row: dict[str, object] = {
            "model": model,
            "folds": len(folds),
            "ecgs": sum(test.omi.size for test in folds.values()),
            "patients": len({name for test in folds.values() for name in test.patient_id.tolist()}),
            "omi": sum(int(test.omi.sum()) for test in folds.values()),
        }
        limits = ranking_limits([(test.omi, test.patient_id) for test in folds.values()])
        for name in INTERVAL_METRICS:
            values = resampled.mean(model, name, list(folds))
            low, high = widened(percentiles(values), limits[name]) if name in limits else interval(values)
            row |= {name: point[name], f"{name}_lo": low, f"{name}_hi": high}
        rows.append(row | {"simulated": bool(simulated)})
    return pd.DataFrame(rows, columns=list(INTERVALS_COLUMNS))


def comparisons(resampled: Resamples, simulated: bool) -> pd.DataFrame:
    """Return paired tests of each two models on the folds that both were tested on.

    AUC by DeLong's test for clustered patients (:func:`~omi_keras.evaluation.delong.paired_delong`), AP by the
    paired bootstrap of patients: the share of resamples in which the difference has the other sign, twice. Both are
    of the difference of the means over folds. ``p_holm`` is corrected for all the tests of the table (Holm 1979). No p
    is below :func:`~omi_keras.evaluation.delong.least_p`, and a difference that no resample changes has no interval:
    two models that both rank few patients perfectly are not known to be equal.

    Returns
    -------
    DataFrame
        Two rows (AUC, AP) per pair, columns :data:`COMPARISON_COLUMNS`, difference = first − second; no rows where
        two models share no fold of the same ECGs. NaN is undefined.
    """
    rows: list[dict[str, object]] = []
    for first, second in combinations(resampled.models, 2):
        a, b = resampled.models[first], resampled.models[second]
        shared = [fold for fold in a if fold in b and np.array_equal(a[fold].ecg_id, b[fold].ecg_id)]
        if not shared:
            continue
        pairs = [
            PairedFold(a[fold].omi, a[fold].probability, b[fold].probability, a[fold].patient_id) for fold in shared
        ]
        means = [_means(folds[fold] for fold in shared) for folds in (a, b)]
        auc = paired_delong(pairs)
        if np.isnan(means[0]["auc"]):  # of the fold itself, so of either model
            auc = dict.fromkeys(auc, np.nan)
        ap = paired_bootstrap(
            means[0]["ap"] - means[1]["ap"],
            resampled.mean(first, "ap", shared) - resampled.mean(second, "ap", shared),
            least_p(sum(np.unique(a[fold].patient_id).size for fold in shared)),
        )
        for metric, found, method in (("auc", auc, DELONG), ("ap", ap, BOOTSTRAP)):
            rows.append(
                {"first": first, "second": second, "metric": metric, "folds": len(shared), "method": method}
                | {name: found[name] for name in ("difference", "lo", "hi", "p")}
                | {"simulated": bool(simulated)}
            )
    table = pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))
    table["p_holm"] = holm(table["p"].to_numpy(np.float64))
    return table


def holm(p: np.ndarray) -> np.ndarray:
    """Return p values corrected for their number by Holm's step-down method; NaN stays NaN and does not count.

    Raises
    ------
    InputError
        When a p value is not within 0 and 1.

    References
    ----------
    Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    values = np.asarray(p, np.float64)
    if ((values < 0) | (values > 1)).any():
        raise InputError(f"expected p values from 0 to 1, received {values.tolist()}", "bad_p")
    order = np.argsort(values)
    order = order[~np.isnan(values[order])]
    corrected = np.full(values.shape, np.nan)
    factors = np.arange(order.size, 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1.0)
    return corrected


def _means(tests: Iterable[FoldTest]) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in INTERVAL_METRICS}
    for test in tests:
        ranking = ranking_metrics(test.omi, test.probability)
        if not enough_patients(test.omi, test.patient_id):
            ranking = dict.fromkeys(ranking, np.nan)
        found["auc"].append(ranking["auc"])
        found["ap"].append(ranking["ap"])
        found["brier"].append(brier_score(test.omi, test.probability))
    return {name: float(np.mean(values)) for name, values in found.items()}
