"""When AUC and AP are undefined, and what a perfect ranking of few patients can promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn.metrics import average_precision_score, roc_auc_score

from omi_keras.evaluation.bootstrap import patient_bootstrap
from omi_keras.evaluation.comparison import FoldTest, Resamples, comparisons, intervals
from omi_keras.evaluation.delong import Z_95
from omi_keras.evaluation.separation import (
    MIN_PATIENTS,
    ap_of_auc,
    enough_patients,
    perfect_auc_limit,
    ranking_limits,
    widened,
)
from omi_keras.evaluation.subgroups import subgroup_table
from omi_keras.evaluation.tables import format_table5, table5


def test_patients_are_counted_not_ecgs():
    assert MIN_PATIENTS == 2
    assert enough_patients(np.array([1, 1, 0, 0]), np.array(["a", "b", "c", "d"]))
    assert not enough_patients(np.array([1, 1, 0, 0]), np.array(["a", "a", "c", "d"]))
    assert not enough_patients(np.array([1, 1, 0, 0]), np.array(["a", "b", "c", "c"]))
    assert not enough_patients(np.array([]), np.array([]))
    # One with an ECG of either class counts for both.
    assert enough_patients(np.array([1, 1, 0, 0]), np.array(["a", "b", "a", "b"]))


@pytest.mark.parametrize(("with_omi", "without"), [(2, 2), (2, 100), (12, 40), (60, 700)])
def test_limit_of_a_perfect_auc_is_newcombes(with_omi, without):
    """His method 5 as published: |1 − θ| = z √V(θ), by another solver."""
    star = (with_omi + without) / 2 - 1

    def distance(auc):
        variance = auc * (1 - auc) * (1 + star * (1 - auc) / (2 - auc) + star * auc / (1 + auc)) / (with_omi * without)
        return (1 - auc) - Z_95 * math.sqrt(variance)

    assert perfect_auc_limit(with_omi, without) == pytest.approx(brentq(distance, 1e-9, 1 - 1e-9), abs=1e-9)


def test_limit_grows_with_patients():
    limits = [perfect_auc_limit(n, 3 * n) for n in (1, 2, 5, 20, 100, 1000)]
    assert limits == sorted(limits)
    assert limits[0] < 0.6
    assert 0.99 < limits[-1] < 1
    assert perfect_auc_limit(0, 5) == 0


@pytest.mark.parametrize("share", [0.066, 0.3, 0.7])
@pytest.mark.parametrize("auc", [0.6, 0.8, 0.95])
def test_ap_of_the_exponential_curve(auc, share):
    """Probabilities drawn from the very distributions that Hanley and McNeil's formula assumes."""
    rng = np.random.default_rng(0)
    n = 400_000
    omi = rng.random(n) < share
    # No OMI: exponential of rate 1; OMI: of rate (1 − AUC) / AUC, so TPR = FPR^rate.
    value = rng.exponential(np.where(omi, auc / (1 - auc), 1.0))
    assert roc_auc_score(omi, value) == pytest.approx(auc, abs=0.004)
    assert ap_of_auc(auc, share) == pytest.approx(average_precision_score(omi, value), abs=0.006)


def test_ap_at_the_ends():
    assert ap_of_auc(1.0, 0.1) == 1
    assert ap_of_auc(0.9, 1.0) == 1
    assert ap_of_auc(0.9, 0.0) == 0
    assert ap_of_auc(0.5, 0.2) == pytest.approx(0.2)
    assert 0 < ap_of_auc(1e-9, 0.2) < 0.2
    assert ap_of_auc(1 - 1e-12, 1e-6) == pytest.approx(1, abs=1e-3)


def perfect(with_omi, without):
    omi = np.r_[np.ones(with_omi, int), np.zeros(without, int)]
    return omi, 0.25 + 0.5 * omi, np.arange(omi.size).astype(str)


def test_a_perfect_auc_of_few_patients_is_not_certain():
    omi, probability, patient = perfect(6, 20)
    found = patient_bootstrap(omi, probability, patient, 0.5, 200)
    limits = ranking_limits([(omi, patient)])
    assert found["auc"] == (limits["auc"][0], 1)
    assert 0.7 < found["auc"][0] < 0.95
    assert found["ap"] == (limits["ap"][0], 1)
    worst = patient_bootstrap(omi, 1 - probability, patient, 0.5, 200)
    assert worst["auc"] == (0, 1 - limits["auc"][0])
    assert worst["ap"][0] < worst["ap"][1]
    # Ten copies of each ECG are no more patients.
    copies = [np.repeat(array, 10) for array in (omi, probability, patient)]
    assert patient_bootstrap(*copies, 0.5, 200)["auc"] == pytest.approx(found["auc"])


def test_a_worse_ranking_never_has_a_better_lower_limit():
    omi, probability, patient = perfect(6, 40)
    best = patient_bootstrap(omi, probability, patient, 0.5, 300)
    probability[10] = 0.9  # one false alarm above all
    worse = patient_bootstrap(omi, probability, patient, 0.5, 300)
    assert worse["auc"][0] <= best["auc"][0]
    assert worse["ap"][0] <= best["ap"][0]


def test_what_still_has_no_width_is_undefined():
    """A model that says the same of everybody: AUC ½ in every resample, which is not an estimate."""
    omi = np.r_[np.ones(10, int), np.zeros(30, int)]
    found = patient_bootstrap(omi, np.full(40, 0.3), np.arange(40), 0.5, 100)
    assert np.isnan(found["auc"]).all()
    assert found["ap"][0] < 0.25 < found["ap"][1]
    assert np.isnan(widened((np.nan, np.nan), (0.9, 0.1))).all()
    assert np.isnan(widened((0.5, 0.5), (0.9, 0.1))).all()


def judged(omi, probability, patient, name="a"):
    ids = np.array([f"{name}{k}" for k in range(omi.size)])
    return FoldTest(ids, omi, probability, np.array([f"{name}-{who}" for who in patient]), 0.5)


def lone(name="a"):
    """One OMI patient with two ECGs, ranked above all."""
    omi = np.r_[1, 1, np.zeros(30, int)]
    return judged(omi, np.linspace(0.9, 0.1, 32), np.r_[0, 0, np.arange(1, 31)], name)


def whole(name="b", seed=0):
    rng = np.random.default_rng(seed)
    omi = np.repeat([1, 0], [20, 60])
    return judged(omi, np.clip(0.3 * omi + rng.normal(0.4, 0.2, 80), 0, 1), np.arange(80), name)


def test_one_omi_patient_is_undefined_everywhere():
    one = lone()
    arrays = {"omi": one.omi, "probability": one.probability, "patient_id": one.patient_id}
    found = patient_bootstrap(**arrays, threshold=0.5, resamples=100)
    table = table5({"test": arrays}, 0.5, 100, 0, simulated=True)
    group = subgroup_table([one], {}, 100, 0, simulated=True).iloc[0]
    resampled = Resamples({"m": {0: one, 1: whole()}, "n": {0: one, 1: whole(seed=1)}}, 50, 0)
    mean = intervals(resampled, simulated=True).iloc[0]
    for name in ("auc", "ap"):
        assert np.isnan(found[name]).all()
        assert table[[name, f"{name}_lo", f"{name}_hi"]].isna().all(axis=None)
        assert np.isnan([mean[name], mean[f"{name}_lo"], mean[f"{name}_hi"]]).all()
    assert np.isnan([group["auc"], group["auc_lo"], group["auc_hi"]]).all()
    assert group["sensitivity_lo"] < group["sensitivity"]
    assert [line.split()[-1] for line in format_table5(table).splitlines()[-2:]] == ["undefined"] * 2
    assert comparisons(resampled, True)[["difference", "lo", "hi", "p", "p_holm"]].isna().all(axis=None)
    assert mean["brier_lo"] < mean["brier"] < mean["brier_hi"]


def test_a_subgroup_counts_patients_of_the_folds_that_rank():
    """OMI patients of a fold without others are in no pair: they do not help the one who is."""
    others = judged(np.ones(5, int), np.linspace(0.2, 0.9, 5), np.arange(5), "c")
    row = subgroup_table([lone(), others], {}, 50, 0, True).iloc[0]
    assert np.isnan(row["auc"])
    assert row["omi"] == 7
    defined = subgroup_table([whole(), others], {}, 50, 0, True).iloc[0]
    assert defined["auc"] == pytest.approx(roc_auc_score(whole().omi, whole().probability))


def test_two_perfect_models_are_not_known_to_be_equal():
    omi, probability, patient = perfect(4, 20)
    first = {0: judged(omi, probability, patient)}
    second = {0: judged(omi, 0.9 * probability, patient)}
    table = comparisons(Resamples({"a": first, "b": second}, 100, 0), simulated=False)
    assert table["difference"].tolist() == [0, 0]
    assert table["p"].tolist() == [1, 1]
    assert table[["lo", "hi"]].isna().all(axis=None)


def test_no_p_is_zero_or_smaller_than_so_few_patients_allow():
    """A model that is right of all and one that is wrong of all, two patients of a class each."""
    omi, probability, patient = perfect(2, 2)
    probability = probability + np.array([0.0, 0.01, 0.02, 0.0])
    first = {0: judged(omi, probability, patient)}
    second = {0: judged(omi, np.where(np.arange(4) == 1, 0.9, 1 - probability), patient)}
    table = comparisons(Resamples({"a": first, "b": second}, 400, 0), simulated=False)
    defined = table["p"].dropna()
    assert len(defined)
    assert (defined >= 2.0**-3).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=25),
    st.integers(0, 3),
)
def test_no_silly_interval_whatever_the_cohort(rows, seed):
    """One class, one patient, ties, constants: numbers in order and of some width, or nothing; never a warning."""
    omi, probability, patient = np.array(rows).T
    probability = probability / 5
    found = patient_bootstrap(omi, probability, patient, 0.5, 40, seed)
    ids = patient.astype(str)
    table = table5({"test": {"omi": omi, "probability": probability, "patient_id": ids}}, 0.5, 40, seed, True)
    group = subgroup_table([judged(omi, probability, patient)], {}, 40, seed, True).iloc[0]
    for name, (low, high) in found.items():
        value = table.at[0, name]
        assert np.isnan(value) or 0 <= value <= 1
        assert np.isnan([low, high]).all() or 0 <= low < high <= 1
        if np.isnan(value):
            assert np.isnan([low, high]).all()
        elif name not in ("auc", "ap"):
            assert low <= value <= high
        if name in group.index:
            assert group[name] == pytest.approx(value, nan_ok=True)
            assert (group[f"{name}_lo"], group[f"{name}_hi"]) == pytest.approx((low, high), nan_ok=True)
