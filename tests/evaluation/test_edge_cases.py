"""Cohorts as they should not be: one class, one patient, ties, constants. Numbers that can be, or none; no warning."""

from __future__ import annotations

import numpy as np
import pytest

from omi_keras.drawing.curves import calibration_panel, decision_panel
from omi_keras.drawing.figures import figure6, single
from omi_keras.evaluation.calibration import DECISION_THRESHOLDS, calibration_curve, net_benefit
from omi_keras.evaluation.comparison import INTERVAL_METRICS, FoldTest, Resamples, comparisons, intervals
from omi_keras.evaluation.decisions import RATES, decision_table
from omi_keras.evaluation.subgroups import METRICS, subgroup_table
from omi_keras.evaluation.tables import format_comparison, format_table5, table5
from omi_keras.recordings.errors import InputError

pytestmark = pytest.mark.filterwarnings("error")


def judged(rng, number):
    """A fold of 1 to 30 ECGs of 1 to 30 patients, at times of one class, and a model that may say the same of all."""
    ecgs = int(rng.integers(1, 31))
    omi = (rng.random(ecgs) < rng.choice([0, 0.1, 0.5, 0.9, 1])).astype(int)
    drawn = rng.random(ecgs)
    kinds = (drawn, np.round(drawn, 1), np.full(ecgs, 0.3), omi * 1.0, 0.25 + omi / 2, np.zeros(ecgs), np.ones(ecgs))
    ids = np.array([f"{number}-{k}" for k in range(ecgs)])
    patient = np.array([f"{number}p{k}" for k in rng.integers(rng.integers(1, ecgs + 1), size=ecgs)])
    return FoldTest(ids, omi, kinds[rng.integers(len(kinds))], patient, float(rng.random()))


def another(rng, test):
    probability = (test.probability, rng.random(test.omi.size), 0.9 * test.probability)[rng.integers(3)]
    return FoldTest(test.ecg_id, test.omi, probability, test.patient_id, 0.5)


def holds(row, names, least=0.0):
    for name in names:
        low, high = row[f"{name}_lo"], row[f"{name}_hi"]
        assert np.isnan([low, high]).all() or least <= low < high <= 1, (name, low, high)
        if np.isnan(row[name]):
            assert np.isnan(low), name


@pytest.mark.parametrize("seed", range(40))
def test_tables(seed):
    rng = np.random.default_rng(seed)
    first = {k: judged(rng, k) for k in range(rng.integers(1, 4))}
    second = {k: another(rng, test) for k, test in first.items()}
    resampled = Resamples({"a": first, "b": second}, 30, seed)
    for row in intervals(resampled, True).to_dict("records"):
        holds(row, INTERVAL_METRICS)
    table = comparisons(resampled, True)
    for row in table.to_dict("records"):
        assert np.isnan(row["p"]) or 0 < row["p"] <= row["p_holm"] <= 1
        assert np.isnan(row["lo"]) or -1 <= row["lo"] < row["hi"] <= 1
    format_comparison(table)
    site = [np.where(rng.random(test.omi.size) < 0.5, "north", "") for test in first.values()]
    for row in subgroup_table(list(first.values()), {"site": site}, 20, seed, True).to_dict("records"):
        holds(row, METRICS)
    splits = {
        name: {"omi": test.omi, "probability": test.probability, "patient_id": test.patient_id,
               "stemi": rng.random(test.omi.size) < 0.3}
        for name, test in (("validation", first[0]), ("test", second[0]))
    }  # fmt: skip
    for row in decision_table(splits, 0.5, True).to_dict("records"):
        holds(row, RATES)
    five = table5(splits, 0.5, 20, seed, True)
    for row in five.to_dict("records"):
        holds(row, ("accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "auc", "ap"))
    format_table5(five)
    curve = calibration_curve(first[0].omi, first[0].probability, patient_id=first[0].patient_id)
    assert (curve["lo"] < curve["hi"]).all()
    assert curve["probability"].between(0, 1).all()
    if seed % 8 == 0:
        _draw(splits, curve)


def _draw(splits, curve):
    omi, probability = splits["test"]["omi"], splits["test"]["probability"]
    rules = {"model": probability, "treat all": np.ones(omi.size), "treat none": np.zeros(omi.size)}
    benefit = {name: net_benefit(omi, judgement) for name, judgement in rules.items()}
    drawn = (
        figure6({k: (v["omi"], v["probability"], v["patient_id"]) for k, v in splits.items()}, 0.5, True),
        single(lambda axes: calibration_panel(axes, {"model": curve})),
        single(lambda axes: decision_panel(axes, DECISION_THRESHOLDS, benefit)),
    )
    for figure in drawn:
        figure.canvas.draw()


def test_a_missing_probability_is_refused_not_ranked():
    """NaN is neither above nor below a threshold; it must not become a rightly quiet ECG."""
    test = judged(np.random.default_rng(3), 0)
    probability = test.probability.copy()
    probability[0] = np.nan
    broken = FoldTest(test.ecg_id, test.omi, probability, test.patient_id, 0.5)
    arrays = {"omi": test.omi, "probability": probability, "patient_id": test.patient_id}
    for call in (
        lambda: Resamples({"a": {0: broken}}, 10, 0),
        lambda: subgroup_table([broken], {}, 10, 0, True),
        lambda: decision_table({"validation": arrays}, 0.5, True),
        lambda: table5({"test": arrays}, 0.5, 10, 0, True),
        lambda: calibration_curve(test.omi, probability),
    ):
        with pytest.raises(InputError, match="finite probabilities"):
            call()
