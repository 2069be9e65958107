"""Adam against PyTorch's formula written out in NumPy."""

import keras
import numpy as np
import pytest

from omi_keras.training.optimizer import TorchAdam


def torch_adam(x, gradients, rate, eps=1e-8):
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x = x - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + eps)
    return x


def run(optimizer, x, gradients):
    variable = keras.Variable(x.astype(np.float32))
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype(np.float32))], [variable])
    return np.asarray(variable)


@pytest.mark.parametrize("size", [1.0, 1e-7, 1e-9])
def test_same_steps_as_pytorch(size):
    rng = np.random.default_rng(0)
    x, gradients = np.zeros(50), [size * rng.standard_normal(50) for _ in range(7)]
    expected = torch_adam(x, gradients, 1e-3)
    np.testing.assert_allclose(run(TorchAdam(1e-3), x, gradients), expected, rtol=1e-4, atol=1e-9)


def test_keras_own_adam_differs_where_gradients_are_small():
    rng = np.random.default_rng(0)
    x, gradients = np.zeros(50), [1e-7 * rng.standard_normal(50) for _ in range(3)]
    theirs = run(keras.optimizers.Adam(1e-3, epsilon=1e-8), x, gradients)
    assert np.abs(theirs / torch_adam(x, gradients, 1e-3) - 1).max() > 0.1


def test_saved_and_read_back():
    optimizer = TorchAdam(3e-4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert isinstance(again, TorchAdam)
    assert float(again.learning_rate) == pytest.approx(3e-4)
    assert again.epsilon == 1e-8
