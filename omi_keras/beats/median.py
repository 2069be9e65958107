"""The median, fast for the few or few thousand numbers of one recording."""

from __future__ import annotations

from typing import Any

import numpy as np


def median(x: np.ndarray, axis: int = -1) -> Any:
    """Median along an axis, without NaN: what ``numpy.median`` gives.

    NumPy's own looks for NaN and weighs axes for longer than such arrays take to sort.
    """
    ranked = np.sort(x, axis=axis)
    n = ranked.shape[axis]
    low, high = ranked.take((n - 1) // 2, axis), ranked.take(n // 2, axis)
    return low if n % 2 else (low + high) * ranked.dtype.type(0.5) if ranked.dtype.kind == "f" else (low + high) * 0.5
