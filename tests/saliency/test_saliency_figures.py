"""The figure of the sanity check; the maps themselves are in tests/drawing/test_ecg_picture.py."""

from __future__ import annotations

import numpy as np

from omi_keras.saliency.figures import sanity_figure


def test_sanity_figure():
    correlation = np.array([1.0, 0.4, 0.1])
    figure = sanity_figure(["none", "out", "conv1"], correlation, np.array([0, 0.1, 0.1]), simulated=True)
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), correlation)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["none", "out", "conv1"]
    assert "simulated" in figure._suptitle.get_text()
