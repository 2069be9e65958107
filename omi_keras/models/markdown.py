"""Facts of ``model.json`` as Markdown. What is not known says so; what a dataset named cannot become markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from omi_keras.recordings.numbers import is_number

UNKNOWN = "not known"
_LONGEST = 80
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#|!~])")


def plain_text(value: Any) -> str:
    """Any value on one line, shortened, with Markdown's own characters escaped."""
    if value is None or value == "":
        return UNKNOWN
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return _MARKUP.sub(r"\\\1", text)


def code(value: Any) -> str:
    """A checksum or a name that stands in a file."""
    text = "".join(c for c in str(value) if c.isprintable() and c != "`")[:_LONGEST]
    return f"`{text}`" if text and value is not None else UNKNOWN


def number(value: Any) -> str:
    """``0.912``, ``61.5``; a whole number as it is."""
    if not is_number(value):
        return "undefined"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:g}"


def interval(value: Any, low: Any, high: Any) -> str:
    """``0.912 [0.880, 0.941]``."""
    ends = f" [{number(low)}, {number(high)}]" if is_number(low) and is_number(high) else ""
    return number(value) + ends


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table's lines."""
    return ["", *(f"| {' | '.join(row)} |" for row in (headings, ["---"] * len(headings), *rows)), ""]


def mapping(value: Any) -> dict[str, Any]:
    """The value, or nothing where a mapping was expected and is not there."""
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:
    """The value, or nothing where a list was expected and is not there."""
    return value if isinstance(value, list) else []


def kind_of_ecgs(simulated: Any) -> str:
    """``simulated`` or ``recorded``, in words."""
    return ("simulated" if simulated else "recorded") if isinstance(simulated, bool) else UNKNOWN


def share(value: Any) -> str:
    """``35.2%``."""
    return f"{value:.1%}" if is_number(value) else UNKNOWN


def inside(content: Any, name: str) -> Any:
    """``a.b`` is b inside a; None where there is none."""
    for part in name.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content
