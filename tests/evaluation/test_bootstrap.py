"""The vectorised bootstrap against scikit-learn's weighted metrics and against resamples written out.

Intervals of rates: test_proportions.py; of AUC and AP of few patients: test_separation.py.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from omi_keras.evaluation import bootstrap
from omi_keras.evaluation.bootstrap import interval, patient_bootstrap
from omi_keras.evaluation.metrics import OPERATING_POINT_METRICS, operating_point_metrics
from omi_keras.evaluation.proportions import rate_intervals
from omi_keras.evaluation.ranking import Ranking
from omi_keras.evaluation.separation import ranking_limits
from omi_keras.recordings.errors import InputError


def cohort(ecgs=120, patients=50, prevalence=0.2, seed=3):
    """Labels follow the patient; probabilities are rounded, so that ties are common."""
    rng = np.random.default_rng(seed)
    patient = rng.integers(patients, size=ecgs)
    omi = (rng.random(patients) < prevalence)[patient].astype(int)
    probability = np.round(np.clip(0.35 * omi + rng.normal(0.4, 0.25, ecgs), 0, 1), 1)
    return omi, probability, patient


def test_weighted_auc_and_ap_equal_sklearn():
    omi, probability, _ = cohort()
    weights = np.random.default_rng(0).integers(0, 4, size=(12, omi.size))
    auc, ap = Ranking.of(omi == 1, probability).auc_ap(weights)
    for row, a, p in zip(weights, auc, ap, strict=True):
        assert a == pytest.approx(roc_auc_score(omi, probability, sample_weight=row), abs=1e-12)
        assert p == pytest.approx(average_precision_score(omi, probability, sample_weight=row), abs=1e-12)


def test_rows_without_a_class_are_undefined():
    omi, probability = np.array([True, False, True]), np.array([0.9, 0.5, 0.1])
    auc, ap = Ranking.of(omi, probability).auc_ap(np.array([[1, 0, 2], [0, 3, 0], [0, 1, 1]]))
    np.testing.assert_array_equal(auc, [np.nan, np.nan, 0.0])
    np.testing.assert_array_equal(ap, [np.nan, np.nan, 0.5])


def test_equals_resamples_written_out(monkeypatch):
    """Same draws, but every resample is a list of ECGs that goes through the plain metrics."""
    omi, probability, patient = cohort(ecgs=40, patients=12, prevalence=0.3)
    resamples, threshold = 60, 0.6
    draws = []
    original = bootstrap._draws

    def remember(*arguments):
        draws.append(original(*arguments))
        return draws[-1]

    monkeypatch.setattr(bootstrap, "_draws", remember)
    monkeypatch.setattr(bootstrap, "_CHUNK_WEIGHTS", 17 * omi.size)  # uneven chunks
    found = patient_bootstrap(omi, probability, patient, threshold, resamples, seed=5)

    counts = np.concatenate(draws)
    names = np.array(sorted(set(patient.tolist()), key=str))  # patients are numbered in order of their text
    assert len(draws) == 4
    assert counts.shape == (resamples, names.size)
    assert (counts.sum(axis=1) == names.size).all()
    values = {name: [] for name in ("auc", "ap")}
    for row in counts.astype(int):
        chosen = np.concatenate(
            [np.tile(np.flatnonzero(patient == who), times) for who, times in zip(names, row, strict=True)]
        )
        for name, own in values.items():
            own.append(operating_point_metrics(omi[chosen], probability[chosen], threshold)[name])
    limits = ranking_limits([(omi, patient)])
    for name, own in values.items():
        defined = [value for value in own if not np.isnan(value)]
        low, high = np.percentile(defined, [2.5, 97.5])
        assert found[name] == pytest.approx((min(low, limits[name][0]), max(high, limits[name][1])), abs=1e-12)
    rates = rate_intervals(omi == 1, probability >= threshold, patient)
    assert {name: found[name] for name in rates} == rates


def test_interval_of_a_proportion_is_the_binomial_one():
    """100 patients with one ECG each, accuracy 0.8: the exact interval of 80 of 100."""
    omi = np.repeat([1, 0], 50)
    probability = np.where(np.arange(100) % 5 == 0, 1 - omi, omi).astype(float)
    found = patient_bootstrap(omi, probability, np.arange(100), 0.5, resamples=10)["accuracy"]
    assert found == pytest.approx((0.70816, 0.87334), abs=1e-5)


def test_wider_than_ecg_level_when_ecgs_cluster():
    rng = np.random.default_rng(1)
    patient = np.repeat(np.arange(80), 10)  # ten nearly equal ECGs per patient
    omi = (rng.random(80) < 0.3)[patient].astype(int)
    probability = 0.2 * omi + rng.random(80)[patient] + 0.01 * rng.random(800)
    by_patient = patient_bootstrap(omi, probability, patient, 0.6, 500)
    by_ecg = patient_bootstrap(omi, probability, np.arange(800), 0.6, 500)
    for name in ("auc", "ap", "accuracy", "sensitivity", "specificity"):
        # √10 = 3.2 times wider in theory.
        assert np.diff(by_patient[name]) > 2 * np.diff(by_ecg[name]), name


def test_seed_and_order():
    omi, probability, patient = cohort()
    first = patient_bootstrap(omi, probability, patient, 0.6, 200, seed=1)
    assert first == patient_bootstrap(omi, probability, patient, 0.6, 200, seed=1)
    assert first != patient_bootstrap(omi, probability, patient, 0.6, 200, seed=2)
    shuffled = np.random.default_rng(0).permutation(omi.size)
    again = patient_bootstrap(omi[shuffled], probability[shuffled], patient[shuffled], 0.6, 200, seed=1)
    for name, limits in first.items():
        assert again[name] == pytest.approx(limits, abs=1e-12)


def test_interval_holds_the_point_estimate():
    omi, probability, patient = cohort(ecgs=400, patients=200)
    point = operating_point_metrics(omi, probability, 0.6)
    for name, (low, high) in patient_bootstrap(omi, probability, patient, 0.6, 300).items():
        assert low < point[name] < high


def test_one_class_is_undefined():
    found = patient_bootstrap([0, 0, 0], [0.1, 0.9, 0.3], ["a", "b", "c"], 0.5, 50)
    undefined = {name for name, limits in found.items() if np.isnan(limits).all()}
    assert undefined == {"sensitivity", "auc", "ap"}
    empty = patient_bootstrap([], [], [], 0.5, 50)
    assert tuple(empty) == OPERATING_POINT_METRICS
    assert np.isnan(list(empty.values())).all()


def test_undefined_resamples_are_skipped_up_to_half():
    values = np.arange(100.0)
    values[:50] = np.nan
    assert interval(values) == tuple(np.percentile(np.arange(50.0, 100), [2.5, 97.5]))
    values[50] = np.nan
    assert np.isnan(interval(values)).all()
    # Two of 40 patients have OMI: 13 % of the resamples have none.
    found = patient_bootstrap([1, 1] + [0] * 38, np.linspace(1, 0, 40), np.arange(40), 0.5, 400)
    assert not np.isnan(found["auc"]).any()


def test_resamples_that_do_not_differ_are_no_interval():
    assert np.isnan(interval(np.ones(100))).all()
    assert np.isnan(interval(np.r_[np.ones(99), 0.5])).all()


def test_patient_ids_of_any_kind():
    omi, probability, patient = cohort()
    text = np.array([f"{number:03d}" for number in patient])
    expected = patient_bootstrap(omi, probability, text, 0.6, 100)
    for ids in (text.astype(object), pd.Series(text), pd.Series(text, dtype="category"), list(text)):
        assert patient_bootstrap(omi, probability, ids, 0.6, 100) == expected


@pytest.mark.parametrize("missing", [None, float("nan"), "", "  ", pd.NA])
def test_missing_patient_is_refused(missing):
    with pytest.raises(InputError, match=r"patient_id for every ECG, received none for 1 of 3") as caught:
        patient_bootstrap([0, 1, 0], [0.1, 0.2, 0.3], ["a", missing, "b"], 0.5, 10)
    assert caught.value.reason == "missing_patient_id"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patient_id": ["a"]}, r"one patient_id per ECG \(shape \(2,\)\), received shape \(1,\)"),
        ({"resamples": 0}, "at least 1 resample, received 0"),
        ({"threshold": float("nan")}, "finite threshold"),
        ({"probability": [0.1, float("nan")]}, "finite probabilities"),
    ],
)
def test_bad_input_is_named(change, message):
    good = {
        "omi": [0, 1],
        "probability": [0.1, 0.2],
        "patient_id": ["a", "b"],
        "threshold": 0.5,
        "resamples": 9,
    }
    with pytest.raises(InputError, match=message):
        patient_bootstrap(**(good | change))
