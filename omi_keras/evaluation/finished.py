"""Finished models on ECGs that they never saw → the tables of ``omi-keras validate``.

A finished model brings its own threshold and bands; nothing is chosen on these ECGs but the thresholds at which it is
as specific as something else that decides (a comparator: a reader, a device's statement, the STEMI criteria).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from omi_keras.evaluation.bootstrap import BOOTSTRAP, patient_numbers
from omi_keras.evaluation.calibration import calibration_table, decision_curve_table
from omi_keras.evaluation.calibration_fit import FIT, calibration_fit
from omi_keras.evaluation.comparison import FoldTest, Resamples, comparisons, holm, intervals
from omi_keras.evaluation.decisions import RATES, confusion, threshold_at_specificity
from omi_keras.evaluation.metrics import operating_point_metrics
from omi_keras.evaluation.paired_rates import at_equal_specificity, paired_rate
from omi_keras.evaluation.proportions import proportion_interval
from omi_keras.evaluation.subgroups import SUBGROUP_COLUMNS, subgroup_table

RESAMPLES = 2000
METRICS_COLUMNS = (
    "model", "ecgs", "patients", "omi", "auc", "auc_lo", "auc_hi", "ap", "ap_lo", "ap_hi", "brier",
    "calibration_slope", "calibration_intercept", "simulated",
)  # fmt: skip
PREDICTIONS_COLUMNS = ("model", "ecg_id", "patient_id", "omi", "probability", "decision", "band")
FALSE = "false_activations_per_100"
DECISIONS_COLUMNS = (
    "model", "rule", "threshold", "ecgs", "patients", "true_positive", "false_positive", "false_negative",
    "true_negative", "alarm_share", *(f"{name}{end}" for name in (FALSE, *RATES) for end in ("", "_lo", "_hi")),
    "simulated",
)  # fmt: skip
COMPARISON_COLUMNS = (
    "first", "second", "metric", "ecgs", "patients", "first_value", "second_value", "difference", "lo", "hi", "p",
    "p_holm", "method", "simulated",
)  # fmt: skip
OPERATING_POINT, RULE_OUT, RULE_IN, STATED = "operating point", "rule out", "rule in", "as stated"
EQUAL = "sensitivity at equal specificity"
MCNEMAR = "exact McNemar by patients"
TREAT = ("treat all", "treat none")
# The one "fold" of a test without folds.
_ALL = 0


@dataclass(frozen=True)
class Answers:
    """What a finished model says of every ECG.

    Attributes
    ----------
    probability
        (n,) P(OMI).
    threshold
        Its operating point: OMI when P(OMI) ≥ threshold.
    bands
        ``rule_out`` (below it OMI is ruled out) and ``rule_in`` (from it on it is ruled in); either may be None.
    """

    probability: np.ndarray
    threshold: float
    bands: Mapping[str, float | None] | None = None

    @property
    def alarm(self) -> np.ndarray:
        """(n,) bool."""
        return np.asarray(self.probability >= self.threshold)

    @property
    def band(self) -> np.ndarray:
        """(n,) text: ``rule-in``, ``open``, ``rule-out``; empty for a model without bands."""
        if not self.bands:
            return np.full(self.probability.size, "", dtype="<U8")
        out, into = (self.bands.get(name) for name in ("rule_out", "rule_in"))
        low = self.probability < (-np.inf if out is None else out)
        return np.where(
            self.probability >= (np.inf if into is None else into), "rule-in", np.where(low, "rule-out", "open")
        )


@dataclass(frozen=True)
class FinishedModels:
    """Models, what else decides, and the ECGs that all of them judged; every table is computed once.

    Attributes
    ----------
    ecg_id, omi, patient_id
        (n,) text, 0 or 1, text.
    models
        Name → answers.
    comparators
        Name → (n,) 1, 0, or NaN where nothing is stated.
    groups
        Name of a subgroup → (n,) text, empty where not known.
    simulated
        Whether any of the ECGs are.
    """

    ecg_id: np.ndarray
    omi: np.ndarray
    patient_id: np.ndarray
    models: Mapping[str, Answers]
    comparators: Mapping[str, np.ndarray]
    groups: Mapping[str, np.ndarray]
    simulated: bool
    resamples: int = RESAMPLES
    seed: int = 0

    @cached_property
    def tests(self) -> dict[str, dict[int, FoldTest]]:
        """As :mod:`~omi_keras.evaluation.comparison` takes them."""
        return {
            name: {_ALL: FoldTest(self.ecg_id, self.omi, of.probability, self.patient_id, of.threshold)}
            for name, of in self.models.items()
        }

    @cached_property
    def resampled(self) -> Resamples:
        """AUC, AP and Brier score of every model in every resample of patients."""
        return Resamples(self.tests, self.resamples, self.seed)

    @cached_property
    def measured(self) -> pd.DataFrame:
        """:data:`METRICS_COLUMNS`, and the intervals of what has none there."""
        found = intervals(self.resampled, self.simulated)
        fits = [calibration_fit(self.omi, of.probability, self.patient_id) for of in self.models.values()]
        return pd.concat([found, pd.DataFrame(fits)], axis=1)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """``metrics.csv``."""
        return self.measured[list(METRICS_COLUMNS)]

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """``predictions.csv``."""
        parts = [
            pd.DataFrame({
                "model": name, "ecg_id": self.ecg_id, "patient_id": self.patient_id, "omi": self.omi,
                "probability": of.probability, "decision": of.alarm.astype(int), "band": of.band,
            })
            for name, of in self.models.items()
        ]  # fmt: skip
        return pd.concat(parts, ignore_index=True)[list(PREDICTIONS_COLUMNS)]

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """``decisions.csv``: what each model decides at thresholds of its own, what each comparator does, and each
        model at its specificity."""
        rows = []
        everywhere = np.ones(self.omi.size, bool)
        for name, of in self.models.items():
            rows.append(self._decided(name, OPERATING_POINT, of.threshold, of.alarm, everywhere))
            for rule, key in ((RULE_OUT, "rule_out"), (RULE_IN, "rule_in")):
                limit = (of.bands or {}).get(key)
                if limit is not None:
                    rows.append(self._decided(name, rule, limit, of.probability >= limit, everywhere))
        for comparator, stated in self.comparators.items():
            known = ~np.isnan(stated)
            rows.append(self._decided(comparator, STATED, np.nan, stated == 1, known))
            specificity = operating_point_metrics(self.omi[known], stated[known], 0.5)["specificity"]
            for name, of in self.models.items():
                limit = threshold_at_specificity(self.omi[known], of.probability[known], specificity)
                # Comparing with NaN: where no threshold is so specific, nobody is alarmed.
                alarm = of.probability >= limit
                rows.append(self._decided(name, f"at the specificity of {comparator}", limit, alarm, known))
        return pd.DataFrame(rows, columns=list(DECISIONS_COLUMNS))

    def _decided(self, model: str, rule: str, threshold: float, alarm: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
        omi, alarm, patient_id = self.omi[rows] == 1, alarm[rows], self.patient_id[rows]
        patient = patient_numbers(patient_id, omi.size)
        false = ~omi & alarm
        share = float(false.mean()) if omi.size else np.nan
        per_100 = [100 * part for part in (share, *proportion_interval(false, patient))]
        return {
            "model": model, "rule": rule, "threshold": threshold, "ecgs": omi.size,
            "patients": np.unique(patient).size, **confusion(omi, alarm, patient_id),
            **dict(zip((FALSE, f"{FALSE}_lo", f"{FALSE}_hi"), per_100, strict=True)), "simulated": self.simulated,
        }  # fmt: skip

    @cached_property
    def subgroups(self) -> pd.DataFrame:
        """``subgroups.csv``: of each model at its operating point."""
        how: dict[str, Any] = {"resamples": self.resamples, "seed": self.seed, "simulated": self.simulated}
        groups = {name: [values] for name, values in self.groups.items()}
        parts = [subgroup_table([folds[_ALL]], groups, **how).assign(model=name) for name, folds in self.tests.items()]
        return pd.concat(parts, ignore_index=True)[["model", *SUBGROUP_COLUMNS]]

    @cached_property
    def comparison(self) -> pd.DataFrame:
        """``comparison.csv``: each two models, and each model beside each comparator; first minus second.

        AUC and AP as :func:`~omi_keras.evaluation.comparison.comparisons`; sensitivity and specificity at operating
        points, and a model's sensitivity at the specificity of a comparator, as
        :mod:`~omi_keras.evaluation.paired_rates`.
        ``p_holm`` is corrected for all tests of the table.
        """
        rows = [self._ranked(row) for row in comparisons(self.resampled, self.simulated).to_dict("records")]
        everywhere = np.ones(self.omi.size, bool)
        for (first, one), (second, other) in combinations(self.models.items(), 2):
            rows += self._paired(first, second, one.alarm, other.alarm, everywhere)
        for comparator, stated in self.comparators.items():
            known = ~np.isnan(stated)
            for name, of in self.models.items():
                equal = at_equal_specificity(
                    self.omi[known], of.probability[known], stated[known], self.patient_id[known], self.resamples,
                    self.seed,
                )  # fmt: skip
                rows.append(self._row(name, comparator, EQUAL, known, equal, BOOTSTRAP))
                rows += self._paired(name, comparator, of.alarm, stated == 1, known)
        table = pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))
        table["p_holm"] = holm(table["p"].to_numpy(np.float64))
        return table

    def _ranked(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        values = self.metrics.set_index("model")[row["metric"]]
        found = {"first_value": values[row["first"]], "second_value": values[row["second"]]}
        found |= {name: row[name] for name in ("difference", "lo", "hi", "p")}
        everywhere = np.ones(self.omi.size, bool)
        return self._row(row["first"], row["second"], row["metric"], everywhere, found, row["method"])

    def _paired(
        self, first: str, second: str, one: np.ndarray, other: np.ndarray, rows: np.ndarray
    ) -> list[dict[str, Any]]:
        found = []
        for metric, label in (("sensitivity", 1), ("specificity", 0)):
            inside = rows & (self.omi == label)
            first_right, second_right = ((alarm == (label == 1))[inside] for alarm in (one, other))
            paired = paired_rate(first_right, second_right, self.patient_id[inside], self.resamples, self.seed)
            found.append(self._row(first, second, metric, inside, paired))
        return found

    def _row(
        self, first: str, second: str, metric: str, rows: np.ndarray, found: Mapping[str, Any], method: str = MCNEMAR
    ) -> dict[str, Any]:
        counts = {"ecgs": int(rows.sum()), "patients": np.unique(self.patient_id[rows]).size}
        named = {"first": first, "second": second, "metric": metric, "method": method, "simulated": self.simulated}
        return named | counts | dict(found)

    @cached_property
    def calibration(self) -> pd.DataFrame:
        """``calibration.csv``."""
        models = {name: (self.omi, of.probability, self.patient_id) for name, of in self.models.items()}
        return calibration_table(models, self.simulated)

    @cached_property
    def decision_curve(self) -> pd.DataFrame:
        """``decision_curve.csv``; a comparator that is silent about some ECGs has no curve beside the others."""
        rules = {name: (self.omi, of.probability) for name, of in self.models.items()}
        whole = {name: stated for name, stated in self.comparators.items() if not np.isnan(stated).any()}
        rules |= {name: (self.omi, stated) for name, stated in whole.items()}
        ones = np.ones(self.omi.size)
        return decision_curve_table(
            rules | {TREAT[0]: (self.omi, ones), TREAT[1]: (self.omi, 0 * ones)}, self.simulated
        )

    @property
    def fits(self) -> pd.DataFrame:
        """Slope and intercept of calibration, and Brier score, with 95 % intervals of patients."""
        columns = [f"{name}{end}" for name in ("brier", *FIT) for end in ("", "_lo", "_hi")]
        return self.measured[["model", *columns]]
