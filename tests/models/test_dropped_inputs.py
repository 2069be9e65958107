"""Dropout before the read-out: the masks that are given, in training only, on every form of a network."""

import keras
import numpy as np
import pytest
from tiny_network import tiny

from omi_keras.models.catalogue import build
from omi_keras.models.fast.dropped_inputs import draw_kept, dropping_inputs, keeping, read_out_inputs
from omi_keras.models.fast.training_form import training_form

rng = np.random.default_rng(0)
X = rng.standard_normal((6, 12, 400, 1)).astype(np.float32)


def read_out_by_hand(network, x, kept, training):
    before = keras.Model(network.input, network.layers[-1].input)
    hidden = np.asarray(before(x, training=training))
    return (hidden * kept) @ np.asarray(network.layers[-1].kernel) + np.asarray(network.layers[-1].bias)


@pytest.mark.parametrize("name", ["mayo-alvd", "ecg-smart-net", "tiny"])
def test_the_read_out_sees_what_is_kept(name):
    network = tiny(seed=0) if name == "tiny" else build(name, seed=0)
    kept = draw_kept(np.random.default_rng(1), len(X), read_out_inputs(network), 0.4)
    form = dropping_inputs(training_form(network) if name != "tiny" else network)
    outside = np.asarray(form(X, training=False))
    with keeping(kept):
        judged = np.asarray(form(X, training=False))
        trained = np.asarray(form(X, training=True))
    np.testing.assert_array_equal(judged, outside)
    assert form.count_params() == network.count_params()
    np.testing.assert_allclose(trained, read_out_by_hand(network, X, kept, True), atol=2e-4)
    plain = np.asarray(form(X, training=True))
    assert np.abs(plain - trained).max() > 1e-3


def test_steps_in_16_bits_drop_too():
    """A step with everything kept is the step without dropout, one with everything dropped is not."""
    from omi_keras.training.optimizer import TorchAdam
    from omi_keras.training.tensorflow_epoch import training_step

    y = np.arange(6) % 2
    for precision in ("float32", "mixed_bfloat16"):
        losses = {}
        for kept in (None, 1.0, 0.0):
            network = build("mayo-alvd", precision, seed=0)
            optimizer = TorchAdam(1e-3)
            optimizer.build(network.trainable_variables)
            step = training_step(network, optimizer, compiled=False, dropping=kept is not None)
            more = [] if kept is None else [np.full((6, read_out_inputs(network)), kept, np.float32)]
            losses[kept] = float(step(X, y.astype(np.int32), *more))
            fresh = build("mayo-alvd", precision, seed=0)
            moved = [np.abs(a - b).max() for a, b in zip(network.get_weights(), fresh.get_weights(), strict=True)]
            # Nothing that stands before the read-out learns when nothing reaches it.
            assert (moved[0] == 0) == (kept == 0)
        assert losses[1.0] == losses[None] != losses[0.0]


def test_masks_keep_the_mean_and_the_rate():
    kept = draw_kept(np.random.default_rng(0), 2000, 64, 0.25)
    assert kept.dtype == np.float32
    assert set(np.unique(kept)) == {0, np.float32(1) / np.float32(0.75)}
    assert abs((kept == 0).mean() - 0.25) < 0.005
    assert abs(kept.mean() - 1) < 0.01


def test_dropping_nothing_is_the_network():
    network = tiny(seed=0)
    with keeping(None):
        found = np.asarray(dropping_inputs(network)(X, training=False))
    np.testing.assert_array_equal(found, np.asarray(network(X, training=False)))
