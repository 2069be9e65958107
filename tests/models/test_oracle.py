"""The four networks give the numbers that PyTorch computed from the same parameters and beats."""

import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf

from omi_keras.models.catalogue import NETWORKS, build
from omi_keras.models.weights.torch_weights import load_torch_parameters
from omi_keras.training.optimizer import TorchAdam
from omi_keras.training.tensorflow_epoch import training_step

PARAMETERS = {"ecg-smart-net": 6_991_682, "temporal-resnet18": 3_844_930, "resnet18": 11_171_266, "mayo-alvd": 135_378}
# Fraction of the saliency map's maximum that 99.9 % of its values are within: float32 flips a few ReLUs of the deep
# networks.
SALIENCY = {"ecg-smart-net": 0.01, "temporal-resnet18": 0.01, "resnet18": 0.01, "mayo-alvd": 1e-5}

pytestmark = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture(scope="module")
def oracle(shared):
    spec = importlib.util.spec_from_file_location("oracle", shared / "oracle" / "oracle.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def reference(oracle, name):
    return oracle.load_reference(name.replace("-", "_"))


@pytest.fixture
def model(oracle, name):
    model = build(name)
    load_torch_parameters(model, oracle.make_parameters(oracle.load_spec(name.replace("-", "_"))))
    return model


def test_parameter_count(model, reference, name):
    count = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert count == reference["n_parameters"] == PARAMETERS[name]


def test_logits(model, oracle, reference):
    logits = model.predict(oracle.make_inputs()[..., None], verbose=0)
    assert np.abs(logits - reference["logits"]).max() <= 2e-5 * np.abs(reference["logits"]).max()


def test_saliency(model, oracle, reference, name):
    x = tf.constant(oracle.make_inputs()[..., None])
    with tf.GradientTape() as tape:
        tape.watch(x)
        omi_logit = model(x, training=False)[:, 1]
    found = np.abs(tape.gradient(omi_logit, x).numpy()[..., 0])
    expected = reference["saliency"]
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] >= 0.99998
    assert np.percentile(np.abs(found - expected), 99.9) <= SALIENCY[name] * expected.max()


def test_five_training_losses(model, oracle, reference):
    model.compile(TorchAdam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = oracle.make_inputs()[..., None], oracle.make_labels()
    losses = [float(model.train_on_batch(x, y)) for _ in range(5)]
    np.testing.assert_allclose(losses, reference["train_losses"], rtol=1e-3)


def test_five_training_losses_of_the_step_that_trains(model, oracle, reference):
    optimizer = TorchAdam(1e-4)
    optimizer.build(model.trainable_variables)
    step = training_step(model, optimizer, compiled=False)
    x, y = oracle.make_inputs()[..., None], oracle.make_labels().astype(np.int32)
    np.testing.assert_allclose([float(step(x, y)) for _ in range(5)], reference["train_losses"], rtol=1e-3)
