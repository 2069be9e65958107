"""SCP-ECG (EN 1064, ISO 11073-91064): sections of a binary record; plain or Huffman-coded samples or differences.

Reference-beat subtraction is undone. Bimodal compression, which discards samples between the QRS complexes, is
refused.
"""

from __future__ import annotations

import binascii
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats import huffman
from omi_keras.recordings.formats.beats import device_beat
from omi_keras.recordings.formats.files import MAX_PARSED_BYTES
from omi_keras.recordings.formats.recording import (
    LEAD_CODES,
    Recording,
    check_gain,
    check_length,
    check_rate,
    choose_leads,
    known_age,
    known_sex,
)

MAGIC_OFFSET, MAGIC = 16, b"SCPECG"
PATIENT, TABLES, LEAD_LIST, ZONES, BEAT, RHYTHM = 1, 2, 3, 4, 5, 6
SECTION_HEADER, POINTER = 16, 10
MAX_LEADS, MAX_POINTERS = 20, 1024
NANOVOLTS = 1e-6  # of a mV
# Tags of the patient section that identify nobody.
AGE, SEX, LAST_TAG = 4, 8, 255
SEXES = {1: "male", 2: "female"}
YEARS = {1: 1.0, 2: 1 / 12, 3: 7 / 365.25, 4: 1 / 365.25}


def looks_like(head: bytes, *, named: bool) -> bool:
    """Whether a file starts as SCP-ECG: with its mark, or if ``named`` so, with a list of sections as older records."""
    if head.startswith(MAGIC, MAGIC_OFFSET):
        return True
    if not named or len(head) < 6 + SECTION_HEADER + POINTER:
        return False
    section, length = struct.unpack_from("<HI", head, 6 + 2)
    first, _, index = struct.unpack_from("<HII", head, 6 + SECTION_HEADER)
    pointers, rest = divmod(length - SECTION_HEADER, POINTER)
    return section == 0 and first == 0 and rest == 0 and 1 < pointers <= MAX_POINTERS and index in (0, 7)


class _Damaged(Exception):
    """The sentence's middle."""


class _Signals(NamedTuple):
    """Decoded section 5 or 6: nanovolts per lead, (samples,) float64."""

    rate: float
    leads: list[np.ndarray]


def read(data: bytes, path: Path) -> Recording:
    """Leads of the rhythm section, and the reference beat where the record has one."""
    file = path.name
    if len(data) > MAX_PARSED_BYTES:
        raise InputError(f"{file}: {len(data)} bytes are too many; cut out the 10 s of interest", "too_large")
    try:
        return _recording(data, file)
    except _Damaged as error:
        raise InputError(f"{file}: {error}; export it again", "bad_scp") from None
    except (struct.error, IndexError):
        raise InputError(f"{file}: SCP-ECG record is cut off within a section; export it again", "truncated") from None


def _recording(data: bytes, file: str) -> Recording:
    crc, size = struct.unpack_from("<HI", data)
    if size != len(data):
        raise InputError(f"{file}: expected {size} bytes, found {len(data)}; copy the file again", "truncated")
    sections = _sections(data)
    if LEAD_LIST not in sections or RHYTHM not in sections:
        raise InputError(f"{file}: SCP-ECG record without rhythm data; export the full recording", "too_short")
    codes, starts, counts, subtracted = _leads(sections[LEAD_LIST])
    names = [LEAD_CODES.get(code, f"code {code}") for code in codes]
    chosen = choose_leads(names, file)
    if len({(starts[k], counts[k]) for k in chosen.values()}) != 1:
        raise InputError(
            f"{file}: leads are not simultaneous or differ in length; export 10 s of all", "not_simultaneous"
        )
    tables = None
    if TABLES in sections:
        tables = huffman.read_tables(sections[TABLES])
        if tables is None:
            raise _Damaged("its Huffman tables make no sense")
    if sections[RHYTHM][5] == 1:
        raise InputError(f"{file}: bimodal compression has discarded samples; export it without", "unsupported_version")
    rhythm = _signals(sections[RHYTHM], counts, tables, file)
    beat, fiducial = _beat(sections, codes, tables, file)
    if subtracted:
        _add_beats(rhythm, beat, sections, starts, fiducial)
    crcs = crc in (0, binascii.crc_hqx(data[2:], 0xFFFF))
    age, sex = _patient(sections.get(PATIENT, b""))
    return Recording(
        {lead: rhythm.leads[k] * NANOVOLTS for lead, k in chosen.items()},
        rhythm.rate,
        "SCP-ECG",
        age=known_age(age),
        sex=known_sex(sex),
        device_beat=beat
        and device_beat(
            {name: lead * NANOVOLTS for name, lead in zip(names, beat.leads, strict=True)},
            beat.rate,
            fiducial - 1 if fiducial else None,
        ),
        flags=() if crcs else ("checksum",),
    )


def _sections(data: bytes) -> dict[int, bytes]:
    """Content of each section that the pointers name, without its header."""
    (length,) = struct.unpack_from("<I", data, 6 + 4)
    found = {}
    for at in range(6 + SECTION_HEADER, min(6 + length, len(data)) - POINTER + 1, POINTER):
        section, size, index = struct.unpack_from("<HII", data, at)
        if size <= SECTION_HEADER:
            continue
        start = index - 1
        if section in found:
            raise _Damaged(f"section {section} is listed twice")
        if start < 6 or start + size > len(data) or struct.unpack_from("<H", data, start + 2)[0] != section:
            raise _Damaged(f"section {section} is not where it should be")
        found[section] = data[start + SECTION_HEADER : start + size]
    return found


def _leads(body: bytes) -> tuple[list[int], list[int], list[int], bool]:
    """Codes, first samples (counted from 1) and lengths of the leads, and whether beats were subtracted."""
    count, flags = body[0], body[1]
    if not 0 < count <= MAX_LEADS:
        raise _Damaged(f"it lists {count} leads")
    rows = [struct.unpack_from("<IIB", body, 2 + 9 * k) for k in range(count)]
    if any(not 0 < first <= last for first, last, _ in rows):
        raise _Damaged("a lead ends before it begins")
    codes, starts = [code for _, _, code in rows], [first for first, _, _ in rows]
    return codes, starts, [last - first + 1 for first, last, _ in rows], bool(flags & 1)


def _signals(body: bytes, counts: list[int], tables: list[list[huffman.Code]] | None, file: str) -> _Signals:
    """Decode a section 5 or 6."""
    nanovolts, microseconds, differences, _ = struct.unpack_from("<HHBB", body)
    check_gain(nanovolts, "amplitude multiplier", file)
    rate = check_rate(1e6 / microseconds if microseconds else 0.0, file)
    if differences > 2:
        raise _Damaged(f"its encoding of differences is unknown ({differences})")
    sizes = struct.unpack_from(f"<{len(counts)}H", body, 6)
    at = 6 + 2 * len(counts)
    leads = []
    for k, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        check_length(count, rate, file)
        chunk = body[at : at + size]
        at += size
        if tables is not None:
            # A sample takes a bit at least, so that no count makes this long.
            values = huffman.decode(chunk, count, tables) if count <= 8 * len(chunk) else None
        else:
            values = np.frombuffer(chunk[: 2 * count], "<i2").astype(np.int64) if 2 * count <= len(chunk) else None
        if values is None:
            raise _Damaged(f"lead {k + 1} does not hold its {count} samples")
        values = _integrated(values, differences)
        if np.abs(values).max() > 1 << 15:
            raise _Damaged(f"lead {k + 1} is damaged (its values run out of range)")
        leads.append(values * float(nanovolts))
    return _Signals(rate, leads)


def _integrated(values: np.ndarray, times: int) -> np.ndarray:
    """Undo first or second differences; the first one or two values are samples themselves."""
    if times == 0:
        return values
    if times == 1 or len(values) < 3:
        return np.cumsum(values) if times == 1 else values
    slopes = np.cumsum(np.concatenate([[values[1] - values[0]], values[2:]]))
    return values[0] + np.concatenate([[0], np.cumsum(slopes)])


def _beat(
    sections: dict[int, bytes], codes: list[int], tables: list[list[huffman.Code]] | None, file: str
) -> tuple[_Signals | None, int]:
    """The reference beat of all leads, and its fiducial point in samples counted from 1, 0 where it is not stated."""
    if BEAT not in sections or ZONES not in sections:
        return None, 0
    milliseconds, fiducial = struct.unpack_from("<HH", sections[ZONES])
    (microseconds,) = struct.unpack_from("<H", sections[BEAT], 2)
    if not milliseconds or not microseconds:
        return None, 0
    return _signals(sections[BEAT], [round(1000 * milliseconds / microseconds)] * len(codes), tables, file), fiducial


def _add_beats(
    rhythm: _Signals, beat: _Signals | None, sections: dict[int, bytes], starts: list[int], fiducial: int
) -> None:
    """Put the reference beat back where it was subtracted, in place."""
    if beat is None or beat.rate != rhythm.rate:
        raise _Damaged("the beats that were subtracted are missing or of another rate")
    if not fiducial:
        raise _Damaged("where the beats that were subtracted are to be added is not stated")
    body = sections[ZONES]
    (count,) = struct.unpack_from("<H", body, 4)
    for k in range(count):
        kind, first, peak, last = struct.unpack_from("<HIII", body, 6 + 14 * k)
        if kind != 0:
            continue
        for lead, start, shape in zip(rhythm.leads, starts, beat.leads, strict=True):
            # In samples of the lead, from 0; sample ``shift`` of the lead is the beat's first.
            shift = peak - fiducial + 1 - start
            low, high = max(first - start, shift, 0), min(last - start + 1, shift + len(shape), len(lead))
            if low < high:
                lead[low:high] += shape[low - shift : high - shift]


def _patient(body: bytes) -> tuple[float | None, str | None]:
    """Age in years and sex; all other tags are skipped unread."""
    age, sex, at = None, None, 0
    while at + 3 <= len(body) and body[at] != LAST_TAG:
        tag, size = struct.unpack_from("<BH", body, at)
        value = body[at + 3 : at + 3 + size]
        if tag == AGE and size == 3 and value[2:3] and value[2] in YEARS:
            age = struct.unpack_from("<H", value)[0] * YEARS[value[2]]
        elif tag == SEX and size == 1 and value:
            sex = SEXES.get(value[0])
        at += 3 + size
    return age, sex
