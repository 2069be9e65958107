"""Checksums by which a finished model knows again the ECGs that it was made with, whatever their ids are elsewhere.

A sum is of the millivolts of all leads at three samples, in cells of :data:`CELL_MV`. One recording read from two
formats or on two machines differs by the rounding of floats, and a value that lies on the edge of a cell may then fall
into its neighbour. So the sums that are *looked for* are those of every cell within
:data:`~omi_keras.data.duplicates.SAME_MV` of the value: what is stored is one sum a beat, and what is equal by
:mod:`omi_keras.data.duplicates` is always found. Two recordings differ by their noise, which 36 cells do not hide.

From a sum nobody gets back an ECG, a name or a date. Who has the ECG can tell whether the model was made with it, which
is what the sums are for. Six bytes: among 10,000 ECGs and 10,000 others, one in three million times two would be
taken for one.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from itertools import product

import numpy as np
import pandas as pd

from omi_keras.data.duplicates import PROBES, SAME_MV
from omi_keras.recordings.errors import InputError

#: Width of a cell: no multiple of what recorders resolve (1, 1.25, 2.44, 2.5, 5 µV), whose values would sit on edges.
CELL_MV = 0.002173
# Where in its cell 0 mV lies: a flat lead is on no edge.
_ZERO = 0.37
_BYTES = 6
# Of this many values on edges both neighbours are looked for; that more are there is all but impossible.
_MOST_ON_EDGES = 8


def beat_sums(beats: Iterable[np.ndarray]) -> np.ndarray:
    """Return a sum for each of n median beats (12, 600) in mV: (n,) text of 12 hexadecimal digits."""
    return np.array([_sum(_cells(_probed(beat))) for beat in beats], dtype=f"<U{2 * _BYTES}")


def are_among(beats: Iterable[np.ndarray], sums: AbstractSet[str]) -> np.ndarray:
    """Tell which of n median beats (12, 600) in mV have one of the sums: (n,) bool."""
    return np.array([bool(sums) and not sums.isdisjoint(_possible(beat)) for beat in beats], dtype=bool)


def packed(sums: Iterable[str]) -> str:
    """Sums as one text: sorted, each once, eight characters each."""
    return base64.b64encode(bytes.fromhex("".join(sorted(set(sums))))).decode()


def unpacked(text: object) -> frozenset[str]:
    """The sums of a text that :func:`packed` made.

    Raises
    ------
    InputError
        When it is none.
    """
    try:
        content = base64.b64decode(str(text).encode("ascii"), validate=True)
    except ValueError:
        content = b"?"
    if not isinstance(text, str) or len(content) % _BYTES:
        raise InputError(f"checksums of beats are base64 of {_BYTES} bytes each, found {str(text)[:40]!r}", "altered")
    return frozenset(content[start : start + _BYTES].hex() for start in range(0, len(content), _BYTES))


def beat_sum(cells: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """a checksum of 12 hexadecimal digits or empty"""
    return cells, cells.str.fullmatch(f"[0-9a-f]{{{2 * _BYTES}}}|").to_numpy(bool)


def _probed(beat: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.asarray(beat, np.float64)[:, PROBES]).ravel()


def _cells(values: np.ndarray) -> np.ndarray:
    return np.floor(values / CELL_MV + _ZERO).astype("<i8")


def _sum(cells: np.ndarray) -> str:
    return hashlib.blake2b(cells.tobytes(), digest_size=_BYTES).hexdigest()


def _possible(beat: np.ndarray) -> list[str]:
    """Sums of all beats that nowhere differ from this one by more than SAME_MV."""
    values = _probed(beat)
    # A little further, whose own rounding must not lose one.
    low, high = _cells(values - 1.01 * SAME_MV), _cells(values + 1.01 * SAME_MV)
    edges = np.flatnonzero(low != high)[:_MOST_ON_EDGES]
    found = []
    for above in product((False, True), repeat=edges.size):
        cells = _cells(values)
        cells[edges] = np.where(above, high[edges], low[edges])
        found.append(_sum(cells))
    return found
