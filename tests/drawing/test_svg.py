"""Figures inside a page: they scale, follow its colours, and do not get into each other's way."""

from __future__ import annotations

import re

from omi_keras.drawing.curves import roc_panel
from omi_keras.drawing.figures import single
from omi_keras.drawing.svg import svg


def test_svg_scales_and_follows_the_theme():
    figure = single(lambda axes: roc_panel(axes, {"test": ([0, 1, 0, 1], [0.2, 0.9, 0.4, 0.3])}, 0.5))
    text = svg(figure, "ROC")
    opening = text[: text.index(">")]
    assert "viewBox" in opening
    assert "width=" not in opening
    assert 'aria-label="ROC"' in opening
    assert "#000000" not in text
    assert "<metadata" not in text
    assert "Sensitivity" in text, "text stays text"
    targets = re.findall(r'(?:xlink:href="|url\()#([^")]+)', text)
    assert targets
    assert set(targets) <= set(re.findall(r' id="([^"]+)"', text))


def test_two_figures_on_a_page_share_no_ids():
    texts = [
        svg(single(lambda axes: roc_panel(axes, {"test": ([0, 1], [0.2, 0.9])}, 0.5)), name) for name in ("one", "two")
    ]
    first, second = (set(re.findall(r' id="([^"]+)"', text)) for text in texts)
    assert first
    assert not first & second
