"""Plans, patients, ECGs and cohorts."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS
from omi_keras.simulate.cohort import PlannedECG, SimulatedECG, plan_cohort, simulate_cohort, simulate_ecg
from omi_keras.simulate.ecg import draw_patient
from omi_keras.simulate.occlusion import ARTERIES


@pytest.fixture(scope="module")
def default_plan() -> list[PlannedECG]:
    return plan_cohort()


@pytest.fixture(scope="module")
def cohort() -> list[SimulatedECG]:
    return list(simulate_cohort(400, 260, 0.3, seed=5))


def same(a: SimulatedECG, b: SimulatedECG) -> bool:
    return (
        a.plan == b.plan
        and np.array_equal(a.record.signal, b.record.signal)
        and np.array_equal(a.truth.true_beat, b.truth.true_beat)
        and (a.truth.rhythm, a.truth.mimic) == (b.truth.rhythm, b.truth.mimic)
    )


def test_default_cohort_has_the_shape_of_table_3(default_plan: list[PlannedECG]) -> None:
    patients = {p.patient_id: p for p in default_plan}
    assert len(default_plan) == 10893 and len(patients) == 7297
    assert Counter(p.site for p in default_plan) == {"A": 5088, "B": 5805}
    assert Counter(p.site for p in patients.values()) == {"A": 4127, "B": 3170}
    assert sum(p.omi for p in patients.values()) == 482
    for site, age, sd, female, omi in (("A", 59, 16, 0.47, 0.063), ("B", 60, 15, 0.44, 0.068)):
        of_site = [p for p in patients.values() if p.site == site]
        assert np.mean([p.age for p in of_site]) == pytest.approx(age, abs=1.0)
        assert np.std([p.age for p in of_site]) == pytest.approx(sd, abs=1.0)
        assert np.mean([p.sex == "female" for p in of_site]) == pytest.approx(female, abs=0.03)
        assert np.mean([p.omi for p in of_site]) == pytest.approx(omi, abs=0.003)
    assert {p.artery for p in default_plan} == {"", *ARTERIES}


@settings(max_examples=60, deadline=None)
@given(
    n_patients=st.integers(1, 120),
    more=st.integers(0, 200),
    prevalence=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**32),
)
def test_any_size_is_exact(n_patients: int, more: int, prevalence: float, seed: int) -> None:
    plan = plan_cohort(n_patients + more, n_patients, prevalence, seed)
    assert [p.index for p in plan] == list(range(n_patients + more))
    assert len({p.ecg_id for p in plan}) == len(plan)
    by_patient: dict[str, list[PlannedECG]] = {}
    for p in plan:
        by_patient.setdefault(p.patient_id, []).append(p)
        assert 18 <= p.age <= 100
        assert bool(p.artery) == bool(p.omi)
    assert len(by_patient) == n_patients
    assert sum(ecgs[0].omi for ecgs in by_patient.values()) == int(np.floor(prevalence * n_patients + 0.5))
    for ecgs in by_patient.values():
        assert len({(p.omi, p.artery, p.site, p.age, p.sex) for p in ecgs}) == 1
        assert [p.serial for p in ecgs] == list(range(len(ecgs)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 6, 0.1, 0), "5 ECGs cannot be shared by 6 patients"),
        ((5, 0, 0.1, 0), "patients must be at least 1"),
        ((0, 1, 0.1, 0), "0 ECGs cannot be shared"),
        ((5, 5, 1.1, 0), "between 0 and 1"),
        ((5, 5, -0.1, 0), "between 0 and 1"),
        ((5, 5, float("nan"), 0), "between 0 and 1"),
        ((5, 5, 0.1, -1), "seed must be 0 or more"),
    ],
)
def test_impossible_cohorts_are_refused(arguments: tuple[int, int, float, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_cohort(*arguments)
    # At the call, not at the first ECG.
    with pytest.raises(InputError, match=message):
        simulate_cohort(*arguments)


def test_ids_read_as_documented() -> None:
    first = plan_cohort(3, 2)[0]
    assert (first.ecg_id, first.patient_id) == ("sim-000000", "sim-p00000")


def test_same_seed_same_cohort_in_any_order(cohort: list[SimulatedECG]) -> None:
    plan = plan_cohort(400, 260, 0.3, seed=5)
    for i in (399, 7, 200, 0):
        assert same(simulate_ecg(plan[i], 5), cohort[i])


def test_another_seed_is_another_cohort(cohort: list[SimulatedECG]) -> None:
    other = next(simulate_cohort(400, 260, 0.3, seed=6))
    assert not np.array_equal(other.record.signal, cohort[0].record.signal)
    assert not same(simulate_ecg(cohort[0].plan, 6), cohort[0])


def test_records_are_10_s_in_steps_of_5_microvolts(cohort: list[SimulatedECG]) -> None:
    for e in cohort[:60]:
        x = e.record.signal
        assert x.shape == (12, 5000) and x.dtype == np.float32
        steps = np.rint(x * 200).astype(np.int16)
        np.testing.assert_array_equal(x, steps.astype(np.float32) / np.float32(200))
        assert np.abs(x).max() < 12.0
        assert e.record.source == "simulated"
        assert (e.record.ecg_id, e.record.patient_id) == (e.plan.ecg_id, e.plan.patient_id)
        assert (e.record.age, e.record.sex) == (e.plan.age, e.plan.sex)


def test_limb_leads_agree_within_a_step(cohort: list[SimulatedECG]) -> None:
    for e in cohort[:60]:
        one, two, three, avr, avl, avf = e.record.signal[:6].astype(float)
        assert np.abs(three - (two - one)).max() < 1e-5
        for row, exact in ((avr, -(one + two) / 2), (avl, one - two / 2), (avf, two - one / 2)):
            assert np.abs(row - exact).max() < 0.0026


def test_true_beats_obey_einthoven_and_peak_at_r(cohort: list[SimulatedECG]) -> None:
    for e in cohort:
        beat = e.truth.true_beat
        assert beat.shape == (12, 600) and beat.dtype == np.float32
        assert np.abs(beat[2] - (beat[1] - beat[0])).max() < 1e-5
        magnitude = np.square(beat[:, 250:350]).sum(axis=0)
        assert abs(int(np.argmax(magnitude)) - 50) <= 1
        # R is the middle of the beat; ST is read where the truth says.
        j60 = 300 + round((e.truth.j_ms + 60.0) / 2)
        np.testing.assert_array_equal(e.truth.st_level_mv, beat[:, j60])


def test_averaging_a_recording_finds_its_true_beat(cohort: list[SimulatedECG]) -> None:
    errors = []
    for e in cohort:
        if e.truth.rhythm != "sinus" or e.truth.beat_kinds.any() or e.truth.noise_level > 1.0:
            continue
        inside = [r for r in e.truth.r_samples if 300 <= r <= 4700]
        beats = np.stack([e.record.signal[:, r - 300 : r + 300] for r in inside])
        beats = beats - np.median(beats[:, :, 270:278], axis=2, keepdims=True)
        difference = (np.median(beats, axis=0) - e.truth.true_beat)[:, 200:500]
        errors.append(np.sqrt(np.square(difference - difference.mean(axis=1, keepdims=True)).mean()))
    assert len(errors) > 50
    assert np.median(errors) < 0.02


def test_serial_ecgs_share_the_patient(cohort: list[SimulatedECG]) -> None:
    pairs = [
        (a, b)
        for a, b in pairwise(cohort)
        if a.plan.patient == b.plan.patient and not a.plan.omi and a.truth.rhythm == b.truth.rhythm
    ]
    assert len(pairs) > 30
    alike, unlike = [], []
    for i, (a, b) in enumerate(pairs):
        for x, y in zip(_arrays(a.plan), _arrays(b.plan), strict=True):
            np.testing.assert_array_equal(x, y)
        assert a.truth.mimic == b.truth.mimic
        assert not np.array_equal(a.record.signal, b.record.signal)
        stranger = pairs[i - 1][0]
        alike.append(_likeness(a, b))
        unlike.append(_likeness(a, stranger))
    assert np.median(alike) > 0.98
    assert np.median(unlike) < 0.95


def _arrays(plan: PlannedECG) -> tuple[np.ndarray, ...]:
    anatomy = draw_patient(plan, 5).anatomy
    return anatomy.rotation, anatomy.conduction, anatomy.lead_field, anatomy.t_tilt, anatomy.st_offset


def _likeness(a: SimulatedECG, b: SimulatedECG) -> float:
    x, y = (e.truth.true_beat[:, 270:460].ravel() for e in (a, b))
    return float(np.corrcoef(x, y)[0, 1])


def test_truth_says_what_was_done(cohort: list[SimulatedECG]) -> None:
    for e in cohort:
        assert e.truth.artery == e.plan.artery
        assert (e.truth.injury_mv > 0) == bool(e.plan.omi)
        assert (e.truth.minutes > 0) == bool(e.plan.omi)
        assert e.truth.r_samples.size == e.truth.beat_kinds.size
        assert e.truth.r_samples.min() >= 0 and e.truth.r_samples.max() < 5000


def test_occlusions_are_neither_obvious_nor_invisible(cohort: list[SimulatedECG]) -> None:
    omi = np.array([e.plan.omi for e in cohort], dtype=bool)
    st_level = np.array([e.truth.st_level_mv for e in cohort])
    # J points as high as the millimetre criteria ask for, in at least two leads.
    j_level = np.array([e.truth.true_beat[:, 300 + round(e.truth.j_ms / 2)] for e in cohort])
    limit = np.where(np.isin(LEADS, ("V2", "V3")), 0.2, 0.1)
    above = (j_level >= limit).sum(axis=1) >= 2
    assert 0.2 < above[omi].mean() < 0.6
    assert 0.0 < above[~omi].mean() < 0.15
    # Rank statistic of the largest deviation: better than chance, far from perfect.
    largest = np.abs(st_level).max(axis=1)
    auc = np.mean(largest[omi][:, None] > largest[~omi][None, :])
    assert 0.6 < auc < 0.85
