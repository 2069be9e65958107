"""What is known of each network beforehand, and how the contract of all of them is measured."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import random_state, run_cli

from edge.limits import LIMITS
from omi_keras.data.batches import epoch_batches, read_batch
from omi_keras.data.dataset import load_dataset
from omi_keras.models.archive import save_network
from omi_keras.models.catalogue import LEARNING_RATES, NETWORKS, build
from omi_keras.models.inference import omi_probability
from omi_keras.models.model_folder import write_model_info
from omi_keras.models.weights.torch_weights import load_torch_parameters
from omi_keras.training.optimizer import TorchAdam
from omi_keras.training.tensorflow_epoch import training_step


class Facts(NamedTuple):
    """What is known of a network beforehand."""

    trainable_parameters: int
    # Name of its reference values in shared/oracle.
    oracle: str
    # Fraction of a saliency map's maximum that 99.9 % of its values are within: float32 flips a few ReLUs of the deep
    # networks.
    saliency: float


FACTS = {
    "ecg-smart-net": Facts(6_991_682, "ecg_smart_net", 0.01),
    "temporal-resnet18": Facts(3_844_930, "temporal_resnet18", 0.01),
    "resnet18": Facts(11_171_266, "resnet18", 0.01),
    "mayo-alvd": Facts(135_378, "mayo_alvd", 1e-5),
}
# XLA compiles these for half a minute.
DEEP = tuple(name for name, facts in FACTS.items() if facts.trainable_parameters > 1_000_000)
WEIGHTS = Path(__file__).resolve().parents[1] / "docs" / "reference" / "weights.md"
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
ON_JAX = """
import sys
from pathlib import Path

import keras
import numpy as np
from omi_keras.models.model_folder import load_weights
from omi_keras.training.optimizer import TorchAdam

assert keras.backend.backend() == "jax"
folder, trained, *names = sys.argv[1:]
with np.load(f"{folder}/inputs.npz") as inputs:
    x, y = inputs["x"], inputs["y"]
found = {}
for name in names:
    model = load_weights(name, Path(folder, f"{name}.keras"))
    found[name] = np.asarray(model.predict_on_batch(x))
    if name in trained.split(","):
        model.compile(TorchAdam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        found[f"{name} losses"] = [float(model.train_on_batch(x, y)) for _ in range(3)]
assert "tensorflow" not in sys.modules
np.savez(f"{folder}/found.npz", **found)
"""


def networks(*, slow):
    """Every network, and those in ``slow`` marked so: they replace the parameters of :func:`name`."""
    marked = [pytest.param(one, marks=pytest.mark.slow) if one in slow else one for one in NETWORKS]
    return pytest.mark.parametrize("name", marked, indirect=True)


def assert_close(found, expected, tolerance=2e-5):
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


class Trainer:
    """Training steps of a network as a run takes them, traced once for all that is put into it.

    Attributes
    ----------
    model, optimizer
        What the steps change.
    step
        As :func:`training_step` gives it.
    """

    def __init__(self, name: str, *, compiled: bool = False) -> None:
        self.model, self.optimizer = build(name), TorchAdam()
        self.optimizer.build(self.model.trainable_variables)
        self.step = training_step(self.model, self.optimizer, compiled=compiled)
        self._at_rest = [np.asarray(variable) for variable in self.optimizer.variables]

    def start(self, weights: list[np.ndarray], rate: float) -> None:
        """Begin with these weights, in the order of ``model.weights``."""
        self.model.set_weights(weights)
        for variable, value in zip(self.optimizer.variables, self._at_rest, strict=True):
            variable.assign(value)
        self.optimizer.learning_rate = rate

    def losses(self, weights: list[np.ndarray], x: np.ndarray, y: np.ndarray, count: int) -> list[float]:
        """Losses of ``count`` steps on the same ECGs from these weights."""
        self.start(weights, 1e-4)
        return [float(self.step(x, y)) for _ in range(count)]

    def folder(self, dataset: Path, folder: Path, steps: int) -> list[float]:
        """Train from fresh weights for a few steps at a high rate, make a model folder; return the losses."""
        data, rng, losses = load_dataset(dataset), np.random.default_rng(0), []
        omi = data.ecgs["omi"].to_numpy(np.int32)
        name = self.model.name.replace("_", "-")
        self.start(build(name, seed=1).get_weights(), 100 * LEARNING_RATES[name])
        while len(losses) < steps:
            for rows in epoch_batches(omi, 24, "class", rng):
                losses.append(float(self.step(read_batch(data.beats, rows), omi[rows])))
        # As far as can be from any ECG: a gate that compares decisions shall not judge coin tosses.
        p = np.sort(omi_probability(self.model.predict_on_batch(read_batch(data.beats, np.arange(len(omi))))))
        widest = int(np.argmax(np.diff(p)))
        threshold = float(p[widest : widest + 2].mean())
        save_network(folder / "model.keras", self.model)
        about = {"model": name, "simulated": True, "threshold": threshold, "metrics": {}, "provenance": {}}
        write_model_info(folder, about)
        return losses


def assert_same_maps(found, expected, tolerance):
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] >= 0.99998
    assert np.percentile(np.abs(found - expected), 99.9) <= tolerance * expected.max()


def documented(name):
    """Number of trainable parameters, and {parameter: shape}, that docs/reference/weights.md tells of a network."""
    section = WEIGHTS.read_text(encoding="utf-8").split(f"\n## {name}\n")[1].split("\n## ")[0]
    count = int(re.search(r"^([\d,]+) trainable parameters", section, re.M)[1].replace(",", ""))
    found = {}
    for line in section.split("```")[1].strip().splitlines():
        module, what = line.split(maxsplit=1)
        if channels := re.fullmatch(r"batch normalisation of (\d+)", what):
            found |= {f"{module}.{part}": (int(channels[1]),) for part in BATCH_NORM}
        for part, shape in re.findall(r"(weight|bias) \(([\d, ]+)\)", what):
            found[f"{module}.{part}"] = tuple(int(n) for n in shape.split(",") if n.strip())
    return count, found


def assert_a_step_is_the_plain_networks(trainer: Trainer, plain: keras.Model, x: np.ndarray, y: np.ndarray) -> None:
    """Loss, gradients and running statistics of one step from the weights of ``plain``, which are changed."""
    trainer.start(plain.get_weights(), 1e-4)
    found = float(trainer.step(x, y))
    with tf.GradientTape() as tape:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, plain(x, training=True))
    gradients = [part.numpy() for part in tape.gradient(loss, [weight.value for weight in plain.trainable_variables])]
    assert found == pytest.approx(float(loss), rel=1e-4)
    # After its first step, Adam's mean is a tenth of the gradient.
    means = [10 * np.asarray(slot) for slot in trainer.optimizer.variables if slot.path.endswith("_momentum")]
    # A bias before a batch normalisation has no gradient but rounding errors.
    least = 1e-4 * np.linalg.norm([np.linalg.norm(gradient) for gradient in gradients])
    for weight, mean, gradient in zip(plain.trainable_variables, means, gradients, strict=True):
        error, size = np.linalg.norm(mean - gradient), np.linalg.norm(gradient)
        assert error <= 0.02 * max(size, least), f"{weight.path}: {error / size}"
    for one, other in zip(trainer.model.non_trainable_variables, plain.non_trainable_variables, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-4, atol=1e-5)


def run_on_jax(folder, x, y, names, trained):
    """What a process without TensorFlow computes from files that this one wrote."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed; pip install 'omi-keras[jax]'")
    np.savez(folder / "inputs.npz", x=x, y=y)
    for name in names:
        model = build(name)
        load_torch_parameters(model, random_state(name, 5))
        save_network(folder / f"{name}.keras", model)
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", ON_JAX, str(folder), ",".join(trained), *names]
    subprocess.run(command, env=environment, check=True, timeout=300)
    return np.load(folder / "found.npz")


def assert_passes_its_gate(folder, dataset, out, quantization):
    done = run_cli("export-tflite", folder, out, "--dataset", dataset, "--quantize", quantization)
    assert done.exit_code == 0, done.output
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["quantization"], manifest["limits"]) == (quantization, LIMITS[quantization])
    done = run_cli("check-parity", out, "--model", folder, "--dataset", dataset)
    assert done.exit_code == 0, done.output
