"""DeLong's test: the published example, the definition written out, and what clusters and folds must do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from omi_keras.evaluation.delong import PairedFold, auc_variance, least_p, paired_delong
from omi_keras.recordings.errors import InputError

# Albumin, total protein, K-G score, benefit from surgery: 43 complete patients of DeLong, DeLong and Clarke-Pearson
# (1988), as printed in SAS/STAT's example "Comparing Receiver Operating Characteristic Curves" of PROC LOGISTIC.
OVARIAN = np.fromstring(
    """3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1
    3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0
    2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
    3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0
    3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1
    3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1""",
    sep=" ",
).reshape(-1, 4)
ALBUMIN, PROTEIN, KG, BENEFIT = OVARIAN[:, 0], OVARIAN[:, 1], 10 - OVARIAN[:, 2], OVARIAN[:, 3]


def cohort(ecgs=60, patients=60, seed=0):
    rng = np.random.default_rng(seed)
    patient = np.arange(ecgs) if patients == ecgs else rng.integers(patients, size=ecgs)
    omi = (rng.random(patients) < 0.35)[patient].astype(int)
    first = np.round(0.8 * omi + rng.normal(size=ecgs) + 0.5 * rng.normal(size=patients)[patient], 1)
    second = np.round(0.5 * omi + 0.6 * first + rng.normal(size=ecgs), 1)
    return omi, first, second, patient


@pytest.mark.parametrize(
    ("score", "auc", "error"), [(ALBUMIN, 0.7366, 0.0927), (KG, 0.7258, 0.1028), (PROTEIN, 0.6478, 0.1000)]
)
def test_published_areas(score, auc, error):
    found, variance = auc_variance(BENEFIT, score, np.arange(BENEFIT.size))
    assert found == pytest.approx(auc, abs=5e-5)
    assert math.sqrt(variance) == pytest.approx(error, abs=5e-5)


@pytest.mark.parametrize(
    ("score", "difference", "error", "chi_square", "p"),
    [(ALBUMIN, 0.0108, 0.0953, 0.0127, 0.9102), (PROTEIN, -0.0780, 0.1046, 0.5554, 0.4561)],
)
def test_published_comparisons(score, difference, error, chi_square, p):
    found = paired_delong([PairedFold(BENEFIT, score, KG, np.arange(BENEFIT.size))])
    assert found["difference"] == pytest.approx(difference, abs=5e-5)
    assert found["standard_error"] == pytest.approx(error, abs=5e-5)
    assert found["z"] ** 2 == pytest.approx(chi_square, abs=5e-5)
    assert found["p"] == pytest.approx(p, abs=5e-5)
    assert found["lo"] == pytest.approx(found["difference"] - 1.959964 * found["standard_error"], abs=1e-6)


def slow_variance(omi, first, second, patient):
    """Obuchowski's variance of the difference of two AUCs, pair by pair and patient by patient."""

    def wins(score, i, j):
        return 1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0

    positive, negative = [np.flatnonzero(omi == label) for label in (1, 0)]
    component = {}
    for i in positive:
        component[i] = np.mean([wins(first, i, j) - wins(second, i, j) for j in negative])
    for j in negative:
        component[j] = np.mean([wins(first, i, j) - wins(second, i, j) for i in positive])
    mean = np.mean([component[i] for i in positive])
    names = sorted(set(patient.tolist()))
    x = [sum(component[i] - mean for i in positive if patient[i] == who) for who in names]
    y = [sum(component[j] - mean for j in negative if patient[j] == who) for who in names]
    m, n, patients = len(positive), len(negative), len(names)
    with_positive, with_negative = (len({patient[k] for k in rows}) for rows in (positive, negative))
    s10 = with_positive / ((with_positive - 1) * m) * sum(v * v for v in x)
    s01 = with_negative / ((with_negative - 1) * n) * sum(v * v for v in y)
    s11 = patients / (patients - 1) * sum(a * b for a, b in zip(x, y, strict=True))
    return s10 / m + s01 / n + 2 * s11 / (m * n)


@pytest.mark.parametrize("patients", [60, 20])
def test_equals_the_definition_written_out(patients):
    omi, first, second, patient = cohort(patients=patients)
    found = paired_delong([PairedFold(omi, first, second, patient)])
    assert found["difference"] == pytest.approx(roc_auc_score(omi, first) - roc_auc_score(omi, second), abs=1e-12)
    expected = slow_variance(omi, first, second, patient)
    assert found["standard_error"] ** 2 == pytest.approx(expected, rel=1e-9)


def test_patients_of_both_classes():
    """A patient with an ECG of either class adds the covariance of the two."""
    omi, first, second, patient = cohort(patients=20)
    omi = np.random.default_rng(1).permutation(omi)
    found = paired_delong([PairedFold(omi, first, second, patient)])
    assert found["standard_error"] ** 2 == pytest.approx(slow_variance(omi, first, second, patient), rel=1e-9)


def test_copies_of_an_ecg_add_no_certainty():
    omi, first, second, patient = cohort()
    once = paired_delong([PairedFold(omi, first, second, patient)])
    copied = [np.repeat(array, 5) for array in (omi, first, second, patient)]
    clustered = paired_delong([PairedFold(*copied)])
    assert clustered == pytest.approx(once)
    naive = paired_delong([PairedFold(*copied[:3], np.arange(copied[0].size))])
    assert naive["standard_error"] < once["standard_error"] / 2


def test_folds_are_ranked_apart_and_averaged():
    folds = [PairedFold(*cohort(seed=seed)) for seed in range(4)]
    found = paired_delong(folds)
    alone = [paired_delong([fold]) for fold in folds]
    assert found["difference"] == pytest.approx(np.mean([one["difference"] for one in alone]))
    assert found["standard_error"] == pytest.approx(math.sqrt(sum(one["standard_error"] ** 2 for one in alone)) / 4)
    # The scale of a fold's model does not matter.
    stretched = [PairedFold(f.omi, 1000 * k + f.first, -k + 3 * f.second, f.patient_id) for k, f in enumerate(folds)]
    assert paired_delong(stretched) == pytest.approx(found)


def test_size_of_the_test_under_the_null():
    """Of 400 comparisons of equally good models on clustered ECGs, about 5 % are below 0.05."""
    rejected = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        patient = rng.integers(60, size=150)
        omi = (np.arange(60) < 20)[patient].astype(int)
        shared = rng.normal(size=60)[patient]
        first, second = (omi + shared + rng.normal(size=60)[patient] + 0.3 * rng.normal(size=150) for _ in range(2))
        rejected += paired_delong([PairedFold(omi, first, second, patient)])["p"] < 0.05
    assert 8 <= rejected <= 36


def test_antisymmetric_and_identical():
    omi, first, second, patient = cohort()
    there = paired_delong([PairedFold(omi, first, second, patient)])
    back = paired_delong([PairedFold(omi, second, first, patient)])
    assert (back["difference"], back["z"], back["p"]) == pytest.approx(
        (-there["difference"], -there["z"], there["p"])
    )  # fmt: skip
    same = paired_delong([PairedFold(omi, first, first, patient)])
    assert (same["difference"], same["standard_error"], same["p"]) == (0, 0, 1)
    assert np.isnan([same["lo"], same["hi"]]).all()


def test_a_difference_without_variance_is_not_significant():
    """Every patient is ranked better by as much: nobody knows what another patient would give."""
    for patients in (3, 6, 7, 11):
        omi = np.repeat([1, 0], patients)
        first = omi.astype(float)
        second = np.full(2 * patients, 0.5)
        found = paired_delong([PairedFold(omi, first, second, np.arange(2 * patients))])
        assert found["difference"] == pytest.approx(0.5)
        assert np.isnan([found[name] for name in ("standard_error", "lo", "hi", "z", "p")]).all()


def test_p_is_never_zero_nor_an_interval_beyond_what_differences_can_be():
    rng = np.random.default_rng(0)
    for patients in (2, 3, 5, 20, 1500):
        omi = np.repeat([1, 0], patients)
        first, second = omi + 0.2 * rng.random(2 * patients), 1 - omi + 0.9 * rng.random(2 * patients)
        second[0] = 2  # so that it varies
        found = paired_delong([PairedFold(omi, first, second, np.arange(2 * patients))])
        assert found["p"] >= least_p(2 * patients) > 0
        assert -1 <= found["lo"] < found["hi"] <= 1
    assert least_p(4) == 0.125
    assert least_p(1) == 1


def test_undefined():
    omi, first, second, patient = cohort()
    one_class = PairedFold(np.zeros(5, int), first[:5], second[:5], patient[:5])
    found = paired_delong([PairedFold(omi, first, second, patient), one_class])
    assert np.isnan(list(found.values())).all()
    # All ECGs with OMI of one patient: a difference, but nobody knows how certain.
    single = paired_delong([PairedFold([1, 1, 0, 0], [3, 1, 2, 0], [1, 1, 2, 0], ["a", "a", "b", "c"])])
    assert single["difference"] == pytest.approx(0.25)
    assert np.isnan([single[name] for name in ("standard_error", "lo", "hi", "z", "p")]).all()
    assert np.isnan(auc_variance([1, 1], [0.1, 0.2], ["a", "b"])).all()
    with pytest.raises(InputError, match="at least one fold"):
        paired_delong([])
