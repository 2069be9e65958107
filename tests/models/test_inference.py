"""The fast way to logits gives those of the model as it stands, for every number of ECGs."""

import gc
import weakref

import keras
import numpy as np
import pytest
from helpers import random_state

from omi_keras.models.catalogue import NETWORKS, build
from omi_keras.models.inference import BATCH_SIZE, input_logits, predict_logits
from omi_keras.models.weights.torch_weights import load_torch_parameters


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).standard_normal((BATCH_SIZE + 3, 12, 400, 1)).astype(np.float32)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if "18" in n else n for n in NETWORKS])
def test_compiled_in_full_batches_it_is_the_same_function(name, x):
    model = build(name)
    for seed in (1, 2):
        # The compiled form sees weights that change, as they do from epoch to epoch.
        load_torch_parameters(model, random_state(name, seed))
        expected = np.asarray(model(x, training=False))
        scale = np.abs(expected).max()
        assert np.abs(input_logits(model, x) - expected).max() <= 1e-5 * scale
        assert np.abs(input_logits(model, x[:5]) - expected[:5]).max() <= 1e-5 * scale


def test_no_ecgs_no_logits():
    assert predict_logits(build("mayo-alvd"), np.empty((0, 12, 600), np.float32)).shape == (0, 2)


def test_a_model_that_nobody_needs_is_given_back(x):
    model = build("mayo-alvd")
    input_logits(model, x)
    gone = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert gone() is None
