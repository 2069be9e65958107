"""Platt scaling: scikit-learn's regression, a slow sandwich, known truths, and what no map can help."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from omi_keras.evaluation.platt import FEWEST_FOR_SLOPE, Platt, enough_for_slope, fit_platt, probability_of
from omi_keras.recordings.errors import InputError


def drawn(n, slope=0.5, intercept=-1.0, seed=0, ecgs=2):
    """Labels (n,) of which ``slope × logit + intercept`` are the log odds, logits, patients with some ECGs each."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(1, 2, n)
    omi = (rng.random(n) < probability_of(slope * logit + intercept)).astype(int)
    return omi, logit, np.arange(n) // ecgs


def targets(omi):
    positive, negative = (omi == 1).sum(), (omi == 0).sum()
    return np.where(omi == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))


def test_it_is_logistic_regression_on_platts_targets():
    omi, logit, patient = drawn(300)
    t = targets(omi)
    # A target of 0.9 is nine tenths of an ECG with OMI and one tenth of one without.
    regression = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000)
    both = np.concatenate([logit, logit])[:, None]
    regression.fit(both, np.repeat([1, 0], 300), sample_weight=np.concatenate([t, 1 - t]))
    found = fit_platt(omi, logit, patient, slope=True)
    assert found.slope == pytest.approx(regression.coef_[0, 0], rel=1e-5)
    assert found.intercept == pytest.approx(regression.intercept_[0], rel=1e-5)


@pytest.mark.parametrize("slope", [True, False])
def test_errors_by_a_slow_sandwich(slope):
    omi, logit, patient = drawn(120, ecgs=3)
    found = fit_platt(omi, logit, patient, slope=slope)
    p, t = probability_of(found.log_odds(logit)), targets(omi)
    design = np.column_stack([logit, np.ones(120)]) if slope else np.ones((120, 1))
    curvature = sum(p[i] * (1 - p[i]) * np.outer(design[i], design[i]) for i in range(120))
    score = sum((t[i] - p[i]) * design[i] for i in range(120))
    np.testing.assert_allclose(score, 0, atol=1e-9)
    between = np.zeros_like(curvature)
    for number in range(40):
        own = sum((t[i] - p[i]) * design[i] for i in np.flatnonzero(patient == number))
        between += np.outer(own, own)
    inverse = np.linalg.inv(curvature)
    errors = np.sqrt(np.diag(40 / 39 * inverse @ between @ inverse))
    expected = errors if slope else [np.nan, errors[0]]
    np.testing.assert_allclose([found.slope_error, found.intercept_error], expected, rtol=1e-8)
    low, high = found.interval("intercept")
    assert high - low == pytest.approx(2 * 1.959964 * found.intercept_error, rel=1e-6)


def test_known_truth_and_its_intervals():
    """Of 200 samples about 95 in 100 intervals hold the truth."""
    held = {"slope": 0, "intercept": 0}
    for seed in range(200):
        found = fit_platt(*drawn(400, seed=seed), slope=True)
        for name, truth in (("slope", 0.5), ("intercept", -1.0)):
            low, high = found.interval(name)
            held[name] += low <= truth <= high
    assert min(held.values()) >= 180
    large = fit_platt(*drawn(100_000), slope=True)
    assert (large.slope, large.intercept) == (pytest.approx(0.5, abs=0.02), pytest.approx(-1, abs=0.03))


def test_the_intercept_alone_makes_the_share_right_and_leaves_the_slope():
    omi, logit, patient = drawn(200)
    found = fit_platt(omi, logit, patient, slope=False)
    assert found.slope == 1
    assert np.isnan(found.slope_error)
    assert probability_of(found.log_odds(logit)).sum() == pytest.approx(targets(omi).sum(), rel=1e-9)


def test_a_shifted_or_stretched_logit_gives_the_same_probabilities():
    omi, logit, patient = drawn(200)
    expected = probability_of(fit_platt(omi, logit, patient, slope=True).log_odds(logit))
    for other in (logit + 40, 1e-4 * logit, 300 * logit - 5):
        found = probability_of(fit_platt(omi, other, patient, slope=True).log_odds(other))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_parted_classes_have_a_finite_slope():
    logit = np.r_[np.linspace(-3, -1, 40), np.linspace(1, 3, 40)]
    found = fit_platt(np.repeat([0, 1], 40), logit, np.arange(80), slope=True)
    assert 1 < found.slope < 10


@pytest.mark.parametrize(
    ("omi", "logit", "slope", "sentence"),
    [
        ([1, 1, 1], [0, 1, 2], True, "received 3 and 0"),
        ([0, 0], [0, 1], False, "received 0 and 2"),
        ([1, 1, 0, 0], [0, 1, 2, 3], True, "no higher probabilities than the others"),
        ([1, 0, 1, 0], [2, 2, 2, 2], True, "says the same of all"),
    ],
)
def test_what_no_map_helps(omi, logit, slope, sentence):
    with pytest.raises(InputError, match=sentence):
        fit_platt(np.array(omi), np.array(logit, float), np.arange(len(omi)), slope=slope)


def test_ten_patients_for_each_number():
    omi = np.repeat([1, 0], [2 * FEWEST_FOR_SLOPE, 100])
    assert enough_for_slope(omi, np.r_[np.arange(2 * FEWEST_FOR_SLOPE) // 2, 100 + np.arange(100)])
    assert not enough_for_slope(omi, np.r_[np.arange(2 * FEWEST_FOR_SLOPE) // 3, 100 + np.arange(100)])
    assert not enough_for_slope(1 - omi, np.r_[np.arange(2 * FEWEST_FOR_SLOPE) // 3, 100 + np.arange(100)])


def test_the_order_is_kept_to_the_last_bit():
    rng = np.random.default_rng(2)
    logit = (rng.normal(0, 3, 5000).astype(np.float32) - rng.normal(0, 3, 5000).astype(np.float32)).astype(np.float64)
    logit[:100] = logit[100:200]
    for fit in (Platt(0.3, -4.0), Platt(1.7, 0.2)):
        new = probability_of(fit.log_odds(logit))
        assert len(np.unique(new)) == len(np.unique(logit))
        np.testing.assert_array_equal(np.argsort(new, kind="stable"), np.argsort(logit, kind="stable"))
