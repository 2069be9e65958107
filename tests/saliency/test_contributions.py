"""Lead contributions, windows and aggregate by hand."""

from __future__ import annotations

import numpy as np
import pytest

from omi_keras.saliency.contributions import aggregate, lead_contribution, windows


def maps(n=5, seed=0):
    return np.random.default_rng(seed).gamma(1.0, 1.0, (n, 12, 400)).astype(np.float32)


def test_lead_contribution():
    found = lead_contribution(maps())
    for k, one in enumerate(maps()):
        for lead in range(12):
            assert found[k, lead] == pytest.approx(float(one[lead].sum()) / float(one.sum()), rel=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.isnan(lead_contribution(np.zeros((1, 12, 400)))).all()
    # The scale of a map does not matter.
    np.testing.assert_allclose(lead_contribution(1000 * maps()), found, rtol=1e-5)


def test_windows_are_means_of_40_ms():
    found = windows(maps())
    assert found.shape == (5, 12, 20)
    assert found[2, 7, 19] == pytest.approx(float(maps()[2, 7, 380:400].mean()), rel=1e-5)
    np.testing.assert_allclose(found.mean(axis=2), maps().mean(axis=2), rtol=1e-5)


def test_windows_of_200_samples_are_the_same_40_ms():
    coarse = maps()[:, :, ::2]
    found = windows(coarse)
    assert found.shape == (5, 12, 20)
    assert found[2, 7, 19] == pytest.approx(float(coarse[2, 7, 190:200].mean()), rel=1e-5)
    # A map that holds each value for two samples says the same at either rate.
    np.testing.assert_allclose(windows(np.repeat(coarse, 2, axis=2)), found, rtol=1e-6)


def test_aggregate():
    of_window = windows(maps())
    found = aggregate(of_window)
    slow = np.zeros((12, 20))
    for one in of_window:
        for lead in range(12):
            slow[lead] += one[lead] / one[lead].max() / len(of_window)
    np.testing.assert_allclose(found, slow)
    # Every ECG and lead counts alike, whatever the size of its gradients.
    np.testing.assert_allclose(aggregate(of_window * np.arange(1, 61).reshape(5, 12, 1)), found)
    assert (aggregate(np.zeros((2, 12, 20))) == 0).all()
    assert np.isnan(aggregate(np.zeros((0, 12, 20)))).all()
