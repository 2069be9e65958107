"""How well the decisions hold in parts of the cohort: by site, sex, age, rhythm, artery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from omi_keras.evaluation.bootstrap import patient_draws, patient_numbers, percentiles
from omi_keras.evaluation.comparison import FoldTest
from omi_keras.evaluation.metrics import confusion_rates, validated
from omi_keras.evaluation.proportions import rate_intervals
from omi_keras.evaluation.ranking import Ranking, ratio
from omi_keras.evaluation.separation import enough_patients, ranking_limits, widened

METRICS = ("auc", "sensitivity", "specificity", "ppv", "npv")
SUBGROUP_COLUMNS = (
    "group", "value", "ecgs", "patients", "omi",
    *(f"{name}{end}" for name in METRICS for end in ("", "_lo", "_hi")),
    "simulated",
)  # fmt: skip
UNKNOWN, OTHER = "not recorded", "other"
MOST_VALUES = 12
# First years of the age bands after the youngest.
AGE_BANDS = (50, 65, 80)


def age_bands(age: np.ndarray) -> np.ndarray:
    """Return ages (n,) in years as text: ``0 to 49``, ``50 to 64``, ``65 to 79``, ``80 or more``, ``""`` for NaN."""
    names = np.array(["0 to 49", "50 to 64", "65 to 79", "80 or more"])
    years = np.asarray(age, np.float64)
    return np.where(np.isnan(years), "", names[np.searchsorted(AGE_BANDS, np.nan_to_num(years), side="right")])


def subgroup_table(
    folds: Sequence[FoldTest],
    groups: Mapping[str, Sequence[np.ndarray]],
    resamples: int,
    seed: int,
    simulated: bool,
) -> pd.DataFrame:
    """Return AUC and the rates of the decisions in each subgroup, with 95 % patient intervals.

    Every test ECG counts once, judged by the model of its fold at that model's threshold. The folds' models have
    their own scales: AUC is the share of right orders among the pairs of an OMI and a no-OMI ECG **of the same
    fold**, pooled over folds that have both classes. What a subgroup cannot define is NaN: sensitivity without OMI,
    AUC with fewer than :data:`~omi_keras.evaluation.separation.MIN_PATIENTS` patients of a class in those folds.

    Parameters
    ----------
    folds
        The test ECGs of one model's folds.
    groups
        Name (``"site"``) → for each fold (n,) text, ``""`` where not known. A group that is empty everywhere is left
        out; of many values the rarest are put together as ``other``.
    resamples, seed
        Of the patients of a subgroup, with replacement, all ECGs of each: for AUC. Rates have the intervals of
        :mod:`~omi_keras.evaluation.proportions`.
    simulated
        True when the data come from the simulator.

    Returns
    -------
    DataFrame
        One row per subgroup after one for all, columns :data:`SUBGROUP_COLUMNS`.

    Raises
    ------
    InputError
        See :func:`~omi_keras.evaluation.metrics.validated`; and when a patient_id is missing.
    """
    omi, probability = validated(
        np.concatenate([test.omi for test in folds]), np.concatenate([test.probability for test in folds])
    )
    alarm = np.concatenate([test.probability >= test.threshold for test in folds])
    fold = np.repeat(np.arange(len(folds)), [test.omi.size for test in folds])
    patient = np.concatenate([test.patient_id for test in folds])
    rows = []
    for group, value, inside in subgroup_parts(groups, omi.size):
        part = omi[inside], probability[inside], alarm[inside], fold[inside], patient[inside]
        found = _measured(*part, resamples=resamples, seed=seed)
        counts = {"ecgs": int(inside.sum()), "patients": np.unique(part[4]).size, "omi": int(part[0].sum())}
        rows.append({"group": group, "value": value} | counts | found | {"simulated": bool(simulated)})
    return pd.DataFrame(rows, columns=list(SUBGROUP_COLUMNS))


def subgroup_parts(groups: Mapping[str, Sequence[np.ndarray]], ecgs: int) -> list[tuple[str, str, np.ndarray]]:
    """Return group, value and the mask (ecgs,) of each subgroup of :func:`subgroup_table`, in its order."""
    parts = [("all", "", np.ones(ecgs, bool))]
    for group, by_fold in groups.items():
        text = np.concatenate([np.asarray(values, np.str_) for values in by_fold])
        known = text != ""
        if not known.any():
            continue
        values, counts = np.unique(text[known], return_counts=True)
        kept = values
        if values.size > MOST_VALUES:
            kept = np.sort(values[np.argsort(-counts, kind="stable")[: MOST_VALUES - 1]])
        parts += [(group, str(value), text == value) for value in kept]
        for name, rest in ((OTHER, known & ~np.isin(text, kept)), (UNKNOWN, ~known)):
            if rest.any():
                parts.append((group, name, rest))
    return parts


def _measured(
    omi: np.ndarray,
    probability: np.ndarray,
    alarm: np.ndarray,
    fold: np.ndarray,
    patient_id: np.ndarray,
    *,
    resamples: int,
    seed: int,
) -> dict[str, float]:
    patient = patient_numbers(patient_id, omi.size)
    patients = int(patient.max()) + 1
    counts = [np.sum(omi & alarm), np.sum(~omi & alarm), np.sum(omi & ~alarm), np.sum(~omi & ~alarm)]
    rates = confusion_rates(*(np.asarray(count, np.float64) for count in counts))
    found = rate_intervals(omi, alarm, patient)
    strata = [_Stratum(omi, probability, np.flatnonzero(fold == f)) for f in np.unique(fold)]
    strata = [stratum for stratum in strata if stratum.both]

    def pooled_auc(drawn: np.ndarray) -> np.ndarray:
        right, pairs = np.sum([stratum.pairs(drawn[:, patient[stratum.rows]]) for stratum in strata], axis=0)
        return ratio(right, pairs)

    ranked = np.concatenate([stratum.rows for stratum in strata]) if strata else np.zeros(0, int)
    auc, found["auc"] = np.nan, (np.nan, np.nan)
    if enough_patients(omi[ranked], patient[ranked]):
        auc = float(pooled_auc(np.ones((1, patients)))[0])
        resampled = [pooled_auc(drawn) for drawn in patient_draws(omi.size, patients, resamples, seed)]
        limits = ranking_limits([(omi[stratum.rows], patient[stratum.rows]) for stratum in strata])["auc"]
        found["auc"] = widened(percentiles(np.concatenate(resampled)), limits)
    row: dict[str, float] = {}
    for name in METRICS:
        value = auc if name == "auc" else float(rates[name])
        row |= {name: value, f"{name}_lo": found[name][0], f"{name}_hi": found[name][1]}
    return row


class _Stratum:
    """The ECGs of a subgroup in one fold."""

    def __init__(self, omi: np.ndarray, probability: np.ndarray, rows: np.ndarray) -> None:
        self.rows = rows
        self.omi = omi[rows]
        self.ranking = Ranking.of(self.omi, probability[rows])
        self.both = bool(self.omi.any() and not self.omi.all())

    def pairs(self, weights: np.ndarray) -> np.ndarray:
        """(2, b): pairs in the right order, and pairs, for each row of weights (b, n)."""
        pairs = weights[:, self.omi].sum(axis=1) * weights[:, ~self.omi].sum(axis=1)
        auc = self.ranking.auc_ap(weights)[0]
        return np.stack([np.where(pairs > 0, auc, 0.0) * pairs, pairs])
