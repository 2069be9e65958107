"""A matplotlib figure as SVG inside a page: small, the same bytes each time, in the page's own text colour."""

from __future__ import annotations

import html
import re
from io import StringIO

import matplotlib as mpl
from matplotlib.figure import Figure

# Matplotlib's black is the page's text, its light grey the page's lines: readable on a dark page as well.
_THEME = (
    (re.compile(r"#000000|#262626"), "currentColor"),
    (re.compile(r"#e6e6e6|#e5e5e5"), "var(--line)"),
)
_FONT = re.compile(r"font: ([^;\"]*?)'DejaVu Sans'[^;\"]*")
_UNUSED_ID = re.compile(r' id="(?:figure|axes|patch|line2d|text|xtick|ytick|matplotlib\.axis|legend|FillBetween\w*|Li'
                        r'neCollection|PathCollection|PolyCollection)_\d+"')  # fmt: skip


def svg(figure: Figure, name: str) -> str:
    """Return a figure as an ``<svg>`` element that scales with the page.

    Parameters
    ----------
    figure
        Drawn with a transparent background; black becomes the page's text colour.
    name
        What it shows, for those who cannot see it; also keeps the ids of several figures on a page apart.
    """
    buffer = StringIO()
    # Text stays text: smaller, and it can be searched and read aloud.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = buffer.getvalue()
    head, _, body = text[text.index("<svg") :].partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    assert box, "matplotlib writes a viewBox"
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = _UNUSED_ID.sub("", body)
    body = _FONT.sub(r"font: \1system-ui, sans-serif", body)
    for pattern, colour in _THEME:
        body = pattern.sub(colour, body)
    # Tick labels and titles carry no fill at all, which would be black on any page.
    opening = f'<svg {box[0]} role="img" fill="currentColor" aria-label="{html.escape(name)}"'
    return opening + ' xmlns:xlink="http://www.w3.org/1999/xlink">' + re.sub(r"\n\s*", "\n", body).strip()
