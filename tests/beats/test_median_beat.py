from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omi_keras.beats.beat_groups import rank_in_place
from omi_keras.beats.filters import cosine_spectrum
from omi_keras.beats.median_beats import MedianBeat, median_beat
from omi_keras.beats.model_inputs import model_input
from omi_keras.beats.r_peaks import detect_r_peaks
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import LEADS, Record

Make = Callable[..., np.ndarray]
Wrap = Callable[..., Record]
NORMAL_BEATS = np.arange(0.43, 9.9, 0.857)


def _noise(signal: np.ndarray, sd_mv: float, seed: int = 0) -> np.ndarray:
    return signal + np.random.default_rng(seed).normal(scale=sd_mv, size=signal.shape)


def _r(result: MedianBeat) -> int:
    """Sample of the largest heart vector near the middle of the beat."""
    return 240 + int(np.argmax(np.linalg.norm(result.beat, axis=0)[240:360]))


@pytest.fixture(name="truth")
def _truth(synthetic: Make) -> np.ndarray:
    """The noise-free beat with its heart vector's peak at sample 300, zero at the PR segment."""
    long = synthetic([2.0], 4.0)
    peak = 940 + int(np.argmax(np.linalg.norm(long, axis=0)[940:1060]))
    beat = long[:, peak - 300 : peak + 300]
    return beat - beat[:, 255:265].mean(axis=1, keepdims=True)


def test_the_beat_comes_back(synthetic: Make, record: Wrap, truth: np.ndarray) -> None:
    result = median_beat(record(_noise(synthetic(NORMAL_BEATS), 0.005)))
    assert result.beat.shape == (12, 600) and result.beat.dtype == np.float32
    assert _r(result) == 300
    # 20 µV: the low-pass and the true start of the PR stretch; neighbours' T waves lie outside.
    np.testing.assert_allclose(result.beat[:, 200:500], truth[:, 200:500], atol=0.03)
    assert result.beats_found == len(NORMAL_BEATS)
    assert result.beats_kept >= len(NORMAL_BEATS) - 2
    assert result.rr_ms == pytest.approx(857, abs=3)
    assert result.heart_rate == pytest.approx(70, abs=0.5)
    assert result.noise_uv.shape == (12,)
    assert result.flags == ()


def test_avr_keeps_its_sign_and_limb_leads_stay_consistent(synthetic: Make, record: Wrap) -> None:
    beat = median_beat(record(_noise(synthetic(NORMAL_BEATS), 0.005))).beat
    one, two, _three, avr = beat[:4]
    assert avr[300] < -0.5
    np.testing.assert_allclose(avr, -(one + two) / 2, atol=0.02)


def test_noise_is_measured(synthetic: Make, record: Wrap) -> None:
    signal = _noise(synthetic(NORMAL_BEATS), 0.003)
    signal[8] += np.random.default_rng(0).normal(scale=0.3, size=signal.shape[1])
    result = median_beat(record(signal))
    # 300 µV of white noise, of which 60 % lie below 150 Hz: 232 µV, a little less about their own median.
    assert 180 < result.noise_uv[8] < 250
    assert np.delete(result.noise_uv, 8).max() < 20
    assert result.flags == ("noisy:V3",)


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(0.0, 0.8), rate=st.floats(40.0, 150.0), seed=st.integers(0, 1000))
def test_r_is_at_300_whatever_the_rate_and_start(
    synthetic: Make, record: Wrap, shift: float, rate: float, seed: int
) -> None:
    beats = np.arange(shift, 10.0, 60.0 / rate)
    result = median_beat(record(_noise(synthetic(beats), 0.02, seed)))
    assert abs(_r(result) - 300) <= 1
    assert result.heart_rate == pytest.approx(rate, rel=0.02)
    inside = ((beats >= 0.3) & (beats <= 9.5)).sum()
    assert result.beats_kept >= 0.7 * inside
    # Zero at the PR segment; at high rates the T wave before it runs into it.
    assert np.abs(result.beat[:, 260:264].mean(axis=1)).max() < (0.05 if rate < 100 else 0.15)


def test_shift_in_time_changes_nothing(synthetic: Make, record: Wrap) -> None:
    long = _noise(synthetic(np.arange(0.4, 12.0, 0.8), 12.0), 0.01)
    a, b = (median_beat(record(long[:, start : start + 5000])).beat for start in (0, 400))
    assert np.abs(a[:, 150:550] - b[:, 150:550]).max() < 0.03


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.3, 3.0))
def test_twice_the_signal_is_twice_the_beat(synthetic: Make, record: Wrap, scale: float) -> None:
    signal = _noise(synthetic(NORMAL_BEATS), 0.01)
    one, other = median_beat(record(signal)), median_beat(record(scale * signal))
    np.testing.assert_allclose(other.beat, scale * one.beat, atol=2e-3 * scale)
    assert other.beats_kept == one.beats_kept


def test_same_record_same_bits_and_left_alone(synthetic: Make, record: Wrap) -> None:
    made = record(_noise(synthetic(NORMAL_BEATS), 0.02))
    before = made.signal.copy()
    made.signal.flags.writeable = False
    a, b = median_beat(made), median_beat(made)
    np.testing.assert_array_equal(a.beat, b.beat)
    np.testing.assert_array_equal(made.signal, before)
    assert dataclasses.asdict(a).keys() == {
        "beat", "rr_ms", "heart_rate", "beats_found", "beats_kept", "noise_uv", "flags"
    }  # fmt: skip


def test_only_the_first_ten_seconds_count(synthetic: Make, record: Wrap) -> None:
    long = _noise(synthetic(np.arange(0.4, 25.0, 0.8), 25.0), 0.01)
    other = long.copy()
    other[:, 5000:] = 7.0
    np.testing.assert_array_equal(median_beat(record(long)).beat, median_beat(record(other)).beat)


def test_ectopic_beats_are_left_out(synthetic: Make, record: Wrap, truth: np.ndarray) -> None:
    normal = np.array([0.5, 1.3, 2.9, 3.7, 4.5, 6.1, 6.9, 7.7, 9.3])
    ectopic = [1.9, 5.1, 8.3]
    result = median_beat(record(_noise(synthetic(normal, ectopic=ectopic), 0.01)))
    assert result.beats_found == 12
    assert result.beats_kept == 9
    np.testing.assert_allclose(result.beat[:, 220:460], truth[:, 220:460], atol=0.06)


def test_bigeminy_gives_the_conducted_beat(synthetic: Make, record: Wrap, truth: np.ndarray) -> None:
    normal = np.arange(0.5, 9.6, 1.6)
    result = median_beat(record(_noise(synthetic(normal, ectopic=normal + 0.6), 0.01)))
    assert np.corrcoef(result.beat[:, 280:340].ravel(), truth[:, 280:340].ravel())[0, 1] > 0.98
    assert "excluded_beats" in result.flags


def _bells(beats: np.ndarray, waves: list[tuple[float, float, float]], seconds: float = 10.0) -> np.ndarray:
    """(12, samples): in every lead the same waves, each (s from R, width in s, mV)."""
    t = np.arange(round(500 * seconds)) / 500.0
    course = sum(h * np.exp(-0.5 * ((t - r - at) / w) ** 2) for r in beats for at, w, h in waves)
    gains = np.array([0.6, 1.0, 0.4, -0.8, 0.1, 0.7, -0.5, 0.6, 0.9, 1.2, 1.1, 0.9])
    return _noise(gains[:, None] * course, 0.004)


@pytest.mark.parametrize("rate", [50.0, 70.0, 90.0, 118.0])
def test_t_waves_as_tall_and_sharp_as_r_are_no_beats(record: Wrap, rate: float) -> None:
    beats = np.arange(0.35, 9.6, 60.0 / rate)
    qrs = [(0.0, 0.012, 1.0), (0.024, 0.010, -0.4)]
    result = median_beat(record(_bells(beats, [*qrs, (0.27, 0.017, 1.0)])))
    assert result.heart_rate == pytest.approx(rate, abs=1.5)
    assert "excluded_beats" not in result.flags
    # R, not T, at sample 300.
    assert abs(int(np.argmax(result.beat[1, 200:380])) - 100) <= 2


@pytest.mark.parametrize("rate", [140.0, 170.0, 205.0])
def test_fast_hearts_keep_every_beat(record: Wrap, rate: float) -> None:
    beats = np.arange(0.35, 9.9, 60.0 / rate)
    qrs = [(0.0, 0.012, 1.0), (0.024, 0.010, -0.4)]
    result = median_beat(record(_bells(beats, [*qrs, (0.17, 0.03, 0.25)])))
    assert result.heart_rate == pytest.approx(rate, abs=1.5)


@pytest.mark.parametrize(("start", "stop"), [(4.7, 8.7), (0.0, 3.0), (6.0, 10.0)])
@pytest.mark.parametrize("level", [0.0, 0.8])
def test_a_dropout_is_told_and_makes_no_pause(
    synthetic: Make, record: Wrap, start: float, stop: float, level: float
) -> None:
    signal = _noise(synthetic(NORMAL_BEATS), 0.01)
    signal[:, int(start * 500) : int(stop * 500)] = level
    result = median_beat(record(signal))
    assert f"dropout:{stop - start:.1f}s" in result.flags
    assert result.heart_rate == pytest.approx(70, abs=2)
    assert result.rr_ms == pytest.approx(857, abs=10)


def test_a_pause_of_the_heart_is_no_dropout(synthetic: Make, record: Wrap) -> None:
    result = median_beat(record(_noise(synthetic([0.5, 1.3, 2.1, 6.4, 7.2, 8.0, 8.8]), 0.005)))
    assert not any(flag.startswith("dropout") for flag in result.flags)
    assert result.heart_rate == pytest.approx(60 * 6 / 8.3, abs=1)


@pytest.mark.parametrize("late", [9.945, 9.97, 9.99])
def test_what_begins_in_the_last_60_ms_does_not_count(synthetic: Make, record: Wrap, late: float) -> None:
    beats = np.arange(0.43, 9.5, 0.857)
    one = median_beat(record(_noise(synthetic(beats), 0.005)))
    # An extrasystole, cut off: its place cannot be known.
    other = median_beat(record(_noise(synthetic(beats, ectopic=[late]), 0.005)))
    assert other.heart_rate == pytest.approx(one.heart_rate, abs=0.2)
    assert other.rr_ms == one.rr_ms


def test_baseline_wander_is_taken_out(synthetic: Make, record: Wrap, truth: np.ndarray) -> None:
    t = np.arange(5000) / 500.0
    wander = 0.5 * np.sin(2 * np.pi * 0.25 * t) + 0.3 * np.sin(2 * np.pi * 0.1 * t + 1) + 2.0
    result = median_beat(record(_noise(synthetic(NORMAL_BEATS), 0.01) + wander))
    assert result.beats_kept >= len(NORMAL_BEATS) - 2
    np.testing.assert_allclose(result.beat[:, 220:460], truth[:, 220:460], atol=0.08)


def test_irregular_rhythm_keeps_its_beats(synthetic: Make, record: Wrap) -> None:
    gaps = np.random.default_rng(3).uniform(0.42, 1.0, size=20)
    beats = np.cumsum(gaps)
    beats = beats[beats < 9.8]
    t = np.arange(5000) / 500.0
    fibrillation = 0.06 * np.sin(2 * np.pi * (6.0 * t + 0.4 * np.sin(t)))
    result = median_beat(record(_noise(synthetic(beats), 0.02) + fibrillation))
    assert result.beats_found == len(beats)
    assert result.beats_kept >= 0.7 * len(beats)


def test_one_ruined_lead_does_not_ruin_the_others(synthetic: Make, record: Wrap) -> None:
    clean = _noise(synthetic(NORMAL_BEATS), 0.01)
    ruined = clean.copy()
    rng = np.random.default_rng(5)
    ruined[9] = rng.normal(scale=2.0, size=5000)
    a, b = median_beat(record(clean)), median_beat(record(ruined))
    others = np.arange(12) != 9
    assert b.beats_kept >= a.beats_kept - 1
    assert np.abs(a.beat[others] - b.beat[others]).max() < 0.08
    assert "noisy:V4" in b.flags


def test_spikes_on_all_leads_are_no_beats(synthetic: Make, record: Wrap) -> None:
    signal = _noise(synthetic(NORMAL_BEATS), 0.01)
    signal[:, 2650:2660] += 8.0
    result = median_beat(record(signal))
    assert abs(_r(result) - 300) <= 1
    assert result.beats_kept >= 0.7 * len(NORMAL_BEATS)


@pytest.mark.parametrize("flat", [[8], [7, 9]])
def test_flat_leads_stay_zero_and_finite(synthetic: Make, record: Wrap, flat: list[int]) -> None:
    signal = _noise(synthetic(NORMAL_BEATS), 0.01)
    signal[flat] = 0.25
    result = median_beat(record(signal))
    assert np.isfinite(result.beat).all() and np.isfinite(result.noise_uv).all()
    assert np.abs(result.beat[flat]).max() < 1e-3
    assert not model_input(result.beat)[flat].any()


def test_what_cannot_be_judged_is_refused_wherever_it_comes_from(synthetic: Make, record: Wrap) -> None:
    signal = _noise(synthetic(NORMAL_BEATS), 0.01)
    with pytest.raises(InputError, match=r"3\.0 s is too short"):
        median_beat(record(signal[:, :1500]))
    with pytest.raises(InputError, match="units are probably µV"):
        median_beat(record(signal * 1000))
    signal[[7, 9, 11]] = 0.25
    with pytest.raises(InputError, match="3 of 12 leads are flat: V2 V4 V6"):
        median_beat(record(signal))


def test_mains_is_removed_and_said(synthetic: Make, record: Wrap, truth: np.ndarray) -> None:
    hum = 0.1 * np.sin(2 * np.pi * 50.0 * np.arange(5000) / 500.0)
    result = median_beat(record(_noise(synthetic(NORMAL_BEATS), 0.005) + hum))
    assert "mains:50" in result.flags
    assert np.abs(result.beat[:, 345:420] - truth[:, 345:420]).max() < 0.04


def test_flags_of_the_record_are_carried_on(synthetic: Make, record: Wrap) -> None:
    signal = _noise(synthetic([0.8, 2.1, 3.4, 4.7], 6.0), 0.01)
    made = dataclasses.replace(record(signal), flags=("derived_leads",))
    assert median_beat(made).flags == ("derived_leads", "few_beats")


def test_paced_beats_give_a_beat(synthetic: Make, record: Wrap) -> None:
    beats = np.arange(0.5, 9.8, 1.0)
    signal = _noise(synthetic(beats), 0.01)
    for at in beats:
        k = round((at - 0.06) * 500)
        signal[:, k : k + 2] += 3.0
    result = median_beat(record(signal))
    assert result.beats_kept >= 7 and np.isfinite(result.beat).all()


@pytest.mark.parametrize(
    ("beats", "words"),
    [([5.0], "only 1 beat found"), ([3.0, 6.0], "only 2 beats found")],
)
def test_too_few_beats(synthetic: Make, record: Wrap, beats: list[float], words: str) -> None:
    with pytest.raises(InputError) as caught:
        median_beat(record(_noise(synthetic(beats), 0.004), "pat-7"))
    assert str(caught.value).startswith(f"pat-7: {words}")
    assert caught.value.reason == "too_few_beats"


@pytest.mark.parametrize("seed", range(5))
def test_white_noise_is_no_ecg(record: Wrap, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(scale=0.4, size=(12, 5000))
    with pytest.raises(InputError, match="no reproducible beats"):
        median_beat(record(noise))


@pytest.mark.parametrize("level", [0.0, 1.0, -300.0])
def test_all_flat(record: Wrap, level: float) -> None:
    with pytest.raises(InputError, match="all leads are flat"):
        median_beat(record(np.full((12, 5000), level)))


@pytest.mark.parametrize("n", [0, 1, 100, 499])
def test_far_too_short(record: Wrap, n: int) -> None:
    with pytest.raises(InputError, match="too short"):
        median_beat(record(np.zeros((12, n))))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(500, 5200), scale=st.sampled_from([1e-4, 0.05, 1.0, 50.0]))
def test_any_noise_is_a_finite_beat_or_an_input_error(record: Wrap, seed: int, n: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    signal = scale * np.cumsum(rng.normal(size=(12, n)), axis=1) * (rng.random((12, 1)) < 0.8)
    try:
        result = median_beat(record(signal))
    except InputError:
        return
    assert np.isfinite(result.beat).all()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13, 21, 40])
def test_sorting_network_sorts(count: int) -> None:
    beats = np.random.default_rng(count).normal(size=(count, 12, 50)).astype(np.float32)
    expected = np.sort(beats, axis=0)
    np.testing.assert_array_equal(np.stack(rank_in_place(beats)), expected)


def test_detector_finds_all_beats_where_they_are(synthetic: Make) -> None:
    peaks = detect_r_peaks(cosine_spectrum(_noise(synthetic(NORMAL_BEATS), 0.02))).peaks
    assert len(peaks) == len(NORMAL_BEATS)
    assert np.abs((2 * peaks + 0.5) / 500.0 - NORMAL_BEATS).max() < 0.03


def test_real_recordings(recordings: Path) -> None:
    with (recordings / "labels.csv").open(encoding="utf-8") as file:
        rows = [row["record"] for row in csv.DictReader(file) if row["format"].startswith("WFDB")]
    assert len(rows) == 44
    for row in rows:
        if row.endswith("JS20008"):
            with pytest.raises(InputError, match="3 of 12 leads are flat: V2 V4 V6"):
                median_beat(read_record(recordings / row))
            continue
        made = read_record(recordings / row)
        result = median_beat(made)
        assert abs(_r(result) - 300) <= 1, row
        assert result.beats_kept >= 0.7 * result.beats_found - 2, row
        assert 35 < result.heart_rate < 160, row
        assert np.isfinite(model_input(result.beat)).all()
        # The limb leads of a sample-wise median obey Einthoven only roughly, but a sign error would be huge.
        residual = result.beat[LEADS.index("aVR")] + (result.beat[0] + result.beat[1]) / 2
        assert np.sqrt(np.mean(residual[150:550] ** 2)) < 0.05, row
