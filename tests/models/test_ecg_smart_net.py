"""ECG-SMART-NET against Table 1, against an obvious NumPy forward pass, and against PyTorch's initial weights."""

import re

import keras
import numpy as np
import pytest
from helpers import random_state

from omi_keras.models.ecg_smart_net import ecg_smart_net
from omi_keras.models.weights.torch_weights import load_torch_parameters


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return ecg_smart_net()


@pytest.fixture(scope="module")
def parameters():
    """Random parameters under PyTorch's names and layouts, statistics far from their initial values."""
    return random_state("ecg-smart-net", 7)


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


def test_the_summary_reads_like_table_1(model):
    lines = []
    model.summary(line_length=120, print_fn=lambda line, line_break=False: lines.append(line))
    text = "\n".join(lines)
    for name, shape in (("conv1", "12, 200, 64"), ("layer4_1_relu2", "12, 13, 512"), ("conv2", "1, 13, 512")):
        assert re.search(rf"{name} .*{shape}", text)


def test_initial_weights_are_pytorchs_defaults():
    keras.utils.set_random_seed(0)
    fresh = ecg_smart_net()
    for name, fan_in in (("conv1", 7), ("layer3_0_conv2", 3 * 256), ("conv2", 12 * 512), ("fc", 512)):
        kernel = np.asarray(fresh.get_layer(name).kernel)
        bound = fan_in**-0.5
        assert 0.98 * bound < np.abs(kernel).max() <= bound
        assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)
