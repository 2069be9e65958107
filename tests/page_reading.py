"""What a page holds, and whether it fetches anything."""

import re
from html.parser import HTMLParser


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
