"""The networks are written with Keras alone: on JAX they are the function that they are on TensorFlow."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import random_state

from omi_keras.models.catalogue import NETWORKS, build
from omi_keras.models.weights.torch_weights import load_torch_parameters
from omi_keras.training.optimizer import TorchAdam

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed; pip install 'omi-keras[jax]'"
)

ON_JAX = """
import sys
import keras
import numpy as np
from omi_keras.models.catalogue import NETWORKS, build
from omi_keras.models.weights.torch_weights import load_torch_parameters
from omi_keras.training.optimizer import TorchAdam

assert keras.backend.backend() == "jax"
folder = sys.argv[1]
with np.load(f"{folder}/inputs.npz") as inputs:
    x, y = inputs["x"], inputs["y"]
found = {}
for name in NETWORKS:
    model = build(name)
    with np.load(f"{folder}/{name}.npz") as parameters:
        load_torch_parameters(model, parameters)
    found[name] = np.asarray(model.predict_on_batch(x))
model.compile(TorchAdam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
found["losses"] = [float(model.train_on_batch(x, y)) for _ in range(3)]
assert "tensorflow" not in sys.modules
np.savez(f"{folder}/found.npz", **found)
"""


@pytest.fixture(scope="module")
def inputs():
    x = np.cumsum(np.random.default_rng(6).standard_normal((4, 12, 400, 1)), axis=2).astype(np.float32)
    return {"x": (x - x.mean(2, keepdims=True)) / x.std(2, keepdims=True), "y": np.arange(4) % 2}


@pytest.fixture(scope="module")
def on_jax(inputs, tmp_path_factory):
    """What a process without TensorFlow computed: logits by network, losses of the last one."""
    folder = tmp_path_factory.mktemp("jax")
    np.savez(folder / "inputs.npz", **inputs)
    for name in NETWORKS:
        np.savez(folder / f"{name}.npz", **random_state(name, 5))
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", ON_JAX, str(folder)], env=environment, check=True, timeout=300)
    return np.load(folder / "found.npz")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_parameters_give_the_same_logits_on_jax(name, on_jax, inputs):
    model = build(name)
    load_torch_parameters(model, random_state(name, 5))
    logits = np.asarray(model.predict_on_batch(inputs["x"]))
    assert np.abs(on_jax[name] - logits).max() <= 2e-5 * np.abs(logits).max()


def test_training_takes_the_same_steps_on_jax(on_jax, inputs):
    model = build(NETWORKS[-1])
    load_torch_parameters(model, random_state(NETWORKS[-1], 5))
    model.compile(TorchAdam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = [float(model.train_on_batch(inputs["x"], inputs["y"])) for _ in range(3)]
    np.testing.assert_allclose(on_jax["losses"], losses, atol=1e-3 * losses[0])
