import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omi_keras.models.fast.fast_form import F2, F4, fast_form


def conv_model(kernel: tuple[int, int], rows: int, time: int, channels: int, filters: int, bias: bool) -> keras.Model:
    x = inputs = keras.Input((rows, time, channels))
    x = keras.layers.ZeroPadding2D(((kernel[0] // 2,) * 2, (kernel[1] // 2,) * 2))(x)
    conv = keras.layers.Conv2D(filters, kernel, use_bias=bias, bias_initializer="random_normal", name="conv")
    return keras.Model(inputs, conv(x))


@settings(max_examples=25, deadline=None)
@given(
    kernel=st.sampled_from([(1, 3), (3, 3)]),
    rows=st.integers(1, 4),
    time=st.integers(3, 11),
    channels=st.integers(1, 4),
    filters=st.integers(1, 4),
    bias=st.booleans(),
    filtering=st.sampled_from([F2, F4]),
)
def test_the_sums_of_a_convolution(kernel, rows, time, channels, filters, bias, filtering):
    model = conv_model(kernel, rows, time, channels, filters, bias)
    x = np.random.default_rng(0).standard_normal((2, rows, time, channels)).astype(np.float32)
    expected, found = np.asarray(model(x)), np.asarray(fast_form(model, filtering)(x))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-6 * max(1, np.abs(expected).max()))


def test_16_bits_keep_to_the_gentler_filtering():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = conv_model((1, 3), 2, 12, 8, 4, False)
    finally:
        keras.config.set_dtype_policy(before)
    x = np.random.default_rng(0).standard_normal((2, 2, 12, 8)).astype(np.float32)
    f2, f4 = (np.asarray(keras.ops.cast(fast_form(model, form)(x), "float32")) for form in (F2, F4))
    np.testing.assert_array_equal(f4, f2)


@settings(max_examples=25, deadline=None)
@given(
    pool=st.sampled_from([(1, 2), (1, 4), (1, 3), (3, 3)]),
    stride=st.sampled_from([1, 2]),
    rows=st.integers(3, 6),
    time=st.integers(4, 11),
)
def test_the_maxima_of_pooling(pool, stride, rows, time):
    x = inputs = keras.Input((rows, time, 2))
    model = keras.Model(inputs, keras.layers.MaxPooling2D(pool, (stride, stride + 1), padding="valid")(x))
    x = np.random.default_rng(0).standard_normal((2, rows, time, 2)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(fast_form(model)(x)), np.asarray(model(x)))


@pytest.mark.parametrize("kernel", [(1, 5), (7, 7)])
def test_other_kernels_stay_as_they_are(kernel):
    fast = fast_form(conv_model(kernel, 12, 40, 2, 3, False))
    assert isinstance(fast.get_layer("conv"), keras.layers.Conv2D)


def test_it_computes_with_the_weights_of_now():
    model = conv_model((1, 3), 2, 8, 2, 2, False)
    fast, x = fast_form(model), np.ones((1, 2, 8, 2), np.float32)
    model.set_weights([2 * weight for weight in model.get_weights()])
    np.testing.assert_allclose(np.asarray(fast(x)), np.asarray(model(x)), rtol=1e-5, atol=1e-6)
