"""Which numbers of a file may be believed. No import but ``sys``: bundles carry a copy of this file."""

import sys
from typing import Any


def is_number(value: Any) -> bool:
    """Whether a value is a finite number: no text, no bool, no NaN, no integer beyond what a float holds."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_probability(value: Any) -> bool:
    """Whether a value is a number from 0 to 1, as probabilities and thresholds are."""
    return is_number(value) and 0 <= value <= 1


def is_count(value: Any) -> bool:
    """Whether a value is a whole number from 0 on that fits into 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
