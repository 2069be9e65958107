"""One fold: the same numbers twice, the same after an interruption, one trace for all batch sizes."""

import keras
import numpy as np
import pytest

from omi_keras.data.batches import epoch_batches
from omi_keras.data.dataset import load_dataset
from omi_keras.data.pipeline import TrainingPipeline
from omi_keras.models.catalogue import build
from omi_keras.models.fast.short_images import without_padded_rows
from omi_keras.models.inference import cross_entropy, input_logits, omi_probability
from omi_keras.training.optimizer import TorchAdam
from omi_keras.training.protocol import Protocol
from omi_keras.training.tensorflow_epoch import tensorflow_epoch

PROTOCOL = Protocol("ecg-smart-net", epochs=2, batch_size=16, learning_rate=1e-4, balance="batch", seed=1)


def assert_same(a, b):
    for left, right in zip(a[0], b[0], strict=True):
        np.testing.assert_array_equal(left, right)
    assert a[1] == b[1]
    np.testing.assert_array_equal(a[2], b[2])


def test_same_seed_same_numbers_other_seed_other_numbers(train):
    first = train(PROTOCOL, checkpoint="a.npz")
    assert_same(first, train(PROTOCOL, checkpoint="b.npz"))
    other = train(Protocol(**{**vars(PROTOCOL), "seed": 2}), checkpoint="c.npz")
    assert other[1] != first[1]


@pytest.mark.parametrize("stop_after", [1, 3])
def test_an_interrupted_fold_ends_as_if_nothing_had_happened(train, stop_after):
    protocol = Protocol(**{**vars(PROTOCOL), "epochs": 5})
    whole = train(protocol, checkpoint="whole.npz")

    class Killed(BaseException):
        pass

    def kill(row):
        if row["epoch"] == stop_after:
            raise Killed

    with pytest.raises(Killed):
        train(protocol, checkpoint="part.npz", epoch_done=kill)
    epochs = []
    resumed = train(protocol, checkpoint="part.npz", epoch_done=lambda row: epochs.append(row["epoch"]))
    assert epochs == list(range(stop_after + 1, 6))
    assert_same(whole, resumed)


ALL_CHANCE = {"augment": "strong", "loss": "focal", "label_smoothing": 0.1, "dropout": 0.5}


def test_augmentation_and_dropout_are_the_same_after_an_interruption(train):
    protocol = Protocol(**{**vars(PROTOCOL), "epochs": 3, **ALL_CHANCE})
    whole = train(protocol, checkpoint="whole.npz")

    class Killed(BaseException):
        pass

    def kill(row):
        if row["epoch"] == 1:
            raise Killed

    with pytest.raises(Killed):
        train(protocol, checkpoint="part.npz", epoch_done=kill)
    assert_same(whole, train(protocol, checkpoint="part.npz"))
    # Each of them does something, and dropout leaves no layer behind.
    once = {**vars(PROTOCOL), "epochs": 1}
    plain = train(Protocol(**once), checkpoint="plain.npz")
    for name, value in ALL_CHANCE.items():
        alone = train(Protocol(**{**once, name: value}), checkpoint=f"{name}.npz")
        assert alone[1] != plain[1], name
        assert [weight.shape for weight in alone[0]] == [weight.shape for weight in plain[0]]


@pytest.mark.parametrize("loss", ["weighted", "focal"])
def test_other_losses_learn(train, loss):
    balance = "none" if loss == "weighted" else "batch"
    settings = {**vars(PROTOCOL), "epochs": 8, "learning_rate": 0.05, "loss": loss, "balance": balance}
    _, history, _ = train(Protocol(**settings), checkpoint=f"{loss}.npz")
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert max(row["val_score"] for row in history) > 0.8


def test_the_kept_epoch_is_the_best(train, easy_dataset):
    protocol = Protocol(**{**vars(PROTOCOL), "epochs": 6, "learning_rate": 0.05})
    _, history, logits = train(protocol)
    best = max(history, key=lambda row: row["val_score"])
    assert len({row["val_loss"] for row in history}) == 6
    # The returned weights give the validation loss of that epoch and of no other.
    omi = load_dataset(easy_dataset).ecgs["omi"].to_numpy(int)[100:]
    assert cross_entropy(logits, omi) == pytest.approx(best["val_loss"], rel=1e-6)


def test_batches_of_many_sizes_are_traced_once():
    rng = np.random.default_rng(0)
    beats = rng.standard_normal((64, 12, 600)).astype(np.float32)
    omi = (rng.random(64) < 0.3).astype(int)
    traces = []

    class Counter(keras.layers.Layer):
        def call(self, x):
            traces.append(1)
            return x

    beat = keras.Input((12, 400, 1))
    model = keras.Sequential([beat, keras.layers.GlobalAveragePooling2D(), Counter(), keras.layers.Dense(2)])
    optimizer = TorchAdam(1e-4)
    optimizer.build(model.trainable_variables)
    epoch_of = tensorflow_epoch(model, optimizer, TrainingPipeline(beats, omi, np.arange(64)), frozenset())
    counts = []
    for epoch in range(4):
        batches = epoch_batches(omi, 16, "batch", np.random.default_rng(epoch))
        assert len({len(rows) for rows in batches}) > 1
        epoch_of(batches, lambda step, of: None)
        counts.append(len(traces))
    assert len(set(counts)) == 1, "a batch of another size is no reason to trace again"


def test_probability_and_cross_entropy_of_logits():
    rng = np.random.default_rng(0)
    logits, omi = rng.normal(0, 5, (200, 2)).astype(np.float32), rng.integers(0, 2, 200)
    e = np.exp(logits.astype(np.float64))
    softmax = e / e.sum(1, keepdims=True)
    np.testing.assert_allclose(omi_probability(logits), softmax[:, 1], rtol=1e-12)
    assert cross_entropy(logits, omi) == pytest.approx(-np.log(softmax[np.arange(200), omi]).mean())
    extreme = np.array([[1000, -1000], [-1000, 1000]], np.float32)
    np.testing.assert_array_equal(omi_probability(extreme), [0, 1])
    assert cross_entropy(extreme, np.array([0, 1])) == 0


def test_resnet18_trains_the_same_without_the_padded_rows():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 12, 400, 1)).astype(np.float32), np.arange(4) % 2
    plain = build("resnet18")
    model = build("resnet18")
    model.set_weights(plain.get_weights())
    fewer = without_padded_rows(model)
    losses = {}
    for name, network in (("plain", plain), ("fewer", fewer)):
        network.compile(TorchAdam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        losses[name] = [float(network.train_on_batch(x, y)) for _ in range(3)]
    np.testing.assert_allclose(losses["fewer"], losses["plain"], rtol=1e-3)
    assert losses["plain"][2] < losses["plain"][0]
    # What was trained is the model itself.
    np.testing.assert_allclose(input_logits(model, x), input_logits(plain, x), atol=0.05)
