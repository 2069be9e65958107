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


@pytest.mark.parametrize("scaled", [False, True])
def test_weight_decay_is_that_of_torch_adam_and_not_of_adamw(scaled):
    """In each step the parameter, so many times, is added to its gradient, which Adam then makes a unit of."""
    rng = np.random.default_rng(0)
    start, gradients, decay = rng.standard_normal(50), [1e-3 * rng.standard_normal(50) for _ in range(7)], 0.1
    x, m, v = start, np.zeros(50), np.zeros(50)
    for t, g in enumerate(gradients, start=1):
        g = g + decay * x
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x = x - 1e-3 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    optimizer = TorchAdam(1e-3, decay)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=256.0)
        gradients = [256 * g for g in gradients]
    found = run(optimizer, start, gradients)
    np.testing.assert_allclose(found, x, rtol=1e-5, atol=1e-7)
    assert np.abs(found - torch_adam(start, [1e-3 * g for g in gradients], 1e-3)).max() > 1e-4
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(TorchAdam(1e-3, decay)))
    assert again.l2 == decay


def test_weight_decay_equals_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    start, gradients = rng.standard_normal(20), [rng.standard_normal(20) for _ in range(5)]
    parameter = torch.nn.Parameter(torch.tensor(start, dtype=torch.float32))
    theirs = torch.optim.Adam([parameter], 1e-2, weight_decay=0.05)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient, dtype=torch.float32)
        theirs.step()
    found = run(TorchAdam(1e-2, 0.05), start, gradients)
    np.testing.assert_allclose(found, parameter.detach().numpy(), rtol=1e-5, atol=1e-6)
