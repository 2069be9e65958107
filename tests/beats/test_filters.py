from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omi_keras.beats.filters import bandpass, mains_frequency
from omi_keras.recordings.resampling import resample

T = np.arange(5000) / 500.0


def _sine(hz: float, amplitude: float = 1.0, phase: float = 0.7) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * T + phase)


def _middle_gain(hz: float, **kwargs: float) -> float:
    """Output over input amplitude, away from the ends."""
    x = _sine(hz)
    y = bandpass(x, notch=False, **kwargs)
    part = slice(1000, 4000)
    basis = np.stack([np.sin(2 * np.pi * hz * T), np.cos(2 * np.pi * hz * T)])[:, part]
    return float(np.hypot(*np.linalg.lstsq(basis.T, y[part], rcond=None)[0]))


def test_symmetric_pulse_stays_symmetric_and_in_place() -> None:
    x = np.exp(-0.5 * ((np.arange(5001) - 2500) / 6.0) ** 2)
    y = bandpass(x)
    assert int(np.argmax(y)) == 2500
    np.testing.assert_allclose(y, y[::-1], atol=2e-6)
    assert y[2500] == pytest.approx(1.0, abs=0.03)


def test_symmetric_pulse_at_any_place_is_not_shifted() -> None:
    for centre in (400, 1777, 4600):
        x = np.exp(-0.5 * ((np.arange(5000) - centre) / 5.0) ** 2)
        y = bandpass(x)
        assert int(np.argmax(y)) == centre
        np.testing.assert_allclose(y[centre - 60 : centre], y[centre + 60 : centre : -1], atol=1e-3)


@pytest.mark.parametrize("hz", [1.0, 5.0, 20.0, 40.0])
def test_pass_band_is_untouched(hz: float) -> None:
    np.testing.assert_allclose(_middle_gain(hz), 1.0, atol=0.01)


def test_edges_are_3_db_and_stop_band_is_gone() -> None:
    assert _middle_gain(150.0) == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert _middle_gain(5.0, low=5.0) == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert _middle_gain(230.0) < 0.2
    assert _middle_gain(0.5, low=5.0) < 0.02


def test_offset_and_slow_drift_are_removed() -> None:
    pulse = np.exp(-0.5 * ((np.arange(5000) - 2500) / 6.0) ** 2)
    drifting = pulse + 300.0 + 0.4 * T
    np.testing.assert_allclose(bandpass(drifting), bandpass(pulse), atol=2e-3)
    assert np.abs(bandpass(np.full(5000, 300.0))).max() < 1e-3


def test_filter_is_linear_and_leaves_its_argument_alone() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 12, 5000)).astype(np.float32)
    before = a.copy()
    a.flags.writeable = False
    together = bandpass(2.0 * a - 3.0 * b, notch=False)
    np.testing.assert_allclose(together, 2 * bandpass(a, notch=False) - 3 * bandpass(b, notch=False), atol=1e-4)
    np.testing.assert_array_equal(a, before)


@pytest.mark.parametrize("n", [1, 2, 600, 4096, 4999])
def test_any_length_and_shape(n: int) -> None:
    x = np.random.default_rng(n).normal(size=(3, n)).astype(np.float32)
    y = bandpass(x)
    assert y.shape == x.shape and y.dtype == np.float32 and np.isfinite(y).all()
    np.testing.assert_allclose(bandpass(x[1]), bandpass(x[1][None])[0])


@pytest.mark.parametrize("hz", [50, 60])
def test_mains_is_found_and_removed_and_the_rest_kept(hz: int, synthetic: Callable[..., np.ndarray]) -> None:
    clean = synthetic(np.arange(0.5, 10.0, 0.8))
    rng = np.random.default_rng(1)
    clean = clean + rng.normal(scale=0.01, size=clean.shape)
    noisy = clean + _sine(hz + 0.05, 0.1)
    assert mains_frequency(clean) is None
    assert mains_frequency(noisy) == hz
    left = (bandpass(noisy) - bandpass(clean))[:, 250:-250]
    assert np.sqrt(np.mean(left**2)) < 0.1 * 0.1 / np.sqrt(2) + 0.008


def test_no_notch_without_mains(synthetic: Callable[..., np.ndarray]) -> None:
    clean = synthetic(np.arange(0.5, 10.0, 0.8))
    np.testing.assert_array_equal(bandpass(clean), bandpass(clean, notch=False))


@pytest.mark.parametrize("rate", [100, 250, 257, 360, 500, 977, 1000])
def test_resampling_keeps_time_and_height(rate: int) -> None:
    t = np.arange(10 * rate) / rate
    x = np.stack([np.exp(-0.5 * ((t - at) / 0.03) ** 2) for at in (3.0, 5.004, 7.1)]) + 250.0
    y = resample(x, rate)
    assert abs(y.shape[1] - 5000) <= 2
    new = np.arange(y.shape[1]) / 500.0
    truth = np.stack([np.exp(-0.5 * ((new - at) / 0.03) ** 2) for at in (3.0, 5.004, 7.1)]) + 250.0
    np.testing.assert_allclose(y, truth, atol=3e-3)


@settings(max_examples=20, deadline=None)
@given(rate=st.integers(50, 2000), offset=st.floats(-300, 300), slope=st.floats(-1, 1))
def test_resampling_has_no_edge_steps(rate: int, offset: float, slope: float) -> None:
    t = np.arange(2 * rate) / rate
    y = resample(offset + slope * t, rate)
    inside = y[: round(1.9 * 500)]
    np.testing.assert_allclose(inside, offset + slope * np.arange(len(inside)) / 500.0, atol=5e-3)


def test_resampling_copies() -> None:
    x = np.zeros((12, 500), dtype=np.float32)
    y = resample(x, 500)
    y[:] = 1.0
    assert not x.any()
