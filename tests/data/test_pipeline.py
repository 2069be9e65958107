"""Batches through tf.data: the sampler's rows, in their order, from memory and from the disk."""

import numpy as np
import pytest

from omi_keras.beats.contracts import CONTRACTS
from omi_keras.beats.model_inputs import model_input
from omi_keras.data.augmentation import augmentation
from omi_keras.data.batches import epoch_batches, fold_batches, read_batch
from omi_keras.data.dataset import load_dataset
from omi_keras.data.folds import assign_folds
from omi_keras.data.pipeline import TrainingPipeline, training_data
from omi_keras.recordings.errors import InputError


@pytest.fixture(scope="module")
def beats(tmp_path_factory):
    path = tmp_path_factory.mktemp("beats") / "beats.npy"
    np.save(path, np.random.default_rng(0).standard_normal((60, 12, 600), dtype=np.float32))
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("memory", [1 << 30, 0], ids=["in memory", "from the disk"])
def test_batches_are_the_samplers(beats, memory, contract):
    rng = np.random.default_rng(1)
    omi, training = rng.integers(0, 2, 60), np.sort(rng.permutation(60)[:48])
    batches = [rng.choice(training, size, replace=False) for size in (7, 1, 12, 7)]
    pipeline = TrainingPipeline(beats, omi, training, contract, memory=memory)
    for _ in range(2):  # the same again: nothing in it moves on
        found = list(pipeline.epoch(batches).as_numpy_iterator())
        assert len(found) == len(batches)
        for (x, y), rows in zip(found, batches, strict=True):
            np.testing.assert_array_equal(x, model_input(beats[rows], contract)[..., None])
            np.testing.assert_array_equal(y, omi[rows])
            assert x.dtype == np.float32 and y.dtype == np.int32


@pytest.mark.parametrize("memory", [1 << 30, 0], ids=["in memory", "from the disk"])
def test_augmented_batches_are_those_of_the_numpy_function(beats, memory):
    """Which is all that JAX has, so that both backends see the same."""
    rng = np.random.default_rng(1)
    omi, training = rng.integers(0, 2, 60), np.arange(60)
    batches = [rng.choice(training, size) for size in (7, 1, 12, 7)]
    augment = augmentation("strong", 4, 2, 9)
    pipeline = TrainingPipeline(beats, omi, training, memory=memory)
    for _ in range(2):
        found = list(pipeline.epoch(batches, augment).as_numpy_iterator())
        for number, ((x, y), rows) in enumerate(zip(found, batches, strict=True), start=1):
            np.testing.assert_array_equal(x[..., 0], model_input(augment(number, beats[rows])))
            np.testing.assert_array_equal(y, omi[rows])
            assert x.dtype == np.float32 and y.dtype == np.int32


@pytest.mark.parametrize("name", ["none", "light", "strong"])
def test_training_data_is_augmented_as_a_run_is(name, easy_dataset):
    dataset = load_dataset(easy_dataset)
    omi = dataset.ecgs["omi"].to_numpy(int)
    fold_of = assign_folds(omi, dataset.ecgs["patient_id"].to_numpy(str), 5, 2)
    batches = fold_batches(omi, np.flatnonzero(~np.isin(fold_of, (4, 0))), 4, 2, seed=2, batch_size=32)
    found = dataset.training_data(4, 2, n_folds=5, seed=2, batch_size=32, augment=name)
    augment = augmentation(name, 2, 4, 2) or (lambda number, chosen: chosen)
    for number, ((x, y), rows) in enumerate(zip(found.as_numpy_iterator(), batches, strict=True), start=1):
        np.testing.assert_array_equal(x[..., 0], model_input(augment(number, dataset.beats[rows])))
        assert list(y) == list(omi[rows])


def test_an_epoch_without_a_batch(beats):
    assert not list(TrainingPipeline(beats, np.zeros(60), np.arange(60)).epoch([]))


def test_keras_can_fit_it(beats):
    import keras

    batches = [np.arange(4), np.arange(4, 10)]
    pipeline = TrainingPipeline(beats, np.arange(60) % 2, np.arange(60))
    network = keras.Sequential([keras.Input((12, 400, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    network.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert np.isfinite(network.fit(pipeline.epoch(batches), shuffle=False, verbose=0).history["loss"]).all()


def test_the_rows_of_an_epoch_are_a_function_of_seed_fold_and_epoch():
    omi, training = np.random.default_rng(0).integers(0, 2, 90), np.arange(10, 80)
    rows = fold_batches(omi, training, 3, 7, seed=5, batch_size=16)
    expected = epoch_batches(omi[training], 16, "batch", np.random.default_rng([5, 3, 7]))
    assert [list(batch) for batch in rows] == [list(training[batch]) for batch in expected]
    for other in ((3, 8, 5), (4, 7, 5), (3, 7, 6)):
        fold, epoch, seed = other
        others = fold_batches(omi, training, fold, epoch, seed=seed, batch_size=16)
        assert [list(batch) for batch in others] != [list(batch) for batch in rows]


@pytest.mark.parametrize("balance", ["batch", "class"])
def test_training_data_is_of_the_training_folds(balance, easy_dataset):
    dataset = load_dataset(easy_dataset)
    omi = dataset.ecgs["omi"].to_numpy(int)
    fold_of = assign_folds(omi, dataset.ecgs["patient_id"].to_numpy(str), 5, 2)
    training = np.flatnonzero(~np.isin(fold_of, (4, 0)))
    inputs = read_batch(dataset.beats, np.arange(len(omi)))[..., 0].reshape(len(omi), -1)
    seen = []
    for x, y in training_data(dataset, 4, 2, n_folds=5, seed=2, batch_size=32, balance=balance).as_numpy_iterator():
        rows = [int(np.flatnonzero((inputs == one.reshape(-1)).all(1))[0]) for one in x]
        assert list(y) == list(omi[rows])
        seen += rows
    assert set(seen) <= set(training)
    assert set(training[omi[training] == 1]) <= set(seen) or balance == "class"


def test_training_data_is_of_the_contract(easy_dataset):
    dataset = load_dataset(easy_dataset)
    plain, other = (
        list(dataset.training_data(0, n_folds=5, contract=contract).as_numpy_iterator()) for contract in CONTRACTS
    )
    inputs = model_input(dataset.beats, "maxabs-200").reshape(len(dataset.beats), -1)
    rows = [int(np.flatnonzero((inputs == one.reshape(-1)).all(1))[0]) for one in other[0][0]]
    np.testing.assert_array_equal(plain[0][0], read_batch(dataset.beats, np.array(rows)))
    np.testing.assert_array_equal(plain[0][1], other[0][1])
    with pytest.raises(InputError, match="'maxabs' is not known"):
        dataset.training_data(0, contract="maxabs")


@pytest.mark.parametrize(
    ("fold", "epoch", "options", "told"),
    [
        (5, 1, {"n_folds": 5}, "folds 0 to 4"),
        (-1, 1, {"n_folds": 5}, "fold -1 does not exist"),
        (0, 0, {"n_folds": 5}, "epoch 0 does not exist"),
        (0, 1, {"n_folds": 5, "batch_size": 1}, "cannot hold both classes"),
        (0, 1, {"n_folds": 5, "augment": "much"}, "augment cannot be 'much': take none or light or strong"),
    ],
)
def test_training_data_that_is_none(fold, epoch, options, told, easy_dataset):
    with pytest.raises(InputError, match=told):
        training_data(load_dataset(easy_dataset), fold, epoch, **options)
