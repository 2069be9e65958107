"""The page: everything escaped, nothing requested, the policy allows its own script and no other."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from omi_keras.drawing.curves import roc_panel
from omi_keras.drawing.figures import single
from omi_keras.drawing.svg import svg
from omi_keras.evaluation import page
from omi_keras.evaluation.page import Cell, Markup, count, number

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"


class Elements(HTMLParser):
    """All elements of a page, and whether they are closed in order."""

    VOID = {"meta", "br", "img", "input", "link"}  # noqa: RUF012

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def assert_no_requests(text):
    """No element, attribute or style that makes a browser fetch anything."""
    elements = Elements(text)
    assert elements.open == []
    tags = {tag for tag, _ in elements.found}
    assert not tags & {"link", "img", "iframe", "object", "embed", "base", "form", "audio", "video", "image", "a"}
    for tag, attributes in elements.found:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset", "background"):
                assert value.startswith("#"), (tag, name, value)
            if name.startswith("xmlns"):
                continue
            assert "//" not in (value or ""), (tag, name, value)
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*['\"]?(.)", text))
    assert "@import" not in text


def everything(text):
    return page.document(
        text,
        page.paragraph(text, "banner"),
        page.cards([(text, text, text)]),
        page.section(text, page.table(text, (text, text), [(text, Cell(text, 1.5, text)), (Cell(text), "b")])),
        page.figures([(svg(single(lambda axes: roc_panel(axes, {"test": ([0, 1], [0.2, 0.9])}, 0.5)), text), text)]),
    )


def test_hostile_text_is_escaped_everywhere():
    found = everything(HOSTILE)
    assert "<script>alert" not in found
    assert "<img" not in found
    assert found.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 12
    assert_no_requests(found)
    assert [tag for tag, _ in Elements(found).found].count("script") == 1


def test_policy_allows_the_pages_own_script_only():
    found = everything("plain")
    policy = next(
        attributes["content"]
        for tag, attributes in Elements(found).found
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    script = re.search(r"<script>(.*)</script>", found, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy


def test_same_content_same_bytes():
    assert everything("one") == everything("one")


def test_svg_scales_and_follows_the_theme():
    figure = single(lambda axes: roc_panel(axes, {"test": ([0, 1, 0, 1], [0.2, 0.9, 0.4, 0.3])}, 0.5))
    text = svg(figure, "ROC")
    assert isinstance(text, Markup)
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


def test_numbers():
    assert number(0.1234, 0.1, 0.2) == Cell("0.123", 0.1234, "0.100 to 0.200")
    assert number(0.0) == Cell("0.000", 0.0)
    assert number(np.nan, 0.1, 0.2).text == count(np.nan).text == "undefined"
    assert count(10893) == Cell("10,893", 10893)


@pytest.mark.parametrize(("value", "sort"), [(0.5, 'data-v="0.5"'), (0.0, 'data-v="0"'), (np.nan, 'data-v=""')])
def test_cells_sort_by_their_numbers(value, sort):
    assert sort in page.table("t", ("a", "b"), [("x", number(value))])
