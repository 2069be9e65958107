"""Bare arrays: what their numbers mean must be said beside them, for the numbers do not.

Rate, units and lead order come from fields of the file (NPZ, MATLAB, CSV header), from ``<file>.json`` beside it
(``{"rate": 500, "units": "uV", "leads": ["I", "II", ...]}``) or from the end of its name (``…_uV.npy``); two that
contradict each other are an error. What nobody says is assumed, with a flag, only where the ECG leaves no doubt (see
:mod:`~omi_keras.recordings.formats.plausible`), and asked for everywhere else. Integers are converter counts: their
unit is never assumed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats.files import read_bytes
from omi_keras.recordings.formats.plausible import USUAL_SECONDS, assumed_rate, assumed_units, check_order
from omi_keras.recordings.formats.recording import (
    MAX_RATE,
    Recording,
    check_length,
    check_rate,
    choose_leads,
    known_age,
    known_sex,
    printable,
    to_millivolts,
)
from omi_keras.recordings.numbers import parse_json
from omi_keras.recordings.record import LEADS

SYNONYMS = {
    "rate": (
        "rate", "fs", "freq", "frequency", "hz", "sfreq", "sampling_rate", "sampling_frequency", "sampling_freq",
        "sample_rate", "samplingrate", "samplerate",
    ),
    "units": ("units", "unit"),
    "leads": ("leads", "lead_names", "sig_name"),
    "age": ("age",),
    "sex": ("sex",),
}  # fmt: skip
FIELDS = {name: key for key, names in SYNONYMS.items() for name in names}
# What would have to be done to the numbers first, and what it must be that nothing is left to do.
SCALES = {
    **dict.fromkeys(("gain", "gains", "adc_gain", "resolution", "lsb", "scale", "scale_factor", "adu_per_mv"), 1.0),
    **dict.fromkeys(("baseline", "adc_zero", "offset"), 0.0),
}
MAX_SIDECAR_BYTES = 1 << 16
# Besides ``<file>.json``.
ELSEWHERE = {
    "NPZ": {"rate": "or in a field rate", "units": "or in a field units", "leads": "or in a field leads"},
    "MATLAB": {"rate": "or in a variable fs", "units": "or in a variable units", "leads": "or in a variable leads"},
    "CSV": {"rate": "or add a column time_ms", "units": "or name its columns I_mV, II_mV ..."},
    "NPY": {"units": "or end its name with _mV or _uV"},
}
EXAMPLES = {"rate": '{"rate": 250}', "units": '{"units": "uV"}', "leads": '{"leads": ["I", "II", ...]}'}

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
            key = FIELDS[name.lower()]
            value = _value(key, raw, path.name)
            if value is not None and said.setdefault(key, value) != value:
                raise InputError(
                    f"{path.name}: {key} is given twice and differently ({said[key]} and {value}); correct one of them",
                    "contradiction",
                )
    return Declared(**said)


def check_scales(fields: Mapping[str, Any], file: str) -> None:
    """Refuse numbers that a gain, a resolution or a baseline beside them says are not yet a voltage."""
    for name, value in fields.items():
        nothing = SCALES.get(name.lower())
        values = value if isinstance(value, list) else [value]
        if nothing is not None and not all(isinstance(one, (int, float)) and one == nothing for one in values):
            raise InputError(
                f"{file}: its {printable(name)} is not applied here; store the ECG in mV or µV and leave it out",
                "uncalibrated",
            )


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
    check_length(array.shape[1], MAX_RATE if said.rate is None else said.rate, path.name)
    chosen = choose_leads(names, path.name)
    signal = array[list(chosen.values())].astype(np.float64)
    units = said.units
    if units is None:
        window = array.shape[1] / USUAL_SECONDS if said.rate is None else said.rate
        units = assumed_units(signal, window, path.name, _ask("units", path, source), counts=counts)
        flags.add("assumed_units")
    signal *= to_millivolts(units, "the signal", path.name)
    leads = dict(zip(chosen, signal, strict=True))
    if said.leads is None:
        check_order(leads, path.name, _ask("leads", path, source))
        flags.add("assumed_leads")
    rate = said.rate
    if rate is None:
        rate = assumed_rate(leads, path.name, _ask("rate", path, source))
        flags.add("assumed_rate")
    return Recording(leads, float(rate), source, age=said.age, sex=known_sex(said.sex), flags=tuple(sorted(flags)))


def _ask(key: str, path: Path, source: str) -> str:
    """How to say what nobody said."""
    also = ELSEWHERE.get(source, {}).get(key)
    return f"say which in {path.name}.json, for example {EXAMPLES[key]}" + (f", {also}" if also else "")


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
    if not isinstance(content, dict) or not {name.lower() for name in content} <= FIELDS.keys():
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
