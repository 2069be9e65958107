"""Cross-fitting by a slow loop, and what few patients cannot tell."""

from __future__ import annotations

import numpy as np
import pytest

from omi_keras.data.folds import assign_folds
from omi_keras.evaluation.bands import find_bands
from omi_keras.evaluation.cross_fitting import cannot_know, recalibration
from omi_keras.evaluation.metrics import best_f1_threshold
from omi_keras.evaluation.platt import fit_platt, probability_of

TARGETS = {"sensitivity": 0.9, "ppv": 0.5, "guaranteed": False, "seed": 3}


def hospital(patients, prevalence=0.2, seed=0):
    """Logits of twice the right steepness and too high, two ECGs a patient."""
    rng = np.random.default_rng(seed)
    n = 2 * patients
    odds = rng.normal(np.log(prevalence / (1 - prevalence)), 2.0, patients).repeat(2) + rng.normal(0, 0.5, n)
    omi = (rng.random(patients).repeat(2) < probability_of(odds)).astype(int)
    return omi, 2 * odds + 1, np.array([f"p{number}" for number in np.arange(patients).repeat(2)])


def test_each_patient_is_judged_by_the_others():
    omi, logit, patient_id = hospital(120)
    found = recalibration(omi, logit, patient_id, **TARGETS)
    patient = np.arange(240) // 2
    fold = assign_folds(omi, np.unique(patient_id, return_inverse=True)[1], 10, 3)
    p, alarm, low, high = np.empty(240), np.empty(240, bool), np.empty(240, bool), np.empty(240, bool)
    for i in range(240):
        rest = fold != fold[i]
        assert patient[i] not in patient[rest]
        fit = fit_platt(omi[rest], logit[rest], patient[rest], slope=True)
        others, p[i] = probability_of(fit.log_odds(logit[rest])), probability_of(fit.log_odds(logit[i : i + 1]))[0]
        bands = find_bands(omi[rest], others)
        alarm[i] = p[i] >= best_f1_threshold(omi[rest], others)
        low[i], high[i] = p[i] >= bands["rule_out"], p[i] >= bands["rule_in"]
    told, details = found["metrics"]["cross_fitted"], found["bands_details"]
    assert told["sensitivity"] == pytest.approx(alarm[omi == 1].mean())
    assert told["ppv"] == pytest.approx(omi[alarm].mean())
    assert details["rule_out"]["sensitivity"] == pytest.approx(low[omi == 1].mean())
    assert details["rule_in"]["ppv"] == pytest.approx(omi[high].mean())
    assert found["calibration"]["brier"]["cross_fitted"] == pytest.approx(((p - omi) ** 2).mean())


def test_operating_points_are_those_of_all_patients():
    omi, logit, patient_id = hospital(120)
    found = recalibration(omi, logit, patient_id, **TARGETS)
    calibration = found["calibration"]
    assert calibration["method"] == "Platt scaling"
    assert calibration["fit"]["slope_lo"] < 0.5 < calibration["fit"]["slope_hi"]
    p = probability_of(calibration["slope"] * logit + calibration["intercept"])
    assert found["threshold"] == best_f1_threshold(omi, p)
    assert found["bands"] == find_bands(omi, p)
    assert calibration["brier"]["cross_fitted"] < calibration["brier"]["before"]
    before, after = (calibration["calibration_fit"][name] for name in ("before", "cross_fitted"))
    assert before["calibration_slope_hi"] < 0.8 < after["calibration_slope"] < 1.25
    counts = {name: calibration[name] for name in ("ecgs", "patients", "omi")}
    assert counts == {"ecgs": 240, "patients": 120, "omi": omi.sum()}


def test_few_patients_move_the_intercept_alone_and_are_told_what_they_cannot_know():
    omi, logit, patient_id = hospital(30, seed=1)
    patients = len(set(patient_id[omi == 1]))
    assert patients < 9
    found = recalibration(omi, logit, patient_id, **TARGETS)
    assert found["calibration"]["slope"] == 1
    said = " ".join(cannot_know(found, trained_on_simulated=True, local_simulated=False))
    assert "only the intercept was fitted" in said
    assert f"with {patients} patients with OMI no threshold can promise a sensitivity of 0.9" in said
    assert "that takes 9" in said
    assert "trained on simulated ECGs and recalibrated on recorded ones" in said
    assert "the sensitivity when ruling out lies anywhere from" in said
    assert recalibration(omi, logit, patient_id, **TARGETS | {"guaranteed": True})["bands"]["rule_out"] is None


def test_many_patients_know_more():
    found = recalibration(*hospital(2000), **TARGETS)
    said = cannot_know(found, trained_on_simulated=False, local_simulated=False)
    # Of a tenth of their OMI ECGs, but of more of the patients, who have two.
    assert "of these OMI ECGs, but of OMI patients to come up to 12% on average" in said[0]
    assert "are OMI as here" in said[1]
    assert len(said) == 2, said


def test_the_order_of_the_ecgs_is_no_matter():
    omi, logit, patient_id = hospital(60)
    found = recalibration(omi, logit, patient_id, **TARGETS)
    mixed = np.random.default_rng(0).permutation(120)
    again = recalibration(omi[mixed], logit[mixed], patient_id[mixed], **TARGETS)
    assert again["bands"] == pytest.approx(found["bands"])
    assert again["calibration"]["slope"] == pytest.approx(found["calibration"]["slope"])


def test_a_slope_that_is_lost_without_a_tenth_does_not_end_it():
    """Of all patients it is just above 0."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        omi, patient_id = np.repeat([1, 0], [30, 30]), np.array([f"p{number}" for number in range(60)])
        logit = rng.normal(0.02 * omi, 1)
        if logit[omi == 1].mean() <= logit[omi == 0].mean():
            continue
        found = recalibration(omi, logit, patient_id, **TARGETS)
        assert found["calibration"]["slope"] > 0
