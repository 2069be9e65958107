"""No patient crosses a fold, in any cohort; every ECG is in exactly one; labels are spread evenly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omi_keras.data.folds import assign_folds, check_both_classes, most_folds, rotation
from omi_keras.recordings.errors import InputError


@st.composite
def cohorts(draw):
    """Patients with 1 to 6 ECGs, labels by ECG (a patient may have both), in random order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    patients = draw(st.integers(12, 150))
    patient = np.repeat(np.arange(patients), rng.integers(1, 7, patients))
    omi = (rng.random(len(patient)) < draw(st.floats(0.1, 0.6))).astype(int)
    # At least three patients of each class.
    for number in range(3):
        omi[patient == number] = 1
        omi[patient == patients - 1 - number] = 0
    order = rng.permutation(len(patient))
    return omi[order], np.array([f"p{number:03d}" for number in patient[order]])


@settings(max_examples=60, deadline=None)
@given(cohorts(), st.integers(0, 1000))
def test_no_patient_is_in_two_folds(cohort, seed):
    omi, patient = cohort
    folds = most_folds(omi, patient)
    fold = assign_folds(omi, patient, folds, seed)
    assert set(fold) <= set(range(folds))
    for one in np.unique(patient):
        assert len(set(fold[patient == one])) == 1
    for test_fold in range(folds):
        training, validation, test = rotation(test_fold, folds)
        parts = [set(patient[np.isin(fold, part)]) for part in (training, [validation], [test])]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]
        assert len(set.union(*parts)) == len(np.unique(patient))


def test_same_seed_same_folds_other_seed_other_folds():
    rng = np.random.default_rng(0)
    omi, patient = (rng.random(500) < 0.2).astype(int), np.array([f"p{i // 2}" for i in range(500)])
    np.testing.assert_array_equal(assign_folds(omi, patient, 10, 4), assign_folds(omi, patient, 10, 4))
    assert (assign_folds(omi, patient, 10, 4) != assign_folds(omi, patient, 10, 5)).any()


def test_folds_have_the_prevalence_of_the_cohort():
    rng = np.random.default_rng(1)
    patient = np.repeat(np.arange(1500), rng.integers(1, 4, 1500))
    omi = np.isin(patient, rng.choice(1500, 100, replace=False)).astype(int)
    fold = assign_folds(omi, patient.astype(str), 10, 0)
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= 0.1 * len(omi)
    prevalence = np.array([omi[fold == k].mean() for k in range(10)])
    assert np.abs(prevalence - omi.mean()).max() <= 0.25 * omi.mean()


def test_each_fold_is_tested_once_and_validated_once():
    rounds = [rotation(k) for k in range(10)]
    assert sorted(test for _, _, test in rounds) == list(range(10))
    assert sorted(validation for _, validation, _ in rounds) == list(range(10))
    assert all(len(training) == 8 for training, _, _ in rounds)


def test_small_data_get_fewer_folds():
    omi = np.array([1, 1, 1, 1] + [0] * 40)
    assert most_folds(omi, np.arange(44).astype(str)) == 4


@pytest.mark.parametrize("positives", [0, 1, 2])
def test_too_few_patients_of_a_class_are_refused(positives):
    # Many ECGs of two patients are still two patients.
    omi = np.array([1] * positives * 5 + [0] * 40)
    patient = np.array([f"p{i // 5}" for i in range(positives * 5)] + [f"n{i}" for i in range(40)])
    with pytest.raises(InputError, match=f"{positives} patients with OMI"):
        most_folds(omi, patient)


def test_a_one_class_part_is_named():
    omi = np.array([0, 0, 1, 0, 1, 0])
    fold = np.array([0, 0, 1, 1, 2, 2])
    with pytest.raises(InputError, match=r"fold 0: its test part has one class only \(2 ECGs, 0 with OMI\)"):
        check_both_classes(omi, fold, 0, 3)
