"""Brier score, calibration curve and net benefit against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss

from omi_keras.evaluation.calibration import DECISION_THRESHOLDS, brier_score, calibration_curve, net_benefit
from omi_keras.recordings.errors import InputError


def cohort(n=500, seed=0):
    rng = np.random.default_rng(seed)
    probability = rng.random(n)
    return (rng.random(n) < probability).astype(int), probability


def test_brier():
    omi, probability = cohort()
    assert brier_score(omi, probability) == pytest.approx(brier_score_loss(omi, probability))
    assert brier_score([0, 1], [0, 1]) == 0
    assert np.isnan(brier_score([], []))


def test_calibration_groups():
    omi, probability = cohort()
    curve = calibration_curve(omi, probability, bins=5)
    assert curve["ecgs"].tolist() == [100] * 5
    order = np.argsort(probability)
    for k, row in enumerate(curve.to_dict("records")):
        rows = order[100 * k : 100 * (k + 1)]
        assert row["probability"] == pytest.approx(probability[rows].mean())
        assert row["observed"] == pytest.approx(omi[rows].mean())
        exact = binomtest(int(omi[rows].sum()), 100).proportion_ci(method="exact")
        assert (row["lo"], row["hi"]) == pytest.approx((exact.low, exact.high))
    # These probabilities mean what they say.
    assert (curve["observed"] - curve["probability"]).abs().max() < 0.12


def test_ties_are_never_parted():
    curve = calibration_curve([0, 1, 0, 1, 0, 0], [0.2, 0.2, 0.2, 0.2, 0.2, 0.7], bins=3)
    assert curve["ecgs"].tolist() == [5, 1]
    same = calibration_curve([0, 1, 0], [0.5, 0.5, 0.5])
    assert same["ecgs"].tolist() == [3]
    assert (same["lo"] >= 0).all()
    assert (same["hi"] <= 1).all()
    assert calibration_curve([], []).empty
    assert calibration_curve([1], [0.3])["observed"].tolist() == [1]
    with pytest.raises(InputError, match="at least 1 bin"):
        calibration_curve([1], [0.3], bins=0)


def test_ecgs_of_a_patient_are_not_independent():
    omi, probability = (np.repeat(array, 4) for array in cohort(200))
    patient = np.repeat(np.arange(200), 4)
    alone, clustered = (calibration_curve(omi, probability, 4, ids) for ids in (None, patient))
    assert alone["observed"].tolist() == clustered["observed"].tolist()
    assert (clustered["hi"] - clustered["lo"] > 1.7 * (alone["hi"] - alone["lo"])).all()  # √4 in theory
    with pytest.raises(InputError, match="one patient_id per ECG"):
        calibration_curve(omi, probability, 4, patient[1:])


@pytest.mark.parametrize("constant", [0.0, 0.1, 0.3, 1.0])
def test_constant_probabilities(constant):
    """One group, whose mean is the very number and whose share is not certain."""
    curve = calibration_curve([1] * 7, [constant] * 7)
    assert curve["probability"].tolist() == [constant]
    assert 0 < curve["lo"][0] < curve["hi"][0] == 1
    assert brier_score([1] * 7, [constant] * 7) == pytest.approx((1 - constant) ** 2)


def test_net_benefit_by_definition():
    omi, probability = cohort()
    found = net_benefit(omi, probability)
    for t, value in zip(DECISION_THRESHOLDS, found, strict=True):
        alarm = probability >= t
        expected = (alarm & (omi == 1)).mean() - (alarm & (omi == 0)).mean() * t / (1 - t)
        assert value == pytest.approx(expected)


def test_net_benefit_of_all_and_none():
    omi = np.repeat([1, 0], [20, 80])
    thresholds = np.array([0.1, 0.2, 0.5])
    treat_all = 0.2 - 0.8 * thresholds / (1 - thresholds)
    np.testing.assert_allclose(net_benefit(omi, np.ones(100), thresholds), treat_all, atol=1e-12)
    np.testing.assert_allclose(net_benefit(omi, np.zeros(100), thresholds), 0)
    # Where one would act at the prevalence, treating all is worth nothing; a perfect rule is always worth 0.2.
    assert net_benefit(omi, np.ones(100), np.array([0.2]))[0] == pytest.approx(0)
    np.testing.assert_allclose(net_benefit(omi, omi, thresholds), 0.2)
    assert np.isnan(net_benefit([], [], thresholds)).all()
    with pytest.raises(InputError, match="between 0 and 1"):
        net_benefit(omi, omi, np.array([0.0]))


def test_what_is_no_probability_is_refused():
    with pytest.raises(InputError, match=r"from 0 to 1, received 1.5 in 1 of 2"):
        brier_score([0, 1], [0.2, 1.5])
