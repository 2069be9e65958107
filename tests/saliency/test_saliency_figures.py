"""Saliency on ECG paper: colours follow the windows, the trace keeps its scale, shares stand beside the leads."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba

from omi_keras.recordings.record import LEADS
from omi_keras.saliency.figures import COLOURS, saliency_figure, sanity_figure


def drawn(windows=None, contribution=None, simulated=True):
    t = np.arange(600) / 500 - 0.6
    beat = np.outer(np.linspace(-1.0, 1.5, 12), np.exp(-((t / 0.015) ** 2))).astype(np.float32)
    windows = np.linspace(0, 3, 240).reshape(12, 20) if windows is None else windows
    contribution = np.arange(1, 13) / 78 if contribution is None else contribution
    return beat, windows, saliency_figure(beat, windows, contribution, "ECG $1$", simulated)


def coloured(figure):
    """The coloured parts of the twelve traces, in the order of the leads."""
    parts = [c for c in figure.axes[0].collections if isinstance(c, LineCollection) and len(c.get_segments()) == 20]
    assert len(parts) == 12
    return parts


def test_colours_run_from_yellow_to_dark_red():
    red, green, blue, _ = to_rgba(COLOURS(0.0))
    assert red > 0.95
    assert green > 0.85
    assert blue < 0.1
    red, green, blue, _ = to_rgba(COLOURS(1.0))
    assert 0.3 < red < 0.6
    assert green == blue == 0
    _, windows, figure = drawn()
    for lead, part in enumerate(coloured(figure)):
        np.testing.assert_allclose(part.get_colors(), COLOURS(windows[lead] / windows.max()))


def test_the_trace_keeps_its_scale():
    beat, _, figure = drawn()
    width = figure.get_size_inches()[0] * 25.4
    assert figure.axes[0].get_xlim() == (0, width) or np.allclose(figure.axes[0].get_xlim(), (0, width))
    for lead, part in enumerate(coloured(figure)):
        x = np.concatenate([segment[:20, 0] for segment in part.get_segments()])
        y = np.concatenate([segment[:20, 1] for segment in part.get_segments()])
        np.testing.assert_allclose(np.diff(x), 0.05)  # 25 mm/s at 500 Hz
        np.testing.assert_allclose(y - y[-1], 10 * (beat[lead, 150:550] - beat[lead, 549]), atol=1e-4)  # 10 mm/mV


def test_leads_shares_and_words():
    *_, figure = drawn()
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert set(LEADS) <= set(texts)
    assert {f"{k / 78:.1%}" for k in range(1, 13)} <= set(texts)
    assert {"ECG $1$", "simulated data", "25 mm/s   10 mm/mV", "high"} <= set(texts)
    *_, real = drawn(simulated=False)
    assert "simulated data" not in [text.get_text() for text in real.axes[0].texts]


def test_a_map_of_zeros_or_nothing_is_yellow():
    for windows in (np.zeros((12, 20)), np.full((12, 20), np.nan)):
        *_, figure = drawn(windows, np.full(12, np.nan))
        for part in coloured(figure):
            np.testing.assert_allclose(part.get_colors(), np.tile(COLOURS(0.0), (20, 1)))


def test_sanity_figure():
    correlation = np.array([1.0, 0.4, 0.1])
    figure = sanity_figure(["none", "out", "conv1"], correlation, np.array([0, 0.1, 0.1]), simulated=True)
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), correlation)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["none", "out", "conv1"]
    assert "simulated" in figure._suptitle.get_text()
