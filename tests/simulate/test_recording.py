"""Rhythm, electrodes, noise, front end and steps."""

from __future__ import annotations

import numpy as np
import pytest

from omi_keras.simulate import recording
from omi_keras.simulate.anatomy import draw_anatomy, normal_beat
from omi_keras.simulate.heart_vector import DOWER
from omi_keras.simulate.recording import SITES, electrode_noise, quantised, record, to_millivolts
from omi_keras.simulate.rhythm import PADDING, PVC, STRIP_SAMPLES, Rhythm, draw_rhythm, strip
from omi_keras.simulate.site_shift import band


def rhythms(n: int, age: float = 60.0) -> list[Rhythm]:
    return [draw_rhythm(np.random.default_rng(i), age) for i in range(n)]


def test_heart_rates_are_those_of_an_emergency_department() -> None:
    rates = np.array([r.rate for r in rhythms(400)])
    assert 72 < rates.mean() < 86
    assert 10 < rates.std() < 20
    assert rates.min() >= 44 and rates.max() <= 160


def test_names_follow_the_rate() -> None:
    for r in rhythms(200):
        if r.name == "sinus tachycardia":
            assert r.rate > 100
        elif r.name == "sinus bradycardia":
            assert r.rate < 60
        elif r.name == "sinus":
            assert 60 <= r.rate <= 100


def test_fibrillation_is_irregular_and_comes_with_age() -> None:
    old, young = rhythms(400, 88.0), rhythms(400, 30.0)
    assert sum(r.fibrillating for r in old) > 3 * sum(r.fibrillating for r in young)
    spread = [r.rr_before[1:].std() / r.rr_before[1:].mean() for r in old if r.fibrillating]
    assert np.median(spread) > 0.12


def test_beats_follow_one_another() -> None:
    for r in rhythms(200):
        assert np.diff(r.r_samples).min() >= 0.3 * 500
        assert r.recorded.sum() >= 6
        assert r.r_samples[0] < 1.5 * 60 / r.rate * 500


def test_an_ectopic_beat_is_early_and_a_pause_follows() -> None:
    seen = 0
    for r in rhythms(400):
        for i in np.flatnonzero(r.kinds == PVC):
            seen += 1
            assert r.rr_before[i] < 0.85 * 60 / r.rate or r.fibrillating
            if i + 1 < r.kinds.size and not r.fibrillating:
                assert r.rr_before[i + 1] > 1.1 * 60 / r.rate
    assert seen > 20


def test_qt_shortens_as_the_heart_speeds_up() -> None:
    slow, fast = sorted(rhythms(50), key=lambda r: r.rate)[::49]
    assert slow.qt_stretch(1.0, slow.rr_before[:1])[0] > fast.qt_stretch(1.0, fast.rr_before[:1])[0]


def test_fibrillating_atria_have_no_p_wave() -> None:
    beat = normal_beat(draw_anatomy(np.random.default_rng(0), 60, "male"))
    r = next(r for r in rhythms(400, 85.0) if r.fibrillating and not r.kinds.any())
    rng = np.random.default_rng(1)
    with_p = strip(beat, r, 1.0, rng)
    without = [w for w in beat.waves if w.part != "P"]
    again = strip(type(beat)(tuple(without), beat.onset, beat.j_point), r, 1.0, np.random.default_rng(1))
    np.testing.assert_array_equal(with_p, again)
    assert with_p.shape == (3, STRIP_SAMPLES)


def test_front_end_passes_005_to_150_hz() -> None:
    gain = np.abs(recording.front_end(*band(0.0)))
    f = recording._FREQUENCIES
    assert gain[0] == 0
    assert gain[np.argmin(np.abs(f - 150))] == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert gain[(f > 0.5) & (f < 80)].min() > 0.98
    # One pole at 0.05 Hz.
    assert gain[1] == pytest.approx(f[1] / np.hypot(f[1], 0.05), rel=1e-5)


def test_noise_keeps_einthovens_law() -> None:
    steps = record(np.zeros((3, STRIP_SAMPLES), np.float32), DOWER, np.random.default_rng(0), "B", 2.0)
    steps = steps.astype(int)
    assert steps[0].std() > 2
    np.testing.assert_array_equal(steps[2], steps[1] - steps[0])
    for row, exact in (
        (3, -(steps[0] + steps[1]) / 2),
        (4, steps[0] - steps[1] / 2),
        (5, steps[1] - steps[0] / 2),
    ):
        assert np.abs(steps[row] - exact).max() <= 0.5


def noise_rms(site: str, level: float, n: int = 30) -> float:
    quiet = [
        np.fft.irfft(electrode_noise(np.random.default_rng(i), SITES[site], level), STRIP_SAMPLES).std()
        for i in range(n)
    ]
    return float(np.median(quiet))


def test_sites_and_levels_differ_in_noise() -> None:
    assert 0.02 < noise_rms("A", 1.0) < noise_rms("B", 1.0) < 0.3
    assert noise_rms("A", 2.0) > 1.5 * noise_rms("A", 1.0)
    assert noise_rms("A", 0.0) < 0.02


def test_steps_are_5_microvolts_and_four_leads_are_computed() -> None:
    steps = quantised(np.random.default_rng(0).normal(size=(8, 100)))
    assert steps.dtype == np.int16 and steps.shape == (12, 100)
    mv = to_millivolts(steps)
    assert mv.dtype == np.float32
    np.testing.assert_array_equal(np.rint(mv * 200).astype(np.int16), steps)


def test_an_absurd_voltage_saturates_and_does_not_wrap() -> None:
    steps = quantised(np.array([[-1e3], [1e3]] + [[1e3]] * 6))
    assert steps[0, 0] < 0 < steps[1, 0]
    assert steps[2, 0] == 2 * 16383


def test_a_strip_is_recorded_without_its_padding() -> None:
    vector = np.zeros((3, STRIP_SAMPLES), np.float32)
    vector[0, PADDING + 700] = 5.0
    steps = record(vector, DOWER, np.random.default_rng(0), "A", 0.0)
    assert steps.shape == (12, 5000)
    assert np.argmax(steps[0]) == 700
