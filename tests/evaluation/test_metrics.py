"""Every number against a slow computation that shares no code with ours: loops over pairs and thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from omi_keras.evaluation.metrics import (
    best_f1_threshold,
    operating_point_metrics,
    ranking_metrics,
    score,
    threshold_counts,
    threshold_from,
)
from omi_keras.recordings.errors import InputError


def slow_auc(omi, probability):
    """How often an OMI ECG stands above one without, over all pairs; a tie is half."""
    pairs = [
        1.0 if p > q else 0.5 if p == q else 0.0
        for y, p in zip(omi, probability, strict=True)
        if y
        for z, q in zip(omi, probability, strict=True)
        if not z
    ]
    return sum(pairs) / len(pairs)


def slow_counts(omi, probability, threshold):
    tp = fp = fn = tn = 0
    for y, p in zip(omi, probability, strict=True):
        if p >= threshold:
            tp, fp = tp + bool(y), fp + (not y)
        else:
            fn, tn = fn + bool(y), tn + (not y)
    return tp, fp, fn, tn


def slow_ap(omi, probability):
    """Σ (recall gained at a threshold) × (precision there), from the highest threshold down."""
    total, before = 0.0, 0
    for threshold in sorted(set(probability), reverse=True):
        tp, fp, _, _ = slow_counts(omi, probability, threshold)
        total += (tp - before) / sum(map(bool, omi)) * tp / (tp + fp)
        before = tp
    return total


def slow_f1(omi, probability, threshold):
    tp, fp, fn, _ = slow_counts(omi, probability, threshold)
    precision, recall = tp / (tp + fp) if tp + fp else 0.0, tp / (tp + fn)
    return 2 * precision * recall / (precision + recall) if tp else 0.0


# Few different values, so that ties are common.
PROBABILITIES = st.integers(0, 12).map(lambda k: k / 12)


@st.composite
def two_class_ecgs(draw):
    rows = draw(st.lists(st.tuples(st.integers(0, 1), PROBABILITIES), min_size=0, max_size=40))
    rows += [(0, draw(PROBABILITIES)), (1, draw(PROBABILITIES))]
    omi, probability = zip(*draw(st.permutations(rows)), strict=True)
    return np.array(omi), np.array(probability)


@settings(max_examples=60, deadline=None)
@given(two_class_ecgs())
def test_ranking_equals_slow_computation_and_sklearn(ecgs):
    omi, probability = ecgs
    found = ranking_metrics(omi, probability)
    assert found["auc"] == pytest.approx(slow_auc(omi, probability), abs=1e-12)
    assert found["ap"] == pytest.approx(slow_ap(omi.tolist(), probability.tolist()), abs=1e-12)
    assert found["auc"] == pytest.approx(roc_auc_score(omi, probability), abs=1e-12)
    assert found["ap"] == pytest.approx(average_precision_score(omi, probability), abs=1e-12)
    assert found["score"] == pytest.approx((2 * found["auc"] + found["ap"]) / 3, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(two_class_ecgs())
def test_auc_symmetries(ecgs):
    omi, probability = ecgs
    auc = ranking_metrics(omi, probability)["auc"]
    stretched = ranking_metrics(omi, np.exp(3 * probability) - 7)
    assert stretched == pytest.approx(ranking_metrics(omi, probability), abs=1e-12)
    assert ranking_metrics(1 - omi, probability)["auc"] == pytest.approx(1 - auc, abs=1e-12)
    assert ranking_metrics(omi, -probability)["auc"] == pytest.approx(1 - auc, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(two_class_ecgs())
def test_threshold_is_the_highest_with_the_best_f1(ecgs):
    omi, probability = ecgs
    threshold = best_f1_threshold(omi, probability)
    f1 = {t: slow_f1(omi, probability, t) for t in {*probability.tolist(), -1.0, 0.04, 0.51, 2.0}}
    best = max(f1.values())
    assert slow_f1(omi, probability, threshold) == pytest.approx(best, abs=1e-12)
    chosen = min(p for p in probability if p >= threshold)
    assert all(value < best - 1e-12 for t, value in f1.items() if t > chosen)


@settings(max_examples=60, deadline=None)
@given(two_class_ecgs())
def test_no_ecg_sits_on_the_threshold(ecgs):
    omi, probability = ecgs
    threshold = best_f1_threshold(omi, probability)
    above, below = probability[probability >= threshold], probability[probability < threshold]
    lower = below.max() if len(below) else 0.0
    assert threshold == (above.min() + lower) / 2
    # Nothing is below 0: there alone an ECG may sit on it.
    assert threshold not in probability or threshold == above.min() == 0


def test_neighbouring_floats_keep_their_decisions():
    low = 0.5
    high = np.nextafter(low, 1)
    threshold = best_f1_threshold([0, 1], [low, high])
    assert low < threshold <= high


SINGLES = st.one_of(
    st.floats(0, 1, width=32),
    st.sampled_from([0.0, 1.0, 0.5, float(np.float32(1e-45)), float(np.nextafter(np.float32(1), np.float32(0)))]),
)


@st.composite
def close_ecgs(draw):
    """Float32 probabilities and their neighbours, 0, 1 and the smallest number among them."""
    values = draw(st.lists(SINGLES, min_size=1, max_size=6))
    near = [float(np.nextafter(np.float32(v), np.float32(draw(st.sampled_from([0, 1]))))) for v in values]
    rows = draw(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(values + near)), min_size=0, max_size=20))
    rows += [(0, draw(st.sampled_from(values + near))), (1, draw(st.sampled_from(values + near)))]
    omi, probability = zip(*rows, strict=True)
    return np.array(omi), np.array(probability)


@settings(max_examples=300, deadline=None)
@given(close_ecgs())
def test_a_threshold_decides_the_same_in_every_precision(ecgs):
    """The best F1 exactly; from 0 to 1; below the lowest alarm, above the highest other; as float32, and as text."""
    omi, probability = ecgs
    threshold = best_f1_threshold(omi, probability)
    best = max(slow_f1(omi, probability, t) for t in probability)
    assert slow_f1(omi, probability, threshold) == pytest.approx(best, abs=1e-12)
    assert 0 <= threshold <= 1
    alarm = probability >= threshold
    lowest, highest = probability[alarm].min(), probability[~alarm].max() if (~alarm).any() else 0.0
    assert highest < threshold < lowest or threshold == lowest == 0
    np.testing.assert_array_equal(probability.astype(np.float32) >= np.float32(threshold), alarm)
    # NumPy compares float32 with a Python float as float32.
    np.testing.assert_array_equal(probability.astype(np.float32) >= threshold, alarm)
    # Predictions are written with the digits of float32, whose value as float64 is another.
    written = np.array([float(str(np.float32(value))) for value in probability])
    np.testing.assert_array_equal(written >= float(repr(threshold)), alarm)


def test_the_best_f1_alarms_everyone():
    for probability, expected in (([0.4, 0.4, 0.4], 0.2), ([0.2, 0.4, 0.6], 0.1), ([1.0, 1.0, 1.0], 0.5)):
        omi = [1, 0, 1]
        assert best_f1_threshold(omi, probability) == pytest.approx(expected)
        assert operating_point_metrics(omi, probability, expected)["sensitivity"] == 1
    assert best_f1_threshold([1, 0], [0.0, 0.0]) == 0
    tiny = float(np.float32(1e-45))
    assert 0 < best_f1_threshold([1, 0], [tiny, 0.0]) <= tiny
    assert best_f1_threshold([1, 0], [5e-324, 0.0]) == 5e-324


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8, unique=True), st.data())
def test_threshold_from_float64(values, data):
    thresholds = np.sort(values)[::-1]
    chosen = data.draw(st.integers(0, len(values) - 1))
    found = threshold_from(thresholds, chosen)
    np.testing.assert_array_equal(thresholds >= found, np.arange(len(values)) <= chosen)
    assert 0 <= found <= 1


def test_logits_have_thresholds_too():
    """Below a negative number 0 is no limit: the number itself is left."""
    assert best_f1_threshold([1, 0], [-1.0, -3.0]) == -2
    assert best_f1_threshold([0, 1], [-1.0, -3.0]) == -3


def test_f1_ties_take_the_highest_threshold():
    # F1 is 2/3 at 0.9 (1 of 2 found, no false alarm), 1/2 at 0.6 and 2/3 again at 0.3.
    omi, probability = [1, 0, 0, 1], [0.9, 0.6, 0.6, 0.3]
    assert slow_f1(omi, probability, 0.9) == pytest.approx(slow_f1(omi, probability, 0.3))
    assert best_f1_threshold(omi, probability) == 0.75


def test_all_scores_equal():
    omi, probability = [0, 1, 0, 1, 0], [0.3] * 5
    assert ranking_metrics(omi, probability) == pytest.approx({"auc": 0.5, "ap": 0.4, "score": 7 / 15})
    assert best_f1_threshold(omi, probability) == 0.15
    assert operating_point_metrics(omi, probability, 0.3)["sensitivity"] == 1


def test_threshold_zero_is_a_threshold():
    found = operating_point_metrics([0, 1], [0.0, 0.5], 0)
    assert found["sensitivity"] == 1
    assert found["specificity"] == 0


def test_perfect_ranking():
    omi, probability = [0, 0, 1, 0, 1], [0.1, 0.2, 0.8, 0.3, 0.7]
    assert ranking_metrics(omi, probability) == {"auc": 1.0, "ap": 1.0, "score": pytest.approx(1.0)}
    assert best_f1_threshold(omi, probability) == 0.5
    assert set(operating_point_metrics(omi, probability, 0.7).values()) == {1.0}


def test_score_is_equation_1():
    # The selected model of III.B: validation AUC 0.917, AP 0.598.
    assert score(0.917, 0.598) == pytest.approx(0.917 * 2 / 3 + 0.598 / 3)
    assert np.isnan(score(float("nan"), 0.5))


@pytest.mark.parametrize(
    ("omi", "undefined"),
    [
        ([0, 0, 0], {"sensitivity", "auc", "ap"}),
        ([1, 1, 1], {"specificity", "auc", "ap"}),
        ([], {"accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "auc", "ap"}),
    ],
)
def test_one_class_is_undefined_not_zero(omi, undefined):
    probability = [0.2, 0.6, 0.9][: len(omi)]
    found = operating_point_metrics(omi, probability, 0.5)
    assert {name for name, value in found.items() if np.isnan(value)} == undefined
    assert all(np.isnan(value) for value in ranking_metrics(omi, probability).values())
    with pytest.raises(InputError, match="both classes") as caught:
        best_f1_threshold(omi, probability)
    assert caught.value.reason == "one_class"


def test_no_alarm_leaves_ppv_undefined():
    found = operating_point_metrics([0, 1, 0], [0.1, 0.2, 0.3], 0.9)
    assert np.isnan(found["ppv"])
    assert found["f1"] == 0  # a missed OMI: 0 of 1, not 0 of 0
    assert np.isnan(operating_point_metrics([0, 0], [0.1, 0.2], 0.9)["f1"])


# Table 5 gives six rates to three digits and III.B the numbers of ECGs and of OMI. Exactly one pair of whole
# numbers (true positives, false positives) yields all six.
@pytest.mark.parametrize(
    ("ecgs", "omis", "tp", "fp", "paper"),
    [
        (1117, 101, 57, 31, (0.933, 0.564, 0.969, 0.648, 0.957, 0.603)),
        (1085, 83, 62, 37, (0.947, 0.747, 0.963, 0.626, 0.979, 0.681)),
    ],
    ids=["validation", "test"],
)
def test_table5_of_the_paper(ecgs, omis, tp, fp, paper):
    omi = np.repeat([1, 1, 0, 0], [tp, omis - tp, fp, ecgs - omis - fp])
    probability = np.repeat([0.8, 0.2, 0.7, 0.1], [tp, omis - tp, fp, ecgs - omis - fp])
    found = operating_point_metrics(omi, probability, 0.57)
    names = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "f1")
    assert tuple(round(found[name], 3) for name in names) == paper


@settings(max_examples=40, deadline=None)
@given(two_class_ecgs(), PROBABILITIES)
def test_operating_point_equals_slow_counts(ecgs, threshold):
    omi, probability = ecgs
    tp, fp, fn, tn = slow_counts(omi, probability, threshold)
    found = operating_point_metrics(omi, probability, threshold)
    assert found["accuracy"] == pytest.approx((tp + tn) / omi.size)
    assert found["sensitivity"] == pytest.approx(tp / (tp + fn))
    assert found["specificity"] == pytest.approx(tn / (tn + fp))
    assert found["ppv"] == pytest.approx(tp / (tp + fp) if tp + fp else np.nan, nan_ok=True)
    assert found["npv"] == pytest.approx(tn / (tn + fn) if tn + fn else np.nan, nan_ok=True)
    assert found["f1"] == pytest.approx(slow_f1(omi, probability, threshold))


def test_threshold_counts_descend():
    thresholds, true, false = threshold_counts([1, 0, 1, 0], [0.5, 0.5, 0.9, 0.1])
    np.testing.assert_array_equal(thresholds, [0.9, 0.5, 0.1])
    np.testing.assert_array_equal(true, [1, 2, 2])
    np.testing.assert_array_equal(false, [0, 1, 2])


def test_float32_probability_decides_at_its_own_threshold():
    # 0.1 in float32 is above 0.1 in float64: taken as text and back, the threshold must still select it.
    probability = np.array([0.05, 0.1, 0.3], dtype=np.float32)
    threshold = best_f1_threshold([0, 1, 1], probability)
    assert operating_point_metrics([0, 1, 1], probability, float(repr(threshold)))["sensitivity"] == 1


def test_inputs_are_left_alone():
    omi, probability = np.array([0, 1, 1]), np.array([0.2, 0.1, 0.9])
    best_f1_threshold(omi, probability)
    operating_point_metrics(omi, probability, 0.5)
    np.testing.assert_array_equal(omi, [0, 1, 1])
    np.testing.assert_array_equal(probability, [0.2, 0.1, 0.9])


@pytest.mark.parametrize(
    ("omi", "probability", "message"),
    [
        ([0, 1], [0.5], r"received omi \(2,\) and probability \(1,\)"),
        ([[0, 1]], [[0.5, 0.2]], r"shape \(n,\).*received omi \(1, 2\)"),
        ([0, 2, 1], [0.1, 0.2, 0.3], "omi to be 0 or 1, received 2 in 1 of 3"),
        ([0, float("nan")], [0.1, 0.2], "omi to be 0 or 1, received nan"),
        ([0, 1], [0.1, float("nan")], "finite probabilities, received nan in 1 of 2"),
        ([0, 1], [0.1, float("inf")], "finite probabilities, received inf"),
        (["yes", "no"], [0.1, 0.2], "expected numbers"),
        ([0, None], [0.1, 0.2], "omi to be 0 or 1, received None"),
    ],
)
def test_bad_input_is_named(omi, probability, message):
    with pytest.raises(InputError, match=message):
        ranking_metrics(omi, probability)
    with pytest.raises(InputError, match=message):
        best_f1_threshold(omi, probability)


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), None, "high"])
def test_bad_threshold_is_named(threshold):
    with pytest.raises(InputError, match="finite threshold"):
        operating_point_metrics([0, 1], [0.1, 0.2], threshold)
