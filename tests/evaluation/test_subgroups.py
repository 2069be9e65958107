"""Subgroups: by hand, one-class ones undefined, AUC from pairs within folds."""

from __future__ import annotations

import numpy as np
import pytest

from omi_keras.evaluation.comparison import FoldTest
from omi_keras.evaluation.subgroups import MOST_VALUES, SUBGROUP_COLUMNS, age_bands, subgroup_table


def folds(n_folds=3, ecgs=60):
    found = []
    for k in range(n_folds):
        rng = np.random.default_rng(k)
        patient = rng.integers(30, size=ecgs)
        omi = (rng.random(30) < 0.3)[patient].astype(int)
        probability = np.round(np.clip(0.3 * omi + rng.normal(0.3 + 0.1 * k, 0.2, ecgs), 0, 1), 2)
        names = np.array([f"{k}-{i}" for i in range(ecgs)])
        found.append(FoldTest(names, omi, probability, np.array([f"{k}-{i}" for i in patient]), 0.4 + 0.1 * k))
    return found


def slow_auc(tests, inside):
    right = pairs = 0.0
    for test, kept in zip(tests, inside, strict=True):
        for i in np.flatnonzero(kept & (test.omi == 1)):
            for j in np.flatnonzero(kept & (test.omi == 0)):
                a, b = test.probability[i], test.probability[j]
                right += 1.0 if a > b else 0.5 if a == b else 0.0
                pairs += 1
    return right / pairs


def test_numbers_by_hand():
    tests = folds()
    site = [np.where(np.arange(60) % 3 == 0, "north", "south") for _ in tests]
    table = subgroup_table(tests, {"site": site}, resamples=30, seed=0, simulated=True)
    assert tuple(table.columns) == SUBGROUP_COLUMNS
    assert [(row["group"], row["value"]) for row in table.to_dict("records")] == [
        ("all", ""), ("site", "north"), ("site", "south"),
    ]  # fmt: skip
    for row in table.to_dict("records"):
        inside = [np.ones(60, bool) if row["group"] == "all" else part == row["value"] for part in site]
        omi = np.concatenate([test.omi[kept] for test, kept in zip(tests, inside, strict=True)])
        alarm = np.concatenate(
            [(test.probability >= test.threshold)[kept] for test, kept in zip(tests, inside, strict=True)]
        )
        assert (row["ecgs"], row["omi"]) == (omi.size, omi.sum())
        assert row["sensitivity"] == pytest.approx(alarm[omi == 1].mean())
        assert row["specificity"] == pytest.approx((~alarm[omi == 0]).mean())
        assert row["ppv"] == pytest.approx(omi[alarm].mean())
        assert row["npv"] == pytest.approx(1 - omi[~alarm].mean())
        assert row["auc"] == pytest.approx(slow_auc(tests, inside))
        for name in ("auc", "sensitivity", "specificity"):
            assert row[f"{name}_lo"] <= row[name] <= row[f"{name}_hi"]
    assert table["patients"].iloc[0] == sum(np.unique(test.patient_id).size for test in tests)


def test_one_class_subgroups_are_undefined_never_zero():
    tests = folds()
    artery = [np.where(test.omi == 1, "RCA", "") for test in tests]
    table = subgroup_table(tests, {"artery": artery}, resamples=20, seed=0, simulated=True).set_index("value")
    rca, none = table.loc["RCA"], table.loc["not recorded"]
    assert rca["sensitivity"] > 0
    assert np.isnan([rca[name + end] for name in ("auc", "specificity") for end in ("", "_lo", "_hi")]).all()
    assert np.isnan([none[name + end] for name in ("auc", "sensitivity") for end in ("", "_lo", "_hi")]).all()
    assert none["specificity"] > 0


def test_folds_of_one_class_add_no_pairs():
    tests = folds()
    first = tests[0]
    tests[0] = FoldTest(first.ecg_id, np.zeros(60, int), first.probability, first.patient_id, 0.4)
    row = subgroup_table(tests, {}, 20, 0, True).iloc[0]
    assert row["auc"] == pytest.approx(slow_auc(tests, [np.ones(60, bool)] * 3))


def test_empty_groups_are_left_out_and_rare_values_put_together():
    tests = folds(1)
    many = np.array([f"site {k % 20:02d}" for k in range(60)])
    many[:10] = "site 07"
    table = subgroup_table(tests, {"rhythm": [np.full(60, "")], "site": [many]}, 10, 0, False)
    assert "rhythm" not in set(table["group"])
    sites = table[table["group"] == "site"]
    assert len(sites) == MOST_VALUES
    assert "site 07" in set(sites["value"])
    assert sites["value"].iloc[-1] == "other"
    assert sites["ecgs"].sum() == 60


def test_age_bands():
    bands = age_bands(np.array([18, 49.9, 50, 64, 65, 79.5, 80, 101, np.nan]))
    assert bands.tolist() == [
        "0 to 49", "0 to 49", "50 to 64", "50 to 64", "65 to 79", "65 to 79", "80 or more", "80 or more", "",
    ]  # fmt: skip
