"""How far a quantised model may be from the trained one."""

from __future__ import annotations

import math
from pathlib import Path

from edge.verified import DIFFERENCES, is_limit
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.numbers import parse_json

# flips is a fraction of decisions at the threshold; the others are :func:`edge.parity.compare`'s.
LIMITS: dict[str, dict[str, float]] = {
    "float32": {"max_delta": 1e-5},
    "float16": {"max_delta": 2e-3},
    "dynamic": {"flips": 0.005, "delta_auc": 0.002, "delta_ap": 0.01, "p99_delta": 0.03},
    "int8": {"flips": 0.005, "delta_auc": 0.002, "delta_ap": 0.01, "p99_delta": 0.03},
}


def tightened(quantization: str, path: Path | None) -> dict[str, float]:
    """The limits of a format, made stricter by a JSON file such as ``{"flips": 0, "max_delta": 0.05}``.

    Raises
    ------
    InputError
        When the file is no JSON object of limits, or one of them is looser than the format's own.
    """
    limits = LIMITS[quantization]
    if path is None:
        return limits
    try:
        found = parse_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", "not_found") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}", "unreadable") from None
    if not isinstance(found, dict) or not found or not set(found) <= set(DIFFERENCES):
        raise InputError(f"{path} must hold a JSON object with some of {', '.join(DIFFERENCES)}", "bad_limits")
    for name, limit in found.items():
        if not is_limit(limit):
            shown = repr(limit)
            shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
            raise InputError(f"{path}: {name} must be a number of at least 0, found {shown}", "bad_limits")
        if limit > limits.get(name, math.inf):
            raise InputError(
                f"{path}: {name} {limit:g} is looser than {limits[name]:g}; limits of {quantization} may only be "
                "tightened",
                "bad_limits",
            )
    return {**limits, **{name: float(limit) for name, limit in found.items()}}
