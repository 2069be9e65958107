"""Which numbers of a file may be believed. Standard library only: bundles carry a copy of this file."""

import json
import sys
from typing import Any


def is_number(value: Any) -> bool:
    """Whether a value is a finite number: no text, no bool, no NaN, no integer beyond what a float holds."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_probability(value: Any) -> bool:
    """Whether a value is a number from 0 to 1, as probabilities and thresholds are."""
    return is_number(value) and 0 <= value <= 1


def are_bands(value: Any) -> bool:
    """Whether this is ``{"rule_out": p, "rule_in": p}``, in order, either of them None where there is none; or None."""
    if value is None:
        return True
    if not isinstance(value, dict) or set(value) != {"rule_out", "rule_in"}:
        return False
    low, high = value["rule_out"], value["rule_in"]
    if not all(edge is None or is_probability(edge) for edge in (low, high)):
        return False
    return low is None or high is None or low <= high


def is_count(value: Any) -> bool:
    """Whether a value is a whole number from 0 on that fits into 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def parse_json(content: bytes) -> Any:
    """JSON in UTF-8, and no more than JSON: numbers are finite, and nothing is said twice.

    Raises
    ------
    ValueError
        Also where Python's own reader would go on: NaN, Infinity, 1e999, whole numbers that no float holds, two values
        of one name (of which other programs may take the other one), and lists in lists without end.
    """
    try:
        return json.loads(
            content.decode("utf-8-sig"),
            object_pairs_hook=_said_once,
            parse_constant=_refused,
            parse_float=lambda text: _finite(float(text), text),
            parse_int=lambda text: _finite(int(text) if len(text) <= 400 else sys.maxsize**32, text),
        )
    except RecursionError:
        raise ValueError("too many lists or objects inside each other") from None


def _said_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"it says {twice[:40]} twice")
    return found


def _finite(value: Any, text: str) -> Any:
    return value if is_number(value) else _refused(text)


def _refused(text: str) -> Any:
    raise ValueError(f"{text if len(text) <= 40 else text[:37] + '...'} is no number to work with")
