"""Batches through tf.data: the sampler's rows, in their order, from memory and from the disk."""

import numpy as np
import pytest

from omi_keras.data.batches import read_batch
from omi_keras.data.pipeline import TrainingPipeline


@pytest.fixture(scope="module")
def beats(tmp_path_factory):
    path = tmp_path_factory.mktemp("beats") / "beats.npy"
    np.save(path, np.random.default_rng(0).standard_normal((60, 12, 600), dtype=np.float32))
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize("memory", [1 << 30, 0], ids=["in memory", "from the disk"])
def test_batches_are_the_samplers(beats, memory):
    rng = np.random.default_rng(1)
    omi, training = rng.integers(0, 2, 60), np.sort(rng.permutation(60)[:48])
    batches = [rng.choice(training, size, replace=False) for size in (7, 1, 12, 7)]
    pipeline = TrainingPipeline(beats, omi, training, memory=memory)
    for _ in range(2):  # the same again: nothing in it moves on
        found = list(pipeline.epoch(batches).as_numpy_iterator())
        assert len(found) == len(batches)
        for (x, y), rows in zip(found, batches, strict=True):
            np.testing.assert_array_equal(x, read_batch(beats, rows))
            np.testing.assert_array_equal(y, omi[rows])
            assert x.dtype == np.float32 and y.dtype == np.int32


def test_an_epoch_without_a_batch(beats):
    assert not list(TrainingPipeline(beats, np.zeros(60), np.arange(60)).epoch([]))


def test_keras_can_fit_it(beats):
    import keras

    batches = [np.arange(4), np.arange(4, 10)]
    pipeline = TrainingPipeline(beats, np.arange(60) % 2, np.arange(60))
    network = keras.Sequential([keras.Input((12, 400, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    network.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert np.isfinite(network.fit(pipeline.epoch(batches), shuffle=False, verbose=0).history["loss"]).all()
