"""Tables of samples: one column per lead, named in the first row."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats.declared import declared, recording
from omi_keras.recordings.formats.files import MAX_PARSED_BYTES
from omi_keras.recordings.formats.recording import Recording, choose_leads, lead_name, printable

MICRO = 0xB5
MICRO_SIGNS = str.maketrans("µμ", "uu")
SUFFIXES = (".csv", ".tsv", ".txt")
MAX_COLUMNS = 512
# A time column's steps where its name says no unit: seconds below this, milliseconds above.
LARGEST_STEP_S = 0.05

_WITH_UNIT = re.compile(r"(?P<name>.+?)\s*(?:_|\s|\(|\[)\s*(?P<units>[muµμ]?V)\s*[\])]?", re.IGNORECASE)
_TIME = re.compile(
    r"(?P<name>t|time|seconds|milliseconds|microseconds)([ _]?[\[(]?(?P<unit>[muµμ]?s)(ec(onds?)?)?[\])]?)?",
    re.IGNORECASE,
)
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6}


def looks_like(head: bytes) -> bool:
    """Whether a file starts with a row that names leads."""
    first = head.removeprefix(b"\xef\xbb\xbf").decode("latin-1").splitlines()[:1]
    return bool(first) and sum(_lead(cell)[0] is not None for cell in _cells(first[0], _delimiter(first[0]))) >= 2


def read(data: bytes, path: Path) -> Recording:
    """Leads of a table; units in the names (``I_mV``, ``V1 (uV)``), the rate from a time column or declared."""
    file = path.name
    if len(data) > MAX_PARSED_BYTES:
        raise InputError(f"{file}: {len(data)} bytes of text are too many; cut out the 10 s of interest", "too_large")
    try:
        # Of what is not ASCII only a µ in the names can matter, which is 0xB5 in Latin-1.
        text = data.decode("latin-1" if set(data) - set(range(128)) == {MICRO} else "utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{file}: not UTF-8 text; save it as CSV in UTF-8", "bad_table") from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip().split("\n")
    delimiter = _delimiter(lines[0])
    if lines[0].count(delimiter) >= MAX_COLUMNS:
        raise InputError(f"{file}: more than {MAX_COLUMNS} columns; keep the twelve leads", "bad_table")
    names = _cells(lines[0], delimiter)
    leads = {k: _lead(name) for k, name in enumerate(names)}
    used = [k for k, (lead, _) in leads.items() if lead is not None]
    clock = next((k for k, name in enumerate(names) if _TIME.fullmatch(name)), None)
    if not used:
        raise InputError(
            f"{file}: its first row names no leads; begin with a row such as I,II,III,aVR,aVL,aVF,V1,V2 ...",
            "missing_lead",
        )
    choose_leads([lead or name for (lead, _), name in zip(leads.values(), names, strict=True)], file)
    table = _numbers(lines, delimiter, names, used if clock is None else [*used, clock], file)
    units = {unit.lower().translate(MICRO_SIGNS) for k in used if (unit := leads[k][1]) is not None}
    if len(units) > 1 or (units and any(leads[k][1] is None for k in used)):
        raise InputError(f"{file}: its columns have different units; use one unit for all leads", "bad_units")
    fields: dict[str, object] = {"leads": [str(leads[k][0]) for k in used]}
    if units:
        fields["units"] = units.pop()
    if clock is not None:
        fields["rate"] = _rate(table[:, -1], names[clock], file)
    counts = _counts(lines, delimiter, used)
    return recording(table[:, : len(used)].T, declared(fields, path), path, "CSV", counts=counts)


def _lead(cell: str) -> tuple[str | None, str | None]:
    """A column's lead and unit."""
    lead = lead_name(cell)
    match = None if lead else _WITH_UNIT.fullmatch(cell)
    if match is None:
        return lead, None
    return lead_name(match["name"]), match["units"]


def _delimiter(row: str) -> str:
    return max(",;\t", key=row.count)


def _cells(row: str, delimiter: str) -> list[str]:
    return [cell.strip().strip('"').strip() for cell in row.split(delimiter)]


def _numbers(lines: list[str], delimiter: str, names: list[str], used: list[int], file: str) -> np.ndarray:
    """(rows, used) float64; the first cell that is no number is named as a person counts rows, the header being 1."""
    if len(lines) < 2:
        raise InputError(f"{file}: no samples below the first row; export it again", "too_short")
    if delimiter != "," and "," in lines[1]:
        raise InputError(f"{file}: decimal comma found in row 2; save the numbers with decimal points", "bad_table")
    for row, line in enumerate(lines[1:], 2):
        if line.count(delimiter) != len(names) - 1:
            raise InputError(
                f"{file}: row {row}: expected {len(names)} values, found {line.count(delimiter) + 1}; correct it",
                "bad_table",
            )
    try:
        return np.loadtxt(lines[1:], delimiter=delimiter, comments=None, usecols=used, ndmin=2)
    except ValueError:
        pass
    for row, line in enumerate(lines[1:], 2):
        cells = line.split(delimiter)
        for k in used:
            try:
                float(cells[k])
            except ValueError:
                what = printable(cells[k]) or "(empty)"
                raise InputError(
                    f"{file}: row {row}, lead {names[k]}: not a number: {what}; correct it", "bad_table"
                ) from None
    raise InputError(f"{file}: not a table of numbers; export it again", "bad_table")


def _counts(lines: list[str], delimiter: str, used: list[int]) -> bool:
    """Whether no lead has a decimal point or an exponent; a time column has one where samples are integers."""
    for line in lines[1:]:
        cells = line.split(delimiter)
        if any("." in cells[k] or "e" in cells[k].lower() for k in used):
            return False
    return True


def _rate(times: np.ndarray, name: str, file: str) -> float:
    """Samples per second from a time column, in the unit of its name or, where that has none, of its steps."""
    span = float(times[-1] - times[0]) if len(times) > 1 else 0.0
    step = span / max(len(times) - 1, 1)
    # Rounded times are off by up to half a step, gaps by more.
    if not step > 0 or np.abs(times - times[0] - step * np.arange(len(times))).max() > 0.6 * step:
        raise InputError(f"{file}: its time column does not rise evenly; export it without gaps", "bad_rate")
    match = _TIME.fullmatch(name)
    word = ((match["unit"] or match["name"]) if match else "").lower().replace("µ", "u").replace("μ", "u")
    per_second = _PER_SECOND.get(word)
    if per_second is None:
        if step == 1.0:
            raise InputError(
                f"{file}: column {name} counts 0, 1, 2 ...: milliseconds at 1000 Hz or the samples' numbers; "
                "call it time_ms or sample",
                "no_rate",
            )
        per_second = 1.0 if step < LARGEST_STEP_S else 1000.0
    rate = per_second / step
    return round(rate) if abs(rate - round(rate)) < 1e-3 * rate else rate
