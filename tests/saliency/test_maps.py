"""Maps by tf-keras-vis against differences and against gradients written out."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from omi_keras.data.dataset import load_dataset
from omi_keras.model import load_model
from omi_keras.models.catalogue import build
from omi_keras.recordings.errors import InputError
from omi_keras.saliency import maps as maps_module
from omi_keras.saliency.maps import BATCH_SIZE, inputs_of, map_function, saliency_maps

# SmoothGrad's maps of two seeds on a trained network; 0.992 measured.
AGREEMENT = 0.985


def inputs(n, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, 12, 400))
    return np.cumsum(x, axis=2).astype(np.float32) / 10


@pytest.fixture(scope="module")
def mayo():
    keras.utils.set_random_seed(3)
    return build("mayo-alvd")


def test_gradient_equals_finite_differences(mayo):
    x = inputs(2)
    found = saliency_maps(mayo, x)
    step = 1e-2
    for lead, sample in ((0, 200), (5, 150), (11, 333)):
        shift = np.zeros_like(x)
        shift[:, lead, sample] = step
        up, down = (mayo.predict((x + sign * shift)[..., None], verbose=0)[:, 1] for sign in (1, -1))
        slope = np.abs(up - down) / (2 * step)
        np.testing.assert_allclose(found[:, lead, sample], slope, rtol=0.05, atol=2e-4)


def test_batches_do_not_matter(mayo):
    x = inputs(BATCH_SIZE + 5)
    seen = []
    together = saliency_maps(mayo, x, tick=lambda done, total: seen.append((done, total)))
    assert seen == [(BATCH_SIZE, BATCH_SIZE + 5), (BATCH_SIZE + 5, BATCH_SIZE + 5)]
    alone = np.concatenate([saliency_maps(mayo, x[k : k + 1]) for k in (0, BATCH_SIZE, BATCH_SIZE + 4)])
    np.testing.assert_allclose(together[[0, BATCH_SIZE, BATCH_SIZE + 4]], alone, rtol=1e-3, atol=1e-6)


def test_smoothgrad_is_the_mean_over_noisy_copies(mayo, monkeypatch):
    monkeypatch.setattr(maps_module, "SMOOTH_SAMPLES", 4)
    x, ids = inputs(2), ["a", "b"]
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    found = saliency_maps(mayo, x, "smoothgrad", seed=5, ecg_ids=ids)
    after = np.random.get_state()[1]  # noqa: NPY002
    assert (after == before).all(), "the global generator is left as it was"
    for one, name, ours in zip(x, ids, found, strict=True):
        sigma = maps_module.SMOOTH_NOISE * (one.max() - one.min())
        noise = maps_module._noise(5, name).normal(0.0, sigma, (BATCH_SIZE, 12, 400, 1))[:4]
        inside = tf.constant((one[..., None] + noise).astype(np.float32))
        with tf.GradientTape() as tape:
            tape.watch(inside)
            logit = mayo(inside, training=False)[:, 1]
        slow = np.abs(tape.gradient(logit, inside).numpy()[..., 0]).mean(axis=0)
        assert np.corrcoef(ours.ravel(), slow.ravel())[0, 1] > 0.9999
        np.testing.assert_allclose(ours, slow, atol=1e-3 * slow.max())


@pytest.fixture(scope="module")
def smoothed(mayo):
    """Maps of some ECGs together, by name; so many that they are compiled."""
    count = maps_module.COMPILED_FROM["smoothgrad"]
    x, ids = inputs(count), [f"ecg{k}" for k in range(count)]
    return x, ids, dict(zip(ids, saliency_maps(mayo, x, "smoothgrad", seed=5, ecg_ids=ids), strict=True))


def test_smoothgrad_of_an_ecg_does_not_depend_on_the_others(mayo, smoothed):
    x, ids, together = smoothed
    for rows in ([2], [4, 2, 0], [2, 3]):
        found = saliency_maps(mayo, x[rows], "smoothgrad", seed=5, ecg_ids=[ids[row] for row in rows])
        for row, one in zip(rows, found, strict=True):
            np.testing.assert_allclose(one, together[ids[row]], atol=1e-4 * one.max())


def test_smoothgrad_has_its_noise_from_seed_and_name(mayo, smoothed):
    x, ids, together = smoothed
    renamed = saliency_maps(mayo, x[:1], "smoothgrad", seed=5, ecg_ids=["another"])[0]
    reseeded = saliency_maps(mayo, x[:1], "smoothgrad", seed=6, ecg_ids=ids[:1])[0]
    for other in (renamed, reseeded):
        assert (other != together[ids[0]]).any()
    with pytest.raises(ValueError, match="shorter"):
        saliency_maps(mayo, x[:1], "smoothgrad")


@pytest.mark.slow
def test_smoothgrad_of_two_seeds_agree(model_folder, easy_dataset):
    """On a trained network, where docs/explanation/judging.md says how well."""
    network, data = load_model(model_folder).network, load_dataset(easy_dataset)
    rows = np.flatnonzero((data.ecgs["omi"] == 1).fillna(False))[:2]
    x, ids = inputs_of(np.asarray(data.beats[rows])), data.ecgs["ecg_id"].iloc[rows].tolist()
    one, other = (saliency_maps(network, x, "smoothgrad", seed=seed, ecg_ids=ids) for seed in (0, 1))
    for a, b in zip(one, other, strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > AGREEMENT


def test_gradcam_keeps_the_leads_apart(mayo):
    """Six columns of features per lead, stretched to 400 samples."""
    x = inputs(3)
    found = saliency_maps(mayo, x, "gradcam++")
    assert found.shape == (3, 12, 400)
    assert (found >= 0).all()
    assert np.isfinite(found).all()
    assert found.max() > 0
    # Straight between the columns.
    row = found[0, 2].astype(float)
    knots = np.interp(np.arange(400), np.linspace(0, 399, 6), row[np.round(np.linspace(0, 399, 6)).astype(int)])
    np.testing.assert_allclose(row, knots, atol=0.02 * found.max())


def test_gradcam_of_mixed_leads_is_refused():
    with pytest.raises(InputError, match="mixes them from its first layer on; use --method"):
        map_function(build("resnet18"), "gradcam++")


def test_other_backends_are_refused(mayo, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match="received jax; set KERAS_BACKEND=tensorflow"):
        saliency_maps(mayo, inputs(1))
