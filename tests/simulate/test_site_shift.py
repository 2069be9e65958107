"""Another hospital: site B differs in patients, noise, electrodes and filters, and site A stays as it is."""

import json

import numpy as np
import pytest
from helpers import run_cli

from omi_keras.recordings.errors import InputError
from omi_keras.simulate.cohort import plan_cohort, simulate_cohort
from omi_keras.simulate.heart_vector import DOWER
from omi_keras.simulate.recording import SITES, STEPS_PER_MV, electrode_noise, front_end, record
from omi_keras.simulate.rhythm import STRIP_SAMPLES
from omi_keras.simulate.site_shift import band, put_higher

SIZE = (40, 30, 0.3, 5)


def signals(**shift):
    return {ecg.plan.ecg_id: (ecg.plan.site, ecg.record.signal) for ecg in simulate_cohort(*SIZE, **shift)}


def test_without_a_shift_nothing_changes_and_with_one_site_a_does_not():
    plain, none, shifted = signals(), signals(site_shift=0.0), signals(site_shift=1.0)
    for name, (site, signal) in plain.items():
        np.testing.assert_array_equal(signal, none[name][1])
        assert np.array_equal(signal, shifted[name][1]) == (site == "A")
    assert {site for site, _ in plain.values()} == {"A", "B"}


def test_patients_of_site_b_are_older_and_as_many_have_an_occlusion():
    plain, shifted = plan_cohort(seed=1), plan_cohort(seed=1, site_shift=1.0)
    years = {site: [b.age - a.age for a, b in zip(plain, shifted, strict=True) if a.site == site] for site in "AB"}
    assert set(years["A"]) == {0}
    assert np.mean(years["B"]) == pytest.approx(8, abs=0.3)  # nobody is older than 100
    assert [plan.omi for plan in plain] == [plan.omi for plan in shifted]


def test_its_machines_have_the_bandwidth_of_a_monitor():
    assert band(0.0) == (0.05, 150.0)
    assert band(1.0) == band(2.0) == (pytest.approx(0.5), pytest.approx(40.0))
    assert 0.05 < band(0.5)[0] < 0.5
    f, gain = np.fft.rfftfreq(STRIP_SAMPLES, 1 / 500), np.abs(front_end(*band(1.0)))
    for corner in band(1.0):
        assert np.interp(corner, f, gain) == pytest.approx(np.sqrt(0.5), abs=0.01)


def recorded(vector, shift, level=0.0):
    steps = record(vector.astype(np.float32), DOWER, np.random.default_rng(3), "B", level, shift=shift)
    return steps.astype(float) / STEPS_PER_MV


def test_its_high_pass_bends_the_st_segment():
    """After a QRS of 1 mV and 100 ms, one pole at 0.5 Hz leaves -exp(-t/τ) x 0.1/τ mV, τ = 1/(2π 0.5)."""
    vector = np.zeros((3, STRIP_SAMPLES))
    start = 3000
    vector[0, start : start + 50] = 1 / DOWER[0, 0]  # 1 mV in lead I
    padding = (STRIP_SAMPLES - 5000) // 2
    after = start + 50 + 40 - padding  # 80 ms after J
    plain, bent = (recorded(vector, shift)[0] for shift in (0.0, 1.0))
    tau = 1 / (2 * np.pi * 0.5)
    expected = -(np.exp(0.1 / tau) - 1) * np.exp(-0.18 / tau)
    assert np.mean(bent[after - 5 : after + 5]) == pytest.approx(expected, abs=0.02)
    assert abs(np.mean(plain[after - 5 : after + 5])) < 0.05


def test_it_is_noisier():
    f = np.fft.rfftfreq(STRIP_SAMPLES, 1 / 500)
    quiet, loud = (electrode_noise(np.random.default_rng(3), SITES["B"].shifted(by), 1.0) for by in (0.0, 1.0))
    for low, high in ((0.1, 0.4), (59.9, 60.1)):  # wander, mains
        of = (f > low) & (f < high)
        assert np.abs(loud[:, of]).mean() == pytest.approx(2 * np.abs(quiet[:, of]).mean(), rel=0.1)
    # Muscle, above the noise of an amplifier that stays as it is.
    assert np.abs(loud[:, f > 80]).mean() > 1.6 * np.abs(quiet[:, f > 80]).mean()
    assert SITES["B"].shifted(1.0).motion == 2 * SITES["B"].motion


def test_v1_and_v2_see_less_of_what_points_to_the_feet():
    moved = put_higher(DOWER, 1.0)
    down = np.array([0.0, 1.0, 0.0])
    assert (moved[2:4] @ down < DOWER[2:4] @ down - 0.1).all()
    np.testing.assert_array_equal(np.delete(moved, [2, 3], axis=0), np.delete(DOWER, [2, 3], axis=0))
    np.testing.assert_array_equal(moved[:, [0, 2]], DOWER[:, [0, 2]])
    assert put_higher(DOWER, 0.0) is DOWER


@pytest.mark.parametrize("shift", [-0.1, 2.1, float("nan")])
def test_a_shift_that_cannot_be(shift, tmp_path):
    with pytest.raises(InputError, match="shift of site B is a number from 0 to 2"):
        plan_cohort(site_shift=shift)
    done = run_cli("simulate", tmp_path / "out", "--site-shift", shift)
    assert done.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_records_say_their_shift(tmp_path):
    size = ("--ecgs", 4, "--patients", 4, "--prevalence", 0.5, "--as", "records")
    for name, options in (("plain", ()), ("shifted", ("--site-shift", 0.5))):
        assert run_cli("simulate", tmp_path / name, *size, *options).exit_code == 0
    plain, shifted = (
        json.loads((tmp_path / name / "simulation.json").read_text(encoding="utf-8"))["simulation"]
        for name in ("plain", "shifted")
    )
    assert "site_shift" not in plain
    assert shifted == plain | {"site_shift": 0.5}
