"""The form that TensorFlow trains is the plain network: logits, gradients, running averages."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from omi_keras.models.catalogue import NETWORKS, build
from omi_keras.models.fast.training_form import MANY_FILTERS, training_form


def one_step(model, network, x, y):
    """Logits, gradients by variable and running averages of ``network``, which has the weights of ``model``."""
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    variables = [variable.value for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        logits = network(x, training=True)
        # As under a scale of the loss: gradients of the deep networks are too small for float16.
        loss = 1024 * loss_of(y, logits)
    gradients = [gradient.numpy() / 1024 for gradient in tape.gradient(loss, variables)]
    return logits.numpy(), gradients, [variable.numpy() for variable in model.non_trainable_variables]


def distance(found, expected):
    """Length of what is wrong over the length of what is right, all arrays together."""
    found, expected = (
        np.concatenate([np.ravel(array).astype(np.float64) for array in part]) for part in (found, expected)
    )
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def beats(size):
    x = np.random.default_rng(size).standard_normal((size, 12, 400, 1)).astype(np.float32)
    return x, np.arange(size) % 2


@pytest.mark.parametrize("size", [2, 18])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_plain_network_and_its_training_form(name, size):
    x, y = beats(size)
    model = build(name, seed=1)
    logits, gradients, averages = one_step(model, model, x, y)
    model = build(name, seed=1)
    found = one_step(model, training_form(model), x, y)
    assert distance([found[0]], [logits]) < 1e-4
    assert distance(found[2], averages) < 1e-5
    # Rounding turns single ReLUs and maxima; each turns a gradient into another one of the same length.
    assert distance(found[1], gradients) < 2e-2


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_in_16_bits_it_is_no_further_from_float32_than_the_plain_network(name, precision):
    x, y = beats(6)
    model = build(name, seed=1)
    exact = one_step(model, model, x, y)
    errors = []
    for form in (lambda model: model, training_form):
        model = build(name, precision, seed=1)
        found = one_step(model, form(model), x, y)
        assert {array.dtype for array in (found[0], *found[2])} == {np.dtype(np.float32)}
        errors.append([distance([found[0]], [exact[0]]), distance(found[1], exact[1]), distance(found[2], exact[2])])
    plain, fast = errors
    assert all(0 < error <= 1.5 * other for error, other in zip(fast, plain, strict=True)), errors


@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(1, 4),
    rows=st.integers(1, 3),
    time=st.integers(2, 9),
    channels=st.integers(1, 5),
    offset=st.floats(-10, 10),
    frozen=st.booleans(),
)
def test_batch_normalisation(batch, rows, time, channels, offset, frozen):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((batch, rows, time, channels)) + offset).astype(np.float32)
    upstream = rng.standard_normal(x.shape).astype(np.float32)
    weights = [rng.uniform(0.5, 2, channels) for _ in range(4)]
    found = []
    for form in (lambda model: model, training_form):
        inputs = keras.Input(x.shape[1:])
        model = keras.Model(inputs, keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name="bn")(inputs))
        model.set_weights(weights)
        model.get_layer("bn").trainable = not frozen
        network, source = form(model), tf.Variable(x)
        with tf.GradientTape() as tape:
            y = network(source, training=True)
        watched = [source, *(variable.value for variable in model.trainable_variables)]
        found.append([y, *tape.gradient(y, watched, upstream), *model.get_weights(), network(x, training=False)])
    for plain, fast in zip(*found, strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-3, atol=2e-4)


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 3),
    rows=st.integers(1, 4),
    time=st.integers(1, 6),
    channels=st.integers(1, 4),
    kernel=st.sampled_from([(1, 1), (1, 3), (1, 5), (0, 1)]),
    stride=st.sampled_from([(1, 1), (1, 2)]),
    bias=st.booleans(),
    filters=st.sampled_from([3, MANY_FILTERS]),
)
def test_convolutions(batch, rows, time, channels, kernel, stride, bias, filters):
    # Of one channel, under unequal strides, TensorFlow 2.21 leaves rows of a result of one column unwritten.
    assume(stride == (1, 1) or channels > 1 or time > 2)
    kernel = (kernel[0] or rows, kernel[1])
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, rows, time, channels)).astype(np.float32)
    z = inputs = keras.Input(x.shape[1:])
    if kernel[1] > 1:
        z = keras.layers.ZeroPadding2D((0, kernel[1] // 2), name="conv_pad")(z)
    conv = keras.layers.Conv2D(filters, kernel, stride, use_bias=bias, bias_initializer="random_normal", name="conv")
    model = keras.Model(inputs, conv(z))
    found = []
    for network in (model, training_form(model)):
        source = tf.Variable(x)
        with tf.GradientTape() as tape:
            y = network(source, training=True)
        upstream = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
        watched = [source, *(variable.value for variable in model.trainable_variables)]
        found.append([y, *tape.gradient(y, watched, upstream)])
    for plain, fast in zip(*found, strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=1e-4)


def test_layers_that_it_makes_faster():
    kinds = [type(layer).__name__ for layer in training_form(build("ecg-smart-net")).layers]
    assert kinds.count("_FusedNorm") == 21
    assert kinds.count("_SamePadded") == 13
    assert kinds.count("_RowsAsChannels") == 1
    assert "ZeroPadding2D" in kinds, "stride two pads apart: 'same' would be another function"
    assert "BatchNormalization" in [type(layer).__name__ for layer in training_form(build("mayo-alvd")).layers]
