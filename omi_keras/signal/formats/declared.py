"""Bare arrays: what their numbers mean must be said beside them, for the numbers do not.

Rate, units and lead order come from fields of the file (NPZ, MATLAB, CSV header), from ``<file>.json`` beside it
(``{"rate": 500, "units": "uV", "leads": ["I", "II", ...]}``) or from the end of its name (``…_uV.npy``); two that
contradict each other are an error. What nobody says is 500 Hz, standard lead order and, for values with a decimal
point, the one of mV and µV that an ECG can be in: each assumption is flagged. Integers are converter counts: their
unit is never assumed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omi_keras.signal.errors import InputError
from omi_keras.signal.formats.files import read_bytes
from omi_keras.signal.formats.recording import (
    Recording,
    check_length,
    check_rate,
    choose_leads,
    known_age,
    known_sex,
    printable,
    to_millivolts,
)
from omi_keras.signal.numbers import parse_json
from omi_keras.signal.record import LEADS, SAMPLING_RATE

SYNONYMS = {
    "rate": ("rate", "fs", "sampling_rate", "sampling_frequency", "freq"),
    "units": ("units", "unit"),
    "leads": ("leads", "lead_names", "sig_name"),
    "age": ("age",),
    "sex": ("sex",),
}
FIELDS = {name: key for key, names in SYNONYMS.items() for name in names}
MAX_SIDECAR_BYTES = 1 << 16
# Typical peak to peak of a lead in 1 s, mV. A thousand times as much is µV, between the two nothing is certain.
TYPICAL_MV = (0.05, 20.0)

_UNITS_IN_NAME = re.compile(r"_([mu]?V)$", re.IGNORECASE)


@dataclass(frozen=True)
class Declared:
    """What is known of an array's numbers; None where nobody said it."""

    rate: float | None = None
    units: str | None = None
    leads: tuple[str, ...] | None = None
    age: float | None = None
    sex: str | None = None


def declared(fields: Mapping[str, Any], path: Path) -> Declared:
    """Join what the file's own fields (keys of :data:`FIELDS`), its sidecar and its name say.

    Raises
    ------
    InputError
        When two of them contradict each other, or a value makes no sense.
    """
    said: dict[str, Any] = {}
    in_name = _UNITS_IN_NAME.search(path.stem)
    for source in (fields, _sidecar(path), {"units": in_name[1]} if in_name else {}):
        for name, raw in source.items():
            key = FIELDS[name]
            value = _value(key, raw, path.name)
            if value is not None and said.setdefault(key, value) != value:
                raise InputError(
                    f"{path.name}: {key} is given twice and differently ({said[key]} and {value}); correct one of them",
                    "contradiction",
                )
    return Declared(**said)


def recording(array: np.ndarray, said: Declared, path: Path, source: str, *, counts: bool) -> Recording:
    """Leads of a bare array in millivolts.

    Parameters
    ----------
    array
        (leads, samples), or (samples, leads), which is turned and flagged ``transposed``. Any number type.
    said
        From :func:`declared`.
    path
        For messages.
    source
        The format.
    counts
        Whether the values are integers, whose unit must be declared.
    """
    names = LEADS if said.leads is None else said.leads
    if array.ndim != 2 or len(names) not in array.shape:
        raise InputError(
            f"{path.name}: expected {len(names)} x samples, got {array.shape}; store one row per lead", "wrong_shape"
        )
    flags = set()
    if array.shape[0] != len(names):
        array = array.T
        flags.add("transposed")
    if said.leads is None:
        flags.add("assumed_leads")
    if said.rate is None:
        flags.add("assumed_rate")
    rate = SAMPLING_RATE if said.rate is None else said.rate
    check_length(array.shape[1], float(rate), path.name)
    chosen = choose_leads(names, path.name)
    signal = array[list(chosen.values())].astype(np.float64)
    units = said.units
    if units is None:
        units = _units_of(signal, float(rate), path.name, counts)
        flags.add("assumed_units")
    signal *= to_millivolts(units, "the signal", path.name)
    return Recording(
        dict(zip(chosen, signal, strict=True)),
        float(rate),
        source,
        age=said.age,
        sex=known_sex(said.sex),
        flags=tuple(sorted(flags)),
    )


def _units_of(signal: np.ndarray, rate: float, file: str, counts: bool) -> str:
    """The unit that makes this an ECG, where the values leave no doubt."""
    ask = f'say which, for example {{"units": "uV"}} in {file}.json'
    if counts:
        raise InputError(f"{file}: integers without a unit: converter counts, mV and µV look alike; {ask}", "no_units")
    window = min(signal.shape[1], round(rate))
    whole = np.where(np.isfinite(signal), signal, 0.0)[:, : signal.shape[1] // max(window, 1) * window]
    typical = float(np.median(np.ptp(whole.reshape(len(signal), -1, max(window, 1)), axis=2))) if whole.size else 0.0
    low, high = TYPICAL_MV
    if typical == 0.0 or low <= typical <= high:
        return "mV"
    if 1000.0 * low <= typical <= 1000.0 * high:
        return "uV"
    raise InputError(
        f"{file}: no unit is given, and {typical:.3g} peak to peak is neither an ECG in mV nor in µV; {ask}", "no_units"
    )


def _sidecar(path: Path) -> dict[str, Any]:
    other = path.with_name(path.name + ".json")
    try:
        data = read_bytes(other, MAX_SIDECAR_BYTES)
    except InputError as error:
        if error.reason == "missing_file":
            return {}
        raise
    try:
        content = parse_json(data)
    except ValueError:
        raise InputError(
            f"{other.name}: not JSON with finite numbers; write it as in the documentation", "bad_sidecar"
        ) from None
    if not isinstance(content, dict) or not content.keys() <= FIELDS.keys():
        raise InputError(
            f"{other.name}: must be an object with some of {', '.join(SYNONYMS)} and nothing else", "bad_sidecar"
        )
    return content


def _value(key: str, raw: Any, file: str) -> Any:
    """One declared value, checked."""
    if key == "leads" and isinstance(raw, (list, tuple)) and all(isinstance(name, str) for name in raw):
        return tuple(raw)
    if key in ("units", "sex") and isinstance(raw, str):
        if key == "units":
            to_millivolts(raw, "the signal", file)
            return raw.strip().lower().replace("µ", "u").replace("μ", "u")
        return raw.strip().lower()
    if key == "age":
        return known_age(raw) if isinstance(raw, (int, float, str)) else None
    if key == "rate" and isinstance(raw, (int, float)) and not isinstance(raw, bool):
        return check_rate(float(raw), file, "declared rate")
    raise InputError(f"{file}: {key} is declared as {printable(str(raw))}, which is no such thing", "bad_sidecar")
