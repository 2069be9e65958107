"""ECG-SMART-NET against Table 1, against an obvious NumPy forward pass, and against PyTorch's initial weights."""

import keras
import numpy as np
import pytest

from omi_keras.models.ecg_smart_net import ecg_smart_net
from omi_keras.models.weights.torch_weights import load_torch_parameters
from omi_keras.recordings.errors import InputError


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return ecg_smart_net()


@pytest.fixture(scope="module")
def parameters(model):
    """Random parameters under PyTorch's names and layouts, statistics far from their initial values."""
    rng = np.random.default_rng(7)
    found = {}
    for layer in model.layers:
        module = layer.name.replace("_", ".")
        for variable in layer.weights:
            shape = tuple(variable.shape)
            if variable.name == "kernel":
                value = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
                torch = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
                found[f"{module}.weight"] = torch
            elif variable.name == "gamma":
                found[f"{module}.weight"] = rng.uniform(0.7, 1.3, shape)
            elif variable.name == "moving_mean":
                found[f"{module}.running_mean"] = rng.normal(0, 0.2, shape)
            elif variable.name == "moving_variance":
                found[f"{module}.running_var"] = rng.uniform(0.5, 1.5, shape)
            else:
                found[f"{module}.bias"] = rng.normal(0, 0.2, shape)
    return found


def torch_forward(p, x):
    """The network as PyTorch computes it, NCHW in float64: x (n, 1, 12, 400) → logits (n, 2)."""

    def conv(x, w, stride=1, pad=0):
        x = np.pad(x, ((0, 0), (0, 0), (0, 0), (pad, pad)))
        kh, kw = w.shape[2:]
        rows = x.shape[2] - kh + 1
        starts = range(0, x.shape[3] - kw + 1, stride)
        out = np.zeros((len(x), len(w), rows, len(starts)))
        for i in range(kh):
            for j in range(kw):
                part = x[:, :, i : i + rows, j : j + stride * (len(starts) - 1) + 1 : stride]
                out += np.tensordot(w[:, :, i, j], part, (1, 1)).swapaxes(0, 1)
        return out

    def bn(x, name):
        scale = p[f"{name}.weight"] / np.sqrt(p[f"{name}.running_var"] + 1e-5)
        shift = p[f"{name}.bias"] - p[f"{name}.running_mean"] * scale
        return x * scale[:, None, None] + shift[:, None, None]

    def relu(x):
        return np.maximum(x, 0)

    x = relu(bn(conv(x, p["conv1.weight"], 2, 3), "bn1"))
    x = np.pad(x, ((0, 0), (0, 0), (0, 0), (1, 1)), constant_values=-np.inf)
    x = np.maximum.reduce([x[..., 0:-2:2], x[..., 1:-1:2], x[..., 2::2]])
    for layer in (1, 2, 3, 4):
        for half in (0, 1):
            name = f"layer{layer}.{half}"
            stride = 2 if layer > 1 and half == 0 else 1
            y = relu(bn(conv(x, p[f"{name}.conv1.weight"], stride, 1), f"{name}.bn1"))
            y = bn(conv(y, p[f"{name}.conv2.weight"], 1, 1), f"{name}.bn2")
            if f"{name}.shortcut.0.weight" in p:
                x = bn(conv(x, p[f"{name}.shortcut.0.weight"], stride), f"{name}.shortcut.1")
            x = relu(x + y)
    x = relu(bn(conv(x, p["conv2.weight"]), "bn2"))
    return x.mean((2, 3)) @ p["fc.weight"].T + p["fc.bias"]


def test_same_function_as_an_obvious_forward_pass(model, parameters):
    load_torch_parameters(model, parameters)
    x = np.random.default_rng(1).standard_normal((2, 12, 400)).astype(np.float32)
    expected = torch_forward(parameters, x[:, None].astype(np.float64))
    found = model.predict(x[..., None], verbose=0)
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()


def test_output_dimensions_of_table_1(model):
    shapes = {
        "conv1": (12, 200, 64),
        "maxpool": (12, 100, 64),
        "layer1_1_relu2": (12, 100, 64),
        "layer2_1_relu2": (12, 50, 128),
        "layer3_1_relu2": (12, 25, 256),
        "layer4_1_relu2": (12, 13, 512),
        "conv2": (1, 13, 512),
        "avgpool": (512,),
        "fc": (2,),
    }
    assert {name: model.get_layer(name).output.shape[1:] for name in shapes} == shapes


def test_trainable_parameters(model):
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 6_991_682


def test_initial_weights_are_pytorchs_defaults():
    keras.utils.set_random_seed(0)
    fresh = ecg_smart_net()
    for name, fan_in in (("conv1", 7), ("layer3_0_conv2", 3 * 256), ("conv2", 12 * 512), ("fc", 512)):
        kernel = np.asarray(fresh.get_layer(name).kernel)
        bound = fan_in**-0.5
        assert 0.98 * bound < np.abs(kernel).max() <= bound
        assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)


def test_every_parameter_that_does_not_fit_is_listed_and_none_is_loaded(model, parameters):
    load_torch_parameters(model, parameters)
    before = model.get_weights()
    wrong = dict(parameters)
    del wrong["bn1.weight"]
    wrong["head.weight"] = np.zeros((2, 512))
    wrong["conv1.weight"] = np.zeros((64, 3, 7, 7))
    wrong["bn1.num_batches_tracked"] = np.array(5)
    with pytest.raises(InputError) as error:
        load_torch_parameters(model, wrong)
    for part in (
        "missing: bn1.weight",
        "unexpected: head.weight",
        "conv1.weight (64, 3, 7, 7) instead of (64, 1, 1, 7)",
    ):
        assert part in str(error.value)
    assert "num_batches_tracked" not in str(error.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
