"""Ten seconds of twelve leads on ECG paper."""

from __future__ import annotations

import numpy as np
import pytest

from omi_keras.drawing.ecg_paper import recording_figure
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS

MM = 25.4


def recording() -> np.ndarray:
    """(12, 5000) mV: lead k holds a step of k / 10 mV at a second of its own column, 0.1 s long."""
    x = np.zeros((12, 5000))
    for k in range(12):
        start = 1250 * (k // 3) + 500
        x[k, start : start + 50] = (k + 1) / 10
    return x


def texts(figure) -> list[str]:  # type: ignore[no-untyped-def]
    return [text.get_text() for text in figure.axes[0].texts]


def test_every_lead_has_its_quarter_and_lead_ii_a_rhythm_strip() -> None:
    figure = recording_figure(recording(), "Simulated: title with $signs$", simulated=True)
    names = [text for text in texts(figure) if text in LEADS]
    assert sorted(names) == sorted([*LEADS, "II"])
    assert "simulated ECG" in texts(figure) and "Simulated: title with $signs$" in texts(figure)
    rows = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 5000]
    assert len(rows) == 4
    for r, line in enumerate(rows):
        y = np.asarray(line.get_ydata())
        heights = [y[1250 * c + 500] - y[1250 * c] for c in range(4)] if r < 3 else [y[500] - y[0]]
        # 10 mm for each mV; the rhythm strip is lead II.
        expected = [10 * (3 * c + r + 1) / 10 for c in range(4)] if r < 3 else [2.0]
        np.testing.assert_allclose(heights, expected)
        # 25 mm for each second.
        assert np.ptp(np.asarray(line.get_xdata())) == pytest.approx(250, abs=0.1)


def test_a_page_is_true_to_scale() -> None:
    figure = recording_figure(recording(), "", simulated=False)
    width, height = figure.get_size_inches() * MM
    assert figure.axes[0].get_xlim() == (0, pytest.approx(width)) and figure.axes[0].get_ylim()[1] == pytest.approx(
        height
    )
    assert "simulated ECG" not in texts(figure)


def test_what_is_no_recording_is_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(12, 5000\)"):
        recording_figure(np.zeros((12, 600)), "", simulated=True)
    with pytest.raises(InputError, match="missing or infinite"):
        recording_figure(np.full((12, 5000), np.nan), "", simulated=True)
