"""What training minimises, against slow sums in float64, PyTorch's definitions where it has them, and differences."""

import importlib.util

import keras
import numpy as np
import pytest

from omi_keras.training.losses import FOCUS, PAPER, Objective, objective
from omi_keras.training.protocol import Protocol

OBJECTIVES = {
    "plain": PAPER,
    "smoothed": Objective(smoothing=0.1),
    "weighted": Objective(weights=(1.0, 14.0)),
    "weighted and smoothed": Objective(smoothing=0.2, weights=(1.0, 14.0)),
    "focal": Objective(focus=FOCUS),
    "focal and smoothed": Objective(smoothing=0.1, focus=FOCUS),
}
rng = np.random.default_rng(0)
LABELS = rng.integers(0, 2, 40)
LOGITS = rng.normal(0, 3, (40, 2)).astype(np.float32)


def slow(which, y, logits):
    """An ECG after the other, in the words of the definition."""
    total = worth = 0.0
    for label, row in zip(y, logits.astype(np.float64), strict=True):
        for c in (0, 1):
            log_p = row[c] - max(row) - np.log(sum(np.exp(row - max(row))))
            aim = (1 - which.smoothing) * (c == label) + which.smoothing / 2
            total -= aim * which.weights[c] * (1 - np.exp(log_p)) ** which.focus * log_p
        worth += which.weights[label]
    return total / worth


@pytest.mark.parametrize("which", OBJECTIVES.values(), ids=OBJECTIVES)
def test_losses_are_what_they_are_defined_to_be(which):
    found = float(which(LABELS, LOGITS))
    assert found == pytest.approx(slow(which, LABELS, LOGITS), rel=1e-5)


@pytest.mark.parametrize("which", OBJECTIVES.values(), ids=OBJECTIVES)
def test_gradients_are_the_differences_of_the_slow_sums(which):
    tf = pytest.importorskip("tensorflow")
    logits = tf.Variable(LOGITS[:6])
    with tf.GradientTape() as tape:
        loss = which(LABELS[:6], logits)
    found = tape.gradient(loss, logits).numpy()
    expected, step = np.empty((6, 2)), 1e-5
    for place in np.ndindex(6, 2):
        ends = []
        for sign in (1, -1):
            moved = LOGITS[:6].astype(np.float64)
            moved[place] += sign * step
            ends.append(slow(which, LABELS[:6], moved))
        expected[place] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("which", OBJECTIVES.values(), ids=OBJECTIVES)
def test_what_is_certain_has_a_finite_loss_and_gradient(which):
    tf = pytest.importorskip("tensorflow")
    logits = tf.Variable([[80.0, -80.0], [-80.0, 80.0], [80.0, -80.0]])
    with tf.GradientTape() as tape:
        loss = which(np.array([0, 1, 1]), logits)
    assert np.isfinite(loss) and np.isfinite(tape.gradient(loss, logits)).all()


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("name", ["plain", "smoothed", "weighted", "weighted and smoothed"])
def test_they_are_pytorchs(name):
    import torch

    which = OBJECTIVES[name]
    loss = torch.nn.CrossEntropyLoss(torch.tensor(which.weights), label_smoothing=which.smoothing)
    expected = float(loss(torch.from_numpy(LOGITS), torch.from_numpy(LABELS)))
    assert float(which(LABELS, LOGITS)) == pytest.approx(expected, rel=1e-5)


def test_the_papers_is_keras_own_to_the_bit():
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS, LOGITS)
    assert float(PAPER(LABELS, LOGITS)) == float(expected)


def test_what_fills_a_batch_does_not_count():
    counts = (np.arange(40) < 25).astype(np.float32)
    for name, which in OBJECTIVES.items():
        if which != PAPER:  # on JAX only, as tests/training/test_jax_epoch.py has it
            found = float(which(LABELS, LOGITS, counts))
            assert found == pytest.approx(float(which(LABELS[:25], LOGITS[:25])), rel=1e-6), name


def test_a_protocol_says_which():
    omi = np.array([0] * 30 + [1] * 3)
    assert objective(Protocol("mayo-alvd"), omi) == PAPER
    assert objective(Protocol("mayo-alvd", loss="weighted"), omi) == Objective(weights=(1.0, 10.0))
    assert objective(Protocol("mayo-alvd", loss="focal", label_smoothing=0.1), omi) == Objective(0.1, FOCUS)
    # Weighted, both classes count the same.
    which = objective(Protocol("mayo-alvd", loss="weighted"), omi)
    sure = np.where(omi[:, None] == 1, [[9.0, -9.0]], [[-9.0, 9.0]])
    assert float(which(omi, np.where(omi[:, None] == 1, sure, -sure))) == pytest.approx(9, abs=0.01)
