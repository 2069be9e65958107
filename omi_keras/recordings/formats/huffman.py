"""Huffman codes of SCP-ECG (EN 1064, section 2): a prefix, then perhaps a number of further bits that is added."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

MAX_PREFIX = 16
MAX_TABLES, MAX_CODES = 16, 512


class Code(NamedTuple):
    """``bits`` of prefix and ``extra`` bits behind it; the value, or with ``switch`` the table to go on with."""

    bits: int
    extra: int
    switch: bool
    value: int
    prefix: int


def default_table() -> list[Code]:
    """The standard's own table (code 19999): 0 to ±8 by prefix, others as 8 or 16 bits."""
    codes = [Code(1, 0, False, 0, 0b0)]
    for size in range(1, 9):
        ones = ((1 << size) - 1) << 2
        codes += [Code(size + 2, 0, False, size, ones), Code(size + 2, 0, False, -size, ones | 1)]
    return [*codes, Code(10, 8, False, 0, 0b1111111110), Code(10, 16, False, 0, 0b1111111111)]


def read_tables(body: bytes) -> list[list[Code]] | None:
    """Tables of a section 2; None when they make no sense."""
    (count,) = struct.unpack_from("<H", body)
    if count == 19999:
        return [default_table()]
    at, tables = 2, []
    if not 0 < count <= MAX_TABLES:
        return None
    for _ in range(count):
        (size,) = struct.unpack_from("<H", body, at)
        if not 0 < size <= MAX_CODES:
            return None
        codes = [struct.unpack_from("<BBBhI", body, at + 2 + 9 * k) for k in range(size)]
        at += 2 + 9 * size
        table = []
        for bits, total, mode, value, stored in codes:
            if not 0 < bits <= MAX_PREFIX or not bits <= total <= bits + 16 or mode not in (0, 1):
                return None
            # The first bit of the prefix is stored as the lowest.
            prefix = int(f"{stored & ((1 << bits) - 1):0{bits}b}"[::-1], 2)
            table.append(Code(bits, total - bits, mode == 0, value, prefix))
        tables.append(table)
    return tables


def decode(data: bytes, count: int, tables: list[list[Code]]) -> np.ndarray | None:
    """The first ``count`` values, (count,) int64; None when the bits do not give so many."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8)).astype(np.int64)
    end = len(bits)
    padded = np.concatenate([bits, np.zeros(2 * MAX_PREFIX, np.int64)])
    # The 16 bits from each position on, so that a code is one look-up.
    window = np.zeros(end + MAX_PREFIX, np.int64)
    for k in range(MAX_PREFIX):
        window = window << 1 | padded[k : k + len(window)]
    windows = window.tolist()
    lookups = [_lookup(table) for table in tables]
    lookup, at = lookups[0], 0
    out: list[int] = []
    # Each turn uses up at least a bit, so this ends.
    while len(out) < count and at < end:
        code = lookup[windows[at]]
        if code is None:
            return None
        at += code.bits
        if code.switch:
            if not 0 < code.value <= len(lookups):
                return None
            lookup = lookups[code.value - 1]
            continue
        value = code.value
        if code.extra:
            if at > end:
                return None
            raw = windows[at] >> (MAX_PREFIX - code.extra)
            value += raw - (raw >> (code.extra - 1) << code.extra)
            at += code.extra
        out.append(value)
    return np.array(out, np.int64) if len(out) == count and at <= end else None


def _lookup(table: list[Code]) -> list[Code | None]:
    """Code by the next 16 bits."""
    lookup: list[Code | None] = [None] * (1 << MAX_PREFIX)
    for code in table:
        free = MAX_PREFIX - code.bits
        lookup[code.prefix << free : (code.prefix + 1) << free] = [code] * (1 << free)
    return lookup
