"""The learning rate's fall: Keras' callback, with a memory, against the rule written out."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omi_keras.training.plateau import Plateau


def rule(scores, rate=1e-4):
    """The paper's: times 0.8 after three epochs without a better score, and the count starts anew."""
    best, waited, rates = float("-inf"), 0, []
    for score in scores:
        rates.append(rate)
        if score > best:
            best, waited = score, 0
            continue
        waited += 1
        if waited == 3:
            rate, waited = 0.8 * rate, 0
    return rates


def begun(plateau, optimizer):
    plateau.set_model(SimpleNamespace(optimizer=optimizer))
    plateau.on_train_begin()
    return plateau


def rates_of(scores, interrupted_after=None):
    optimizer = keras.optimizers.SGD(1e-4)
    plateau, rates = begun(Plateau(), optimizer), []
    for epoch, score in enumerate(scores):
        if epoch == interrupted_after:
            fresh = Plateau()
            fresh.restore(plateau.counters())
            plateau = begun(fresh, optimizer)
        rates.append(float(optimizer.learning_rate))
        plateau.on_epoch_end(epoch, {"val_score": score})
    return rates


# Scores that repeat, that differ in the last bit, and that are none.
SCORES = st.lists(
    st.one_of(st.sampled_from([0.5, 0.75, np.nextafter(0.75, 1), float("nan")]), st.floats(0, 1)), max_size=40
)


@settings(deadline=None, max_examples=60)
@given(SCORES, st.integers(0, 40))
def test_equals_the_rule_and_its_interrupted_self(scores, interrupted_after):
    # The optimizer's 32 bits are those of the exact rate, however often it fell.
    assert rates_of(scores) == [float(np.float32(rate)) for rate in rule(scores)]
    assert rates_of(scores, interrupted_after) == rates_of(scores)


def test_it_is_keras_own():
    assert isinstance(Plateau(), keras.callbacks.ReduceLROnPlateau)


def test_a_loss_shall_fall():
    optimizer = keras.optimizers.SGD(1.0)
    plateau = begun(Plateau("val_loss", "min"), optimizer)
    for epoch, loss in enumerate([0.9, 0.8, 0.8, 0.85, float("nan")]):
        plateau.on_epoch_end(epoch, {"val_loss": loss})
    assert float(optimizer.learning_rate) == pytest.approx(0.8)
    assert plateau.best == 0.8
