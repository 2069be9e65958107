"""Randomised weights destroy maps; a map that ignores the weights is found out."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from omi_keras.models.catalogue import build
from omi_keras.saliency import maps, sanity
from omi_keras.saliency.maps import saliency_maps
from omi_keras.saliency.sanity import cascading_randomisation, destroyed


@pytest.fixture(scope="module")
def model():
    """As after training: statistics of batch normalisation that fit, weights that favour one lead."""
    keras.utils.set_random_seed(0)
    model = build("mayo-alvd")
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([gamma * rng.uniform(0.2, 3, gamma.shape), beta, mean, variance * 0.05])
    spatial = model.get_layer("spatial_conv")
    kernel, bias = spatial.get_weights()
    kernel[7] *= 20
    spatial.set_weights([kernel, bias])
    return model


@pytest.fixture(scope="module")
def x():
    return np.cumsum(np.random.default_rng(1).normal(size=(6, 12, 400)), axis=2).astype(np.float32) / 10


def test_cascade(model, x):
    before = model.get_weights()
    seen = []
    table = cascading_randomisation(model, x, seed=4, tick=lambda done, total: seen.append((done, total)))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert table["layer"].tolist() == [
        "none", "out", "fc2", "fc1", "spatial_conv", *(f"temporal{k}_conv" for k in range(6, 0, -1)),
    ]  # fmt: skip
    assert seen == [(k, 10) for k in range(1, 11)]
    assert table["rank_correlation"].iloc[0] == 1
    assert table["ecgs"].tolist() == [6] * 11
    assert destroyed(table)
    assert abs(table["rank_correlation"].iloc[-1]) < 0.4
    again = cascading_randomisation(model, x, seed=4)
    pd.testing.assert_frame_equal(table, again, atol=1e-3)


@pytest.mark.slow
def test_smoothgrad_sees_the_random_weights(model, x, monkeypatch):
    """Its compiled gradients follow the weights, and its noise is the same at each step."""
    monkeypatch.setattr(maps, "SMOOTH_SAMPLES", 32)
    table = cascading_randomisation(model, x[:2], "smoothgrad", seed=4, ecg_ids=["a", "b"])
    assert table["rank_correlation"].iloc[0] == 1
    assert table["rank_correlation"].iloc[-1] < 0.8
    names = {"seed": 4, "ecg_ids": ["a", "b"]}
    before = saliency_maps(model, x[:2], "smoothgrad", **names)
    out = model.get_layer("out")
    kernel, bias = out.get_weights()
    compute = maps.map_function(model, "smoothgrad", 4, compiled=True)
    np.testing.assert_allclose(compute(x[:2, ..., None], ["a", "b"]), before, rtol=1e-3, atol=1e-6)
    out.set_weights([2 * kernel, bias])
    try:
        doubled = compute(x[:2, ..., None], ["a", "b"])
        np.testing.assert_allclose(doubled, 2 * before, rtol=1e-3, atol=1e-6)
    finally:
        out.set_weights([kernel, bias])


def test_correlation_is_spearmans(model, x):
    first, second = saliency_maps(model, x), saliency_maps(model, x[::-1])
    found = sanity._correlations(sanity._ranks(first), sanity._ranks(second))
    for k in range(6):
        assert found[k] == pytest.approx(spearmanr(first[k].ravel(), second[k].ravel()).statistic)


def test_maps_of_the_input_alone_are_found_out(model, x, monkeypatch):
    monkeypatch.setattr(sanity, "map_function", lambda *model, **compiled: lambda batch, names: np.abs(batch[..., 0]))
    table = cascading_randomisation(model, x)
    np.testing.assert_allclose(table["rank_correlation"], 1)
    assert not destroyed(table)


def test_every_layer_with_weights_is_randomised():
    for name in ("ecg-smart-net", "resnet18"):
        model = build(name)
        reached = [layer.name for group in sanity._groups(model) for layer in group]
        assert sorted(reached) == sorted(layer.name for layer in model.layers if layer.weights)


def test_a_constant_map_is_undefined_and_counts_as_gone():
    ranks = sanity._ranks(np.ones((1, 12, 400)))
    assert np.isnan(sanity._correlations(ranks, ranks)).all()
    assert destroyed(pd.DataFrame({"rank_correlation": [1.0, np.nan]}))
