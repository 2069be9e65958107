"""What the fast way to logits does besides giving them."""

import gc
import weakref

import keras
import numpy as np
import pytest

from omi_keras.models.catalogue import build
from omi_keras.models.inference import BATCH_SIZE, input_logits, predict_logits


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).standard_normal((BATCH_SIZE + 3, 12, 400, 1)).astype(np.float32)


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
