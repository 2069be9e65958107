"""Rule-out and rule-in thresholds by trying every one; ties, one class, and the direction of the search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from omi_keras.evaluation.bands import rule_in_threshold, rule_out_threshold
from omi_keras.evaluation.decisions import DECISIONS_COLUMNS, RATES, decision_table, threshold_at_specificity
from omi_keras.evaluation.proportions import rate_intervals

ecgs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=1, max_size=40)


def rates(omi, probability, threshold):
    alarm = probability >= threshold
    with np.errstate(all="ignore"):
        return {
            "sensitivity": np.float64((alarm & (omi == 1)).sum()) / (omi == 1).sum(),
            "specificity": np.float64((~alarm & (omi == 0)).sum()) / (omi == 0).sum(),
            "ppv": np.float64((alarm & (omi == 1)).sum()) / alarm.sum(),
        }


@given(ecgs)
def test_thresholds_by_trying_every_one(rows):
    omi, probability = np.array(rows).T[0], np.array(rows).T[1] / 8
    tried = {t: rates(omi, probability, t) for t in probability}

    def all_with(name, least):
        return [t for t, found in tried.items() if found[name] >= least - 1e-12]

    cases = (
        (rule_out_threshold(omi, probability), all_with("sensitivity", 0.9), max),
        (rule_in_threshold(omi, probability), all_with("ppv", 0.5), min),
        (threshold_at_specificity(omi, probability, 0.8), all_with("specificity", 0.8), min),
    )
    for found, candidates, extreme in cases:
        if not candidates:
            assert np.isnan(found)
            continue
        # As the observed probability decides, but below it.
        np.testing.assert_array_equal(probability >= found, probability >= extreme(candidates))
        assert found not in probability or found == 0
        assert 0 <= found <= 1


def test_direction():
    """PPV dips in the middle: the lowest threshold counts, not the first on the way down."""
    omi = np.array([1, 0, 0, 1, 1, 1, 0, 0, 0])
    probability = np.arange(9, 0, -1) / 10
    assert rule_in_threshold(omi, probability) == pytest.approx(0.15)
    assert rates(omi, probability, 0.7)["ppv"] < 0.5 <= rates(omi, probability, 0.2)["ppv"]
    assert rule_out_threshold(omi, probability) == pytest.approx(0.35)


def test_ties_and_exact_counts():
    # Ten OMI: nine of ten is a sensitivity of 0.9, whatever floats say.
    omi, probability = np.r_[np.ones(10), np.zeros(5)], np.r_[np.linspace(0.9, 0.5, 9), 0.1, np.full(5, 0.3)]
    assert rule_out_threshold(omi, probability) == pytest.approx(0.4)
    # Everybody is alarmed, and nobody stands on the threshold.
    assert rule_out_threshold([1, 0, 1], [0.4, 0.4, 0.4]) == 0.2
    assert rule_in_threshold([1, 0], [0.4, 0.4]) == 0.2
    assert np.isnan(rule_in_threshold([1, 0, 0], [0.4, 0.4, 0.4]))


def test_one_class_and_nothing():
    assert np.isnan(rule_out_threshold([0, 0], [0.1, 0.9]))
    assert np.isnan(rule_in_threshold([0, 0], [0.1, 0.9]))
    assert rule_in_threshold([1, 1], [0.1, 0.9]) == 0.05
    assert np.isnan(threshold_at_specificity([1, 1], [0.1, 0.9], 0.5))
    assert np.isnan(threshold_at_specificity([0, 1], [0.1, 0.9], np.nan))
    for threshold in (rule_out_threshold, rule_in_threshold):
        assert np.isnan(threshold([], []))


def splits(stemi=False):
    found = {}
    for seed, name in enumerate(("validation", "test")):
        rng = np.random.default_rng(seed)
        omi = np.repeat([1, 0], [30, 170])
        probability = np.clip(0.3 * omi + rng.normal(0.4, 0.2, 200), 0, 1)
        found[name] = {"omi": omi, "probability": probability, "patient_id": np.arange(200) // 2}
        if stemi:
            found[name]["stemi"] = rng.random(200) < 0.1 + 0.3 * omi
    return found


def test_decision_table():
    arrays = splits(stemi=True)
    table = decision_table(arrays, 0.6, simulated=True)
    assert tuple(table.columns) == DECISIONS_COLUMNS
    assert len(table) == 10
    for row in table.to_dict("records"):
        part = arrays[row["split"]]
        stemi = row["rule"] == "STEMI criteria"
        value = part["stemi"].astype(float) if stemi else part["probability"]
        threshold = 0.5 if stemi else row["threshold"]
        tn, fp, fn, tp = confusion_matrix(part["omi"], value >= threshold).ravel()
        assert (row["true_positive"], row["false_positive"], row["false_negative"], row["true_negative"]) == (
            tp, fp, fn, tn,
        )  # fmt: skip
        assert row["sensitivity"] == pytest.approx(tp / (tp + fn))
        assert row["npv"] == pytest.approx(tn / (tn + fn))
        assert row["alarm_share"] == pytest.approx((tp + fp) / 200)
        expected = rate_intervals(part["omi"] == 1, value >= threshold, part["patient_id"])
        for name in RATES:
            assert (row[f"{name}_lo"], row[f"{name}_hi"]) == pytest.approx(expected[name])
    by_rule = table[table["split"] == "validation"].set_index("rule")
    assert by_rule.loc["rule out (sensitivity ≥ 0.9)", "sensitivity"] >= 0.9
    assert by_rule.loc["rule in (PPV ≥ 0.5)", "ppv"] >= 0.5
    stemi, matched = by_rule.loc["STEMI criteria"], by_rule.loc["model at the specificity of the STEMI criteria"]
    assert np.isnan(stemi["threshold"])
    assert matched["specificity"] >= stemi["specificity"]


def test_without_stemi_and_with_an_impossible_rule():
    arrays = splits()
    assert len(decision_table(arrays, 0.6, False)) == 6
    # No threshold has a PPV of half: the rule stays, undefined.
    arrays["validation"]["probability"] = np.full(200, 0.5)
    table = decision_table(arrays, 0.6, False).set_index("rule")
    assert table.loc["rule in (PPV ≥ 0.5)", list(DECISIONS_COLUMNS[3:-1])].isna().all(axis=None)


def test_one_class_split_is_undefined():
    arrays = splits()
    arrays["test"] = {name: values[30:] for name, values in arrays["test"].items()}
    row = decision_table(arrays, 0.6, False).set_index(["rule", "split"]).iloc[1]
    assert np.isnan([row["sensitivity"], row["sensitivity_lo"], row["sensitivity_hi"]]).all()
    assert row["specificity"] > 0
