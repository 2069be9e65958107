"""Bands: where they meet, where there is none, what is told of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omi_keras.evaluation.bands import (
    describe_bands,
    find_bands,
    guaranteed_rule_out_threshold,
    rule_in_threshold,
    rule_out_threshold,
)
from omi_keras.evaluation.proportions import rate_intervals
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.numbers import are_bands

ecgs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=1, max_size=40)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ecgs, st.sampled_from([(0.9, 0.5), (0.85, 0.3)]), st.booleans())
def test_both_targets_are_met_and_the_order_is_kept(rows, targets, guaranteed):
    omi, probability = np.array(rows).T[0], np.array(rows).T[1] / 8
    sensitivity, ppv = targets
    bands = find_bands(omi, probability, sensitivity=sensitivity, ppv=ppv, guaranteed=guaranteed)
    assert are_bands(bands)
    out, into = bands["rule_out"], bands["rule_in"]
    if out is not None:
        assert (probability[omi == 1] >= out).mean() >= sensitivity - 1e-12
    if into is not None:
        assert omi[probability >= into].mean() >= ppv - 1e-12
        assert into == rule_in_threshold(omi, probability, ppv)
    if not guaranteed:
        assert (out is None) == (not omi.any())
        high = rule_out_threshold(omi, probability, sensitivity)
        assert out is None or out == high or (into is not None and out == into < high)


def test_ruling_out_comes_down_to_ruling_in():
    """Seven of eight with OMI are all alarms' top; half of the alarms are OMI far below."""
    omi = np.r_[np.ones(10), np.zeros(10)]
    probability = np.r_[np.linspace(0.9, 0.99, 10), np.linspace(0.1, 0.5, 10)]
    assert rule_out_threshold(omi, probability) > 0.9
    assert find_bands(omi, probability) == {"rule_out": 0.05, "rule_in": 0.05}


def test_what_no_threshold_reaches_is_none():
    assert find_bands([0, 0], [0.1, 0.2]) == {"rule_out": None, "rule_in": None}
    assert find_bands([1, 0, 0], [0.4, 0.4, 0.4])["rule_in"] is None
    # Eight patients with OMI.
    omi, probability = np.repeat([1, 0], [8, 40]), np.linspace(0.9, 0.1, 48)
    assert find_bands(omi, probability)["rule_out"] is not None
    assert find_bands(omi, probability, guaranteed=True)["rule_out"] is None


@pytest.mark.parametrize(("name", "target"), [("sensitivity", 0.0), ("sensitivity", 1.0), ("ppv", np.nan), ("ppv", -1)])
def test_what_is_no_target_is_refused(name, target):
    with pytest.raises(InputError, match="between 0 and 1 as the target"):
        find_bands([0, 1], [0.1, 0.9], **{name: target})


def test_the_guaranteed_threshold_is_as_high_or_lower():
    rng = np.random.default_rng(1)
    for patients in (9, 19, 25, 40):
        omi = np.repeat([1, 0], [patients, 100])
        probability = np.r_[rng.beta(4, 2, patients), rng.beta(2, 5, 100)]
        guaranteed, usual = guaranteed_rule_out_threshold(omi, probability), rule_out_threshold(omi, probability)
        # Only where one more than the patients is a multiple of ten, both are of one rank.
        assert guaranteed == usual if (patients + 1) % 10 == 0 else guaranteed < usual


def test_what_is_told_by_counting():
    rng = np.random.default_rng(3)
    omi = np.repeat([1, 0], [30, 170])
    probability = np.r_[rng.beta(4, 2, 30), rng.beta(2, 5, 170)]
    patient = np.r_[np.arange(30) // 2, 100 + np.arange(170) // 2]
    bands = find_bands(omi, probability, patient)
    told = describe_bands(omi, probability, patient, bands)
    assert {name: told[name] for name in ("ecgs", "patients", "omi", "omi_patients")} == {
        "ecgs": 200, "patients": 100, "omi": 30, "omi_patients": 15,
    }  # fmt: skip
    assert told["targets"] == {"sensitivity": 0.9, "ppv": 0.5}
    out, into = probability < bands["rule_out"], probability >= bands["rule_in"]
    assert told["rule_out"]["share"] == out.mean()
    assert told["rule_out"]["sensitivity"] == pytest.approx((~out)[omi == 1].mean())
    assert told["rule_out"]["npv"] == pytest.approx((omi[out] == 0).mean())
    assert told["rule_in"]["share"] == into.mean()
    assert told["rule_in"]["ppv"] == pytest.approx(omi[into].mean())
    expected = rate_intervals(omi == 1, ~out, patient)["sensitivity"]
    assert (told["rule_out"]["sensitivity_lo"], told["rule_out"]["sensitivity_hi"]) == expected
    lowest = probability[:30].reshape(15, 2).min(axis=1)
    assert told["guarantee"]["rule_out_at_most"] == (1 + (lowest < bands["rule_out"]).sum()) / 16
    assert told["guarantee"]["omi_patients_needed"] == 9
    # One in ten of 16: the lowest score, or midway below it.
    assert (lowest < told["guarantee"]["rule_out"]).sum() == 0


def test_nothing_is_told_of_what_there_is_not():
    bands = find_bands([1, 0, 0], [0.4, 0.4, 0.4], ["a", "b", "c"])
    told = describe_bands([1, 0, 0], [0.4, 0.4, 0.4], ["a", "b", "c"], bands)
    assert told["rule_in"] is None
    assert told["guarantee"]["rule_out"] is None
