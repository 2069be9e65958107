"""What nobody says of an array is assumed where the ECG leaves no doubt; elsewhere the possibilities are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from omi_keras.beats.median_beats import median_beat
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import LEADS
from omi_keras.recordings.resampling import resample


def refused(path: Path, *words: str) -> str:
    with pytest.raises(InputError) as caught:
        read_record(path)
    text = str(caught.value)
    for word in (path.name, *words):
        assert word in text, text
    assert "\n" not in text
    return caught.value.reason


def beating(synthetic: Callable[..., np.ndarray], seconds: float, rate: float, bpm: float = 70.0) -> np.ndarray:
    signal = synthetic(np.arange(0.43, seconds, 60.0 / bpm), seconds, rate=rate)
    return signal + np.random.default_rng(0).normal(scale=0.005, size=signal.shape)


def write(path: Path, signal: np.ndarray) -> Path:
    """The same numbers without a word about their rate."""
    if path.suffix == ".npy":
        np.save(path, signal)
    elif path.suffix == ".npz":
        np.savez(path, signal=signal, units="mV")
    elif path.suffix == ".mat":
        scipy.io.savemat(path, {"val": signal})
    else:
        np.savetxt(path, signal.T, "%.4f", ",", header=",".join(LEADS), comments="")
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat", ".csv"])
@pytest.mark.parametrize(
    ("seconds", "rate", "words"),
    [
        (10, 250, ("2500 samples could be 10 s at 250 Hz", "5 s at 500 Hz")),
        (10, 1000, ("10000 samples could be 10 s at 1000 Hz", "20 s at 500 Hz")),
        (10.24, 400, ("4096 samples could be",)),
        (10, 512, ("5120 samples could be 10 s at 512 Hz",)),
        (30, 100, ("3000 samples could be 10 s at 300 Hz",)),
        # As long as 10 s at 500 Hz: the beats tell.
        (20, 250, ("5000 samples could be 10 s at 500 Hz, 20 s at 250 Hz, 5 s at 1000 Hz", "140 times", "QRS")),
        (5, 1000, ("5 s at 1000 Hz", "35 times", "QRS")),
    ],
)
def test_a_rate_is_not_guessed(
    tmp_path: Path, synthetic: Callable[..., np.ndarray], seconds: float, rate: float, words: tuple, suffix: str
) -> None:
    path = write(tmp_path / f"a{suffix}", beating(synthetic, seconds, rate))
    assert refused(path, "no rate is given", f"{path.name}.json", '{"rate": 250}', *words) == "no_rate"
    path.with_name(path.name + ".json").write_text(json.dumps({"rate": rate}), encoding="utf-8")
    made = read_record(path)
    assert "assumed_rate" not in made.flags
    if made.seconds >= 5:
        assert median_beat(made).heart_rate == pytest.approx(70, abs=1)


@pytest.mark.parametrize("bpm", [48, 60, 90, 130])
@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_ten_seconds_at_500_hz_are_read(
    tmp_path: Path, synthetic: Callable[..., np.ndarray], bpm: float, suffix: str
) -> None:
    made = read_record(write(tmp_path / f"a{suffix}", beating(synthetic, 10, 500, bpm)))
    assert "assumed_rate" in made.flags
    assert median_beat(made).heart_rate == pytest.approx(bpm, abs=1)


def test_no_beats_tell_no_rate(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(scale=0.2, size=(8, 5000))
    np.save(tmp_path / "a.npy", noise)
    (tmp_path / "a.npy.json").write_text('{"leads": ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]}', encoding="utf-8")
    assert refused(tmp_path / "a.npy", "no rate is given") == "no_rate"


@pytest.mark.parametrize(
    ("per_mv", "words"),
    [
        (10.0, "could be in 0.1 mV"),
        (200.0, "could be in 5 µV"),
        (1000.0 / 4.88, "could be in 5 µV"),
        (400.0, "could be in 5 µV, 2.5 µV or µV"),
        (1e-3, "could be in V"),
        (1e5, "an ECG neither in mV nor in µV"),
    ],
)
def test_a_unit_is_not_guessed(tmp_path: Path, ecg: np.ndarray, per_mv: float, words: str) -> None:
    np.save(tmp_path / "a.npy", ecg * per_mv)
    assert refused(tmp_path / "a.npy", "no unit is given", words, '{"units": "uV"}', "_uV") == "no_units"


@pytest.mark.parametrize("per_mv", [200.0, 400.0, 2000.0])
def test_counts_stay_counts_when_they_are_saved_as_floats(tmp_path: Path, ecg: np.ndarray, per_mv: float) -> None:
    np.save(tmp_path / "a.npy", np.round(ecg * per_mv))
    assert refused(tmp_path / "a.npy", "integers without a unit") == "no_units"


@pytest.mark.parametrize(
    "scaled",
    [
        lambda x: x / np.abs(x).max(),
        lambda x: (x - x.min()) / np.ptp(x),
        lambda x: (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) / 3.0,
        lambda x: x / np.abs(x).max(1, keepdims=True),
        lambda x: 2.0 * x / np.ptp(x, axis=1, keepdims=True),
    ],
)
def test_what_was_normalised_is_no_millivolt(
    tmp_path: Path, ecg: np.ndarray, scaled: Callable[[np.ndarray], np.ndarray]
) -> None:
    np.save(tmp_path / "a.npy", scaled(ecg))
    assert refused(tmp_path / "a.npy", "no unit is given") == "no_units"


@pytest.mark.parametrize("order", [[0, 1, 2, 4, 3, 5], [4, 0, 3, 1, 5, 2], [1, 0, 2, 3, 4, 5]])
def test_an_order_of_leads_is_not_guessed_against_einthoven(tmp_path: Path, ecg: np.ndarray, order: list[int]) -> None:
    order = [*order, *range(6, 12)]
    np.save(tmp_path / "a_mV.npy", ecg[order])
    assert refused(tmp_path / "a_mV.npy", "no lead names are given") == "no_leads"
    (tmp_path / "a_mV.npy.json").write_text(json.dumps({"leads": [LEADS[k] for k in order]}), encoding="utf-8")
    np.testing.assert_allclose(read_record(tmp_path / "a_mV.npy").signal, ecg, atol=1e-6)


@pytest.mark.parametrize("field", ["gain", "adc_gain", "resolution", "baseline"])
def test_a_scale_that_is_not_applied_is_not_passed_over(tmp_path: Path, ecg: np.ndarray, field: str) -> None:
    fields = {"signal": ecg * 200.0, "rate": 500, "units": "uV", field: np.full(12, 200.0)}
    np.savez(tmp_path / "a.npz", **fields)
    assert refused(tmp_path / "a.npz", f"its {field} is not applied") == "uncalibrated"
    scipy.io.savemat(tmp_path / "a.mat", fields)
    assert refused(tmp_path / "a.mat", f"its {field} is not applied") == "uncalibrated"
    nothing = 0 if field == "baseline" else 1
    np.savez(tmp_path / "b.npz", **(fields | {"signal": ecg * 1000.0, field: nothing}))
    np.testing.assert_allclose(read_record(tmp_path / "b.npz").signal, ecg, atol=1e-5)


@pytest.mark.parametrize("field", ["Fs", "RATE", "sample_rate", "sfreq"])
def test_spellings_of_the_rate(tmp_path: Path, synthetic: Callable[..., np.ndarray], field: str) -> None:
    np.savez(tmp_path / "a.npz", signal=beating(synthetic, 10, 250), units="mV", **{field: 250})
    assert median_beat(read_record(tmp_path / "a.npz")).heart_rate == pytest.approx(70, abs=1)


@pytest.mark.parametrize(
    ("name", "factor"), [("time_us", 1e6), ("time (s)", 1.0), ("time_ms", 1e3), ("microseconds", 1e6)]
)
def test_the_unit_in_a_time_columns_name_holds(
    tmp_path: Path, synthetic: Callable[..., np.ndarray], name: str, factor: float
) -> None:
    signal = beating(synthetic, 10, 1000)
    table = np.vstack([np.arange(signal.shape[1]) * factor / 1000, signal])
    np.savetxt(tmp_path / "a_mV.csv", table.T, "%.4f", ",", header=",".join([name, *LEADS]), comments="")
    made = read_record(tmp_path / "a_mV.csv")
    assert made.seconds == 10
    assert made.flags == ()


def test_a_time_column_of_whole_numbers_may_count_samples(tmp_path: Path, synthetic: Callable[..., np.ndarray]) -> None:
    signal = beating(synthetic, 10, 500)
    for name, word in (("time", "milliseconds at 1000 Hz or the samples' numbers"), ("t", "column t")):
        table = np.vstack([np.arange(5000), signal])
        np.savetxt(tmp_path / "a_mV.csv", table.T, "%.4f", ",", header=",".join([name, *LEADS]), comments="")
        assert refused(tmp_path / "a_mV.csv", word) == "no_rate"


def test_real_recordings_at_a_wrong_rate(recordings: Path, tmp_path: Path) -> None:
    files = [recordings / "wfdb_cinc2021" / f"{name}.hea" for name in ("E07500", "E07506", "E07511")]
    for file in files:
        signal = read_record(file).signal
        assert signal.shape[1] == 5000
        np.save(tmp_path / "a_mV.npy", signal)
        np.testing.assert_array_equal(read_record(tmp_path / "a_mV.npy").signal, signal)
        twice = np.hstack([signal, signal[:, ::-1]])[:, :10000]
        for wrong in (resample(twice, 500, 250), resample(signal[:, :2500], 500, 1000)):
            np.save(tmp_path / "b_mV.npy", wrong.astype(np.float32))
            assert refused(tmp_path / "b_mV.npy", "no rate is given") == "no_rate"


def test_ten_seconds_at_250_hz(shared: Path) -> None:
    assert refused(shared / "field" / "npy_250Hz_mV.npy", "10 s at 250 Hz", "5 s at 500 Hz") == "no_rate"
