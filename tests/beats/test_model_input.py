from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omi_keras.beats.model_inputs import CROP_START, CROP_STOP, model_input
from omi_keras.recordings.errors import InputError


def _beats(seed: int, *lead_shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(*lead_shape, 12, 600)).astype(np.float32)


def test_window_is_samples_150_to_549() -> None:
    ramp = np.tile(np.arange(600, dtype=np.float32), (12, 1))
    x = model_input(ramp)
    assert (CROP_START, CROP_STOP) == (150, 550)
    assert x.shape == (12, 400) and x.dtype == np.float32
    # Of a ramp, the population SD of 400 steps is sqrt((400² - 1) / 12).
    expected = (np.arange(150, 550) - 349.5) / np.sqrt((400**2 - 1) / 12)
    np.testing.assert_allclose(x, np.tile(expected, (12, 1)), atol=1e-6)


def test_what_lies_outside_the_window_is_not_seen() -> None:
    beat = _beats(0)
    other = beat.copy()
    other[:, :150] = 99.0
    other[:, 550:] = -99.0
    np.testing.assert_array_equal(model_input(beat), model_input(other))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(0.01, 100.0),
    offset=st.floats(-300.0, 300.0),
)
def test_gain_and_offset_of_a_lead_vanish(seed: int, scale: float, offset: float) -> None:
    beat = _beats(seed).astype(np.float64)
    x = model_input(beat)
    np.testing.assert_allclose(model_input(beat * scale + offset), x, atol=1e-4)
    np.testing.assert_allclose(x.mean(axis=-1), 0.0, atol=1e-6)
    np.testing.assert_allclose(x.std(axis=-1), 1.0, atol=1e-6)


def test_large_offset_in_float32_is_stable() -> None:
    lead = np.sin(np.arange(600) / 30.0)
    beat = np.tile((lead + 300.0).astype(np.float32), (12, 1))
    reference = (lead[150:550] - lead[150:550].mean()) / lead[150:550].std()
    np.testing.assert_allclose(model_input(beat)[0], reference, atol=1e-4)


def test_batches_equal_single_beats() -> None:
    beats = _beats(1, 2, 3)
    x = model_input(beats)
    assert x.shape == (2, 3, 12, 400)
    np.testing.assert_array_equal(x[1, 2], model_input(beats[1, 2]))
    assert model_input(beats[:0]).shape == (0, 3, 12, 400)


@pytest.mark.parametrize("level", [0.0, 0.1, -1.7, 300.0])
def test_flat_lead_becomes_zeros(level: float) -> None:
    beat = _beats(2)
    beat[7] = level
    x = model_input(beat)
    assert not x[7].any()
    assert np.isfinite(x).all()
    assert x[6].any()


def test_input_is_not_changed() -> None:
    beat = _beats(3)
    before = beat.copy()
    beat.flags.writeable = False
    model_input(beat)
    np.testing.assert_array_equal(beat, before)


@pytest.mark.parametrize("shape", [(600,), (12, 599), (11, 600), (600, 12), (12, 400)])
def test_wrong_shape_names_expected_and_received(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        model_input(np.zeros(shape, dtype=np.float32))
    assert "expected shape (..., 12, 600)" in str(caught.value)
    assert f"received {shape}" in str(caught.value)
    assert caught.value.reason == "wrong_shape"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_values_are_refused(value: float) -> None:
    beat = _beats(4)
    beat[3, 300] = value
    with pytest.raises(InputError, match="missing or infinite"):
        model_input(beat)


def test_maxabs_200_is_resampled_divided_by_its_largest_value_and_turns_avr() -> None:
    beat = _beats(5)
    x = model_input(beat, "maxabs-200")
    assert x.shape == (12, 200) and x.dtype == np.float32
    for lead in range(12):
        # Of 400 samples' 201 frequencies the lower 101 stay; at the last, both signs fall together.
        spectrum = np.fft.rfft(beat[lead, 150:550].astype(np.float64))[:101]
        spectrum[-1] = 2 * spectrum[-1].real
        expected = np.fft.irfft(spectrum, 200) / 2
        expected *= (-1 if lead == 3 else 1) / np.abs(expected).max()
        np.testing.assert_allclose(x[lead], expected, atol=1e-6)


def test_maxabs_200_keeps_a_flat_lead_at_zero_and_the_sign_of_the_offset() -> None:
    beat = _beats(6)
    beat[7] = 0.0
    beat[8] = -0.5
    x = model_input(beat, "maxabs-200")
    assert not x[7].any()
    np.testing.assert_allclose(x[8], -1.0, atol=1e-6)


def test_batches_of_maxabs_200_equal_single_beats() -> None:
    beats = _beats(1, 2, 3)
    x = model_input(beats, "maxabs-200")
    assert x.shape == (2, 3, 12, 200)
    np.testing.assert_array_equal(x[1, 2], model_input(beats[1, 2], "maxabs-200"))
    assert model_input(beats[:0], "maxabs-200").shape == (0, 3, 12, 200)


def test_an_unknown_contract_is_refused() -> None:
    with pytest.raises(InputError, match=r"'zscore' is not known; there are zscore-400 and maxabs-200"):
        model_input(_beats(0), "zscore")
