"""Conformal p-values: by counting, and the guarantee by drawing samples of patients a thousand times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omi_keras.evaluation.bands import guaranteed_rule_out_threshold, rule_out_threshold
from omi_keras.evaluation.conformal import (
    conformal_p_values,
    conformal_threshold,
    omi_scores,
    patients_needed,
    ruled_out_at_most,
)
from omi_keras.recordings.errors import InputError

DRAWS = 1000
scores = st.lists(st.integers(0, 12), min_size=0, max_size=30)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scores, st.lists(st.integers(0, 12), min_size=1, max_size=5), st.sampled_from([0.05, 0.1, 0.15, 0.5]))
def test_by_counting(known, asked, level):
    known, asked = np.array(known) / 12, np.array(asked) / 12
    p = conformal_p_values(known, asked)
    expected = [(1 + sum(score <= value for score in known)) / (1 + len(known)) for value in asked]
    np.testing.assert_array_equal(p, expected)
    threshold = conformal_threshold(known, level)
    # Below the threshold is the same as a p-value of at most the level.
    np.testing.assert_array_equal(asked < threshold, p <= level + 1e-12)
    assert np.isnan(threshold) == (len(known) < patients_needed(level))


def test_nine_patients_are_the_fewest_for_a_tenth():
    assert (patients_needed(0.1), patients_needed(1 - 0.9), patients_needed(0.15)) == (9, 9, 6)
    values = np.arange(1, 10) / 10
    assert np.isnan(conformal_threshold(values[:8], 1 - 0.9))
    assert conformal_threshold(values, 1 - 0.9) == 0.1
    assert ruled_out_at_most(values, 0.1) == 0.1
    with pytest.raises(InputError, match="level between 0 and 1"):
        conformal_threshold(values, 0.0)


def test_a_patient_counts_once_with_their_lowest_omi():
    omi, probability = [1, 1, 0, 1, 0], [0.7, 0.3, 0.1, 0.5, 0.2]
    assert omi_scores(omi, probability, ["a", "a", "a", "b", "c"]).tolist() == [0.3, 0.5]
    assert omi_scores(omi, probability).tolist() == [0.3, 0.5, 0.7]
    assert omi_scores([], []).size == 0


def patients_of(rng, patients, most_ecgs):
    """Patients with OMI: 1 to ``most_ecgs`` ECGs each, alike within a patient; (n,) probability and patient."""
    ecgs = rng.integers(1, most_ecgs + 1, patients)
    patient = np.repeat(np.arange(patients), ecgs)
    logit = rng.normal(1, 1, patients)[patient] + rng.normal(0, 0.5, patient.size)
    return 1 / (1 + np.exp(-logit)), patient


def lost(rule, patients, most_ecgs):
    """Share of the OMI patients to come of whom some ECG is ruled out: mean of the draws and its standard error."""
    rng = np.random.default_rng(patients)
    shares = np.empty(DRAWS)
    for draw in range(DRAWS):
        positive, patient = patients_of(rng, patients, most_ecgs)
        negative = rng.beta(2, 5, 60)
        omi = np.repeat([1, 0], [positive.size, 60])
        everybody = np.r_[patient, 1000 + np.arange(60)]
        threshold = rule(omi, np.r_[positive, negative], everybody)
        coming, of = patients_of(rng, 200, most_ecgs)
        lowest = np.full(200, np.inf)
        np.minimum.at(lowest, of, coming)
        shares[draw] = (lowest < threshold).mean()
    return shares.mean(), shares.std() / DRAWS**0.5


@pytest.mark.parametrize(("patients", "most_ecgs"), [(5, 1), (9, 1), (14, 1), (30, 4), (59, 4)])
def test_at_most_a_tenth_of_omi_patients_are_ruled_out(patients, most_ecgs):
    mean, error = lost(guaranteed_rule_out_threshold, patients, most_ecgs)
    assert mean <= 0.1 + 3 * error
    # And not because hardly anybody is.
    allowed = np.floor((patients + 1) / 10 + 1e-9) / (patients + 1)
    assert mean >= 0.8 * allowed - 3 * error


def test_the_sensitivity_of_a_few_patients_promises_less():
    """The test above would see it."""
    mean, error = lost(lambda omi, probability, patient: rule_out_threshold(omi, probability), 12, 1)
    assert mean > 0.1 + 3 * error
    assert mean <= 2 / 13 + 3 * error, "the rank of its threshold is the second of 13"


def test_ecgs_that_pass_for_patients_promise_less():
    mean, error = lost(lambda omi, probability, patient: guaranteed_rule_out_threshold(omi, probability), 30, 4)
    assert mean > 0.1 + 3 * error
