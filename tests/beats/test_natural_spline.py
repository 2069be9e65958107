import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from omi_keras.beats.median import median
from omi_keras.beats.natural_spline import natural_spline


@given(steps=st.lists(st.integers(1, 900), min_size=1, max_size=30), seed=st.integers(0, 9))
def test_it_is_scipys(steps, seed):
    rng = np.random.default_rng(seed)
    t = np.cumsum([3, *steps]).astype(float)
    values = rng.standard_normal((12, len(t)))
    at = np.concatenate([t, rng.uniform(t[0], t[-1], 40)])
    expected = CubicSpline(t, values, axis=1, bc_type="natural")(at)
    np.testing.assert_allclose(natural_spline(t, values, at), expected, atol=1e-9 * np.abs(expected).max())


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40))
def test_the_median_is_numpys(numbers):
    x = np.array(numbers, np.float32)
    assert median(x) == np.median(x)
    np.testing.assert_array_equal(median(np.stack([x, -x])), np.median([x, -x], axis=1))
    np.testing.assert_array_equal(median(np.stack([x, -x], axis=1), axis=0), np.median([x, -x], axis=1))
