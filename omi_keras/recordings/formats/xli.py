"""XLI, the compression of Philips' waveforms: one chunk per lead, LZW of 10 bits, second differences.

As published by Christopher Watford's sierra-ecg-tools (https://github.com/sixlettervariables/sierra-ecg-tools).
"""

from __future__ import annotations

import struct

import numpy as np

CODE_BITS = 10
END_CODE = (1 << CODE_BITS) - 1
# Chunk: bytes that follow, a word of unknown use, the first difference.
CHUNK_HEADER = struct.Struct("<iHh")
ZERO_DIFFERENCE = 64
# A 16-bit lead cannot leave this; damaged data do within a few samples.
MAX_VALUE = 1 << 16


def chunks(data: bytes) -> list[tuple[int, bytes]] | None:
    """First difference and compressed bytes of every lead; None when the data are not made of such chunks."""
    found, at = [], 0
    while at < len(data):
        if at + CHUNK_HEADER.size > len(data):
            return None
        size, _, first = CHUNK_HEADER.unpack_from(data, at)
        at += CHUNK_HEADER.size
        if size <= 0 or at + size > len(data):
            return None
        found.append((first, data[at : at + size]))
        at += size
    return found


def decode(first: int, packed: bytes, samples: int) -> np.ndarray | None:
    """Samples of one lead, (samples,) int64; None when the chunk holds another number of them or no lead at all."""
    raw = _unpack(packed, 2 * samples)
    if raw is None:
        return None
    # All high bytes, then all low bytes.
    halves = np.frombuffer(raw, np.uint8).reshape(2, samples).astype(np.int64)
    values = ((halves[0] << 8 | halves[1]) ^ 0x8000) - 0x8000
    # The first two values are samples, each further one is 64 more than the second difference two samples later.
    bend = np.concatenate([[first], values[2:-1] - ZERO_DIFFERENCE])
    steps = np.cumsum(np.concatenate([[values[1] - values[0]], -bend])[: samples - 1])
    lead = values[0] + np.concatenate([[0], np.cumsum(steps)])
    return lead if np.abs(lead).max() < MAX_VALUE else None


def _unpack(packed: bytes, expected: int) -> bytes | None:
    """LZW with codes of 10 bits, most significant bit first; None unless exactly ``expected`` bytes come out."""
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))
    words = bits[: len(bits) // CODE_BITS * CODE_BITS].reshape(-1, CODE_BITS)
    codes = (words @ (1 << np.arange(CODE_BITS)[::-1])).tolist()
    strings = [bytes([k]) for k in range(256)]
    out, size, previous = [], 0, b""
    for code in codes:
        if code == END_CODE:
            break
        if code < len(strings):
            entry = strings[code]
        elif code == len(strings) and previous:
            entry = previous + previous[:1]
        else:
            return None
        out.append(entry)
        size += len(entry)
        if size > expected:
            return None
        if previous and len(strings) < END_CODE:
            strings.append(previous + entry[:1])
        previous = entry
    return b"".join(out) if size == expected else None
