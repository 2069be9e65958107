"""Balancing as the paper says it, against a slow reference; batches of any size without tracing again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omi_keras.beats.model_inputs import model_input
from omi_keras.data.batches import epoch_batches, read_batch


def labels(n, prevalence, seed=0):
    return (np.random.default_rng(seed).random(n) < prevalence).astype(int)


@settings(max_examples=80, deadline=None)
@given(st.integers(2, 700), st.floats(0, 1), st.integers(2, 200), st.integers(0, 10_000))
def test_batch_mode_is_the_papers(n, prevalence, batch_size, seed):
    omi = labels(n, prevalence, seed)
    batches = epoch_batches(omi, batch_size, "batch", np.random.default_rng(seed))
    # The slow reference: draw from the same shuffled order, count what a batch must hold.
    order = np.random.default_rng(seed).permutation(n)
    draws = [order[i : i + batch_size] for i in range(0, n, batch_size)]
    draws = [drawn for drawn in draws if 0 < sum(omi[drawn]) < len(drawn)]
    assert len(batches) == len(draws)
    for drawn, batch in zip(draws, batches, strict=True):
        positives = [row for row in drawn if omi[row] == 1]
        negatives = [row for row in drawn if omi[row] == 0]
        assert sorted(row for row in batch if omi[row] == 1) == sorted(positives)
        chosen = [row for row in batch if omi[row] == 0]
        assert len(chosen) == min(len(positives), len(negatives))
        assert len(set(chosen)) == len(chosen)
        assert set(chosen) <= set(negatives)


def test_every_omi_once_per_epoch_and_new_negatives_each_epoch():
    omi = labels(2000, 0.066)
    epochs = [np.concatenate(epoch_batches(omi, 128, "batch", np.random.default_rng([0, epoch]))) for epoch in (1, 2)]
    for rows in epochs:
        assert sorted(rows[omi[rows] == 1]) == list(np.flatnonzero(omi))
    negatives = [set(rows[omi[rows] == 0]) for rows in epochs]
    assert len(negatives[0] & negatives[1]) < 0.3 * len(negatives[0])


def test_negatives_are_chosen_evenly():
    omi = labels(256, 0.1)
    counts = np.zeros(256)
    for epoch in range(400):
        for rows in epoch_batches(omi, 128, "batch", np.random.default_rng(epoch)):
            counts[rows] += 1
    negative = counts[omi == 0]
    assert np.all(counts[omi == 1] == 400)
    expected = 400 * omi.sum() / (omi == 0).sum()
    assert abs(negative.mean() - expected) < 0.02 * expected
    # Each negative's count is near binomial: no row is favoured.
    assert np.abs(negative - expected).max() < 5 * np.sqrt(expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 700), st.floats(0.05, 0.9), st.integers(1, 64), st.integers(0, 10_000))
def test_class_mode_has_full_halves(n, prevalence, half, seed):
    omi = labels(n, prevalence, seed)
    omi[0], omi[1] = 0, 1
    batches = epoch_batches(omi, 2 * half, "class", np.random.default_rng(seed))
    assert len(batches) >= 1
    for batch in batches:
        assert (omi[batch] == 1).sum() == half
        assert (omi[batch] == 0).sum() == half
    negatives = np.concatenate([batch[omi[batch] == 0] for batch in batches])
    if (omi == 0).sum() >= half:
        assert len(set(negatives)) == len(negatives)
    positives = np.bincount(np.concatenate([batch[omi[batch] == 1] for batch in batches]), minlength=n)[omi == 1]
    assert positives.max() - positives.min() <= 1


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(2, 200), st.integers(0, 10_000))
def test_without_balance_every_ecg_is_in_one_batch(n, batch_size, seed):
    batches = epoch_batches(labels(n, 0.1, seed), batch_size, "none", np.random.default_rng(seed))
    assert sorted(np.concatenate(batches)) == list(range(n))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("balance", ["batch", "class", "none"])
def test_same_seed_same_batches(balance):
    omi = labels(500, 0.2)
    first, again, other = (epoch_batches(omi, 64, balance, np.random.default_rng(seed)) for seed in (1, 1, 2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(first, other, strict=False))


def test_read_batch_keeps_the_order_of_the_rows(tmp_path):
    beats = np.random.default_rng(0).standard_normal((30, 12, 600)).astype(np.float32)
    np.save(tmp_path / "beats.npy", beats)
    rows = np.array([7, 2, 29, 2, 0])
    x = read_batch(np.load(tmp_path / "beats.npy", mmap_mode="r"), rows)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x[..., 0], model_input(beats[rows]))
