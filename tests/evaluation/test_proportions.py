"""Intervals of proportions: against slow references, never of no width, in order, and right 95 times in a hundred."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binomtest, t

from omi_keras.evaluation.proportions import clopper_pearson, effective_patients, proportion_interval, rate_intervals


def binomial(hits, ecgs):
    exact = binomtest(hits, ecgs).proportion_ci(method="exact")
    return exact.low, exact.high


@pytest.mark.parametrize("ecgs", [1, 2, 12, 40])
def test_one_ecg_per_patient_is_clopper_and_pearson(ecgs):
    for hits in range(ecgs + 1):
        right = np.arange(ecgs) < hits
        assert proportion_interval(right, np.arange(ecgs)) == pytest.approx(binomial(hits, ecgs), abs=1e-9)


def test_twelve_of_twelve_is_not_certain():
    low, high = proportion_interval(np.ones(12, bool), np.arange(12))
    assert (low, high) == pytest.approx((0.025 ** (1 / 12), 1))  # 0.735
    none = proportion_interval(np.zeros(12, bool), np.arange(12))
    assert none == pytest.approx((0, 1 - 0.025 ** (1 / 12)))


def test_copies_of_an_ecg_add_no_certainty():
    """Twelve patients with three ECGs each, all right: as twelve ECGs, not as 36."""
    patient = np.repeat(np.arange(12), 3)
    assert proportion_interval(np.ones(36, bool), patient) == pytest.approx(binomial(12, 12))
    assert effective_patients(patient) == pytest.approx(12)
    # Unequal: 10 + 1 + 1 ECGs are worth 144 / 102 patients.
    assert effective_patients(np.array([0] * 10 + [1, 2])) == pytest.approx(144 / 102)
    # All or none of a patient's ECGs right: as the patients, but for what it costs to find that out from twelve.
    low, high = proportion_interval(np.repeat(np.arange(12) < 8, 3), patient)
    exact = binomial(8, 12)
    assert exact[0] - 0.05 < low < exact[0]
    assert exact[1] < high < exact[1] + 0.05


def slow(right, patient):
    """Korn and Graubard written out: sums over patients, limits by bisection of binomial tails."""
    names = sorted(set(patient.tolist()))
    n = [sum(1 for who in patient if who == name) for name in names]
    x = [sum(1 for good, who in zip(right, patient, strict=True) if who == name and good) for name in names]
    total, k, p = sum(n), len(n), sum(x) / sum(n)
    copies = total**2 / sum(v * v for v in n)
    if p in (0, 1) or k == 1:
        number = copies
    else:
        variance = k / (k - 1) * sum((a - p * b) ** 2 for a, b in zip(x, n, strict=True)) / total**2
        deff = variance / (p * (1 - p) / (total - 1))
        number = total / deff if deff else total
        number = min(total, number * (t.ppf(0.975, total - 1) / t.ppf(0.975, k - 1)) ** 2)

    def limits(share, size):
        hits = share * size

        def at_least(q):  # P(X ≥ hits), by the integral of the beta density
            grid = np.linspace(0, q, 200_001)[1:]
            logs = (hits - 1) * np.log(grid) + (size - hits) * np.log1p(-np.minimum(grid, 1 - 1e-15))
            logs += math.lgamma(size + 1) - math.lgamma(hits) - math.lgamma(size - hits + 1)
            return np.trapezoid(np.exp(logs), grid)

        def at_most(q):  # P(X ≤ hits) = P(size − X ≥ size − hits)
            grid = np.linspace(0, 1 - q, 200_001)[1:]
            logs = (size - hits - 1) * np.log(grid) + hits * np.log1p(-np.minimum(grid, 1 - 1e-15))
            logs += math.lgamma(size + 1) - math.lgamma(size - hits) - math.lgamma(hits + 1)
            return np.trapezoid(np.exp(logs), grid)

        low = brentq(lambda q: at_least(q) - 0.025, 1e-9, 1 - 1e-9) if share > 0 else 0.0
        high = brentq(lambda q: at_most(q) - 0.025, 1e-9, 1 - 1e-9) if share < 1 else 1.0
        return low, high

    edge_low, edge_high = 0.025 ** (1 / copies), 1 - 0.025 ** (1 / copies)
    low, high = limits(p, number)
    return min(low, edge_low), max(high, edge_high)


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_definition_written_out(seed):
    rng = np.random.default_rng(seed)
    patient = rng.integers(4 + 3 * seed, size=40 + 10 * seed)
    right = rng.random(patient.size) < rng.beta(4, 2, size=patient.max() + 1)[patient]
    assert proportion_interval(right, patient) == pytest.approx(slow(right, patient), abs=2e-4)


@st.composite
def clustered(draw):
    patient = draw(st.lists(st.integers(0, 6), min_size=1, max_size=30))
    right = draw(st.lists(st.booleans(), min_size=len(patient), max_size=len(patient)))
    return np.array(right), np.array(patient)


@settings(max_examples=300, deadline=None)
@given(clustered())
def test_always_an_interval(ecgs):
    """Some width, within 0 and 1, around the share, mirrored for the wrong ones; no warning."""
    right, patient = ecgs
    low, high = proportion_interval(right, patient)
    assert 0 <= low < high <= 1
    assert low <= right.mean() <= high
    # Nothing is surer than as many independent ECGs would be, and no lower limit better than of "all right".
    exact = binomial(int(right.sum()), right.size)
    assert low <= exact[0] + 1e-9
    assert high >= exact[1] - 1e-9
    assert low <= proportion_interval(np.ones(right.size, bool), patient)[0]
    assert proportion_interval(~right, patient) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    names = np.array(list("gfedcba"))[patient]
    assert proportion_interval(right, names) == pytest.approx((low, high), abs=1e-12)


def test_monotone_in_what_is_right():
    """One more patient right never lowers a limit, where patients have equally many ECGs and each is all or nothing."""
    for ecgs in (1, 3):
        patient = np.repeat(np.arange(15), ecgs)
        limits = [proportion_interval(np.repeat(np.arange(15) < k, ecgs), patient) for k in range(16)]
        for before, after in pairwise(limits):
            assert before[0] <= after[0] + 1e-12
            assert before[1] <= after[1] + 1e-12


def test_one_patient_and_none():
    low, high = proportion_interval(np.array([True, True, False]), np.zeros(3, int))
    assert low < 0.1
    assert high > 0.9
    assert np.isnan(proportion_interval(np.zeros(0, bool), np.zeros(0, int))).all()


def test_rates_and_f1():
    rng = np.random.default_rng(0)
    patient = rng.integers(30, size=80)
    omi, alarm = rng.random(80) < 0.4, rng.random(80) < 0.5
    found = rate_intervals(omi, alarm, patient)
    assert found["sensitivity"] == proportion_interval(alarm[omi], patient[omi])
    assert found["specificity"] == proportion_interval(~alarm[~omi], patient[~omi])
    assert found["ppv"] == proportion_interval(omi[alarm], patient[alarm])
    assert found["npv"] == proportion_interval(~omi[~alarm], patient[~alarm])
    assert found["accuracy"] == proportion_interval(omi == alarm, patient)
    tp, fp, fn = (omi & alarm).sum(), (~omi & alarm).sum(), (omi & ~alarm).sum()
    low, high = found["f1"]
    assert low < 2 * tp / (2 * tp + fp + fn) < high
    either = omi | alarm
    jaccard = proportion_interval((omi & alarm)[either], patient[either])
    assert (low / (2 - low), high / (2 - high)) == pytest.approx(jaccard)
    silent = rate_intervals(omi, np.zeros(80, bool), patient)
    assert np.isnan(silent["ppv"]).all()
    assert silent["f1"][0] == 0 < silent["f1"][1]


def test_known_numbers():
    # Rule of three: none of 100, one-sided 97.5 %: 1 − 0.025^(1/100).
    assert clopper_pearson(0.0, 100) == pytest.approx((0, 0.036216), abs=1e-6)
    assert clopper_pearson(0.5, 10) == pytest.approx((0.187086, 0.812914), abs=1e-6)


def sample(rng, patients, share, correlation):
    """ECGs of patients who have 1 to 5 of them, right with a probability of their own (beta-binomial)."""
    ecgs = np.minimum(rng.geometric(0.6, patients), 5)
    if correlation == 0:
        own = np.full(patients, share)
    elif correlation == 1:
        own = (rng.random(patients) < share).astype(float)
    else:
        weight = (1 - correlation) / correlation
        own = rng.beta(share * weight, (1 - share) * weight, patients)
    patient = np.repeat(np.arange(patients), ecgs)
    return rng.random(patient.size) < own[patient], patient


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0, 0.3, 0.7, 1])
@pytest.mark.parametrize("patients", [12, 40, 150])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
def test_coverage(share, patients, correlation):
    """Of 3,000 cohorts, at least 93 % of the intervals hold the truth."""
    rng = np.random.default_rng([int(100 * share), patients, int(10 * correlation)])
    held = 0
    for _ in range(3000):
        low, high = proportion_interval(*sample(rng, patients, share, correlation))
        held += low <= share <= high
    assert held / 3000 >= 0.93


@pytest.mark.slow
def test_the_bootstrap_would_not_cover():
    """Why there is another method: percentile intervals of 12 patients, 97 % right, miss the truth most of the time."""
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        right, _ = sample(rng, 12, 0.97, 1)
        drawn = right[rng.integers(right.size, size=(500, right.size))].mean(axis=1)
        low, high = np.percentile(drawn, [2.5, 97.5])
        missed += not low <= 0.97 <= high
    assert missed > 150
