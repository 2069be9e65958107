"""File → Record: the only place that knows file formats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omi_keras.signal.errors import InputError
from omi_keras.signal.filters import resample
from omi_keras.signal.record import LEADS, SAMPLING_RATE, Record, Sex
from omi_keras.signal.wfdb_format import read_header, read_signals

INDEPENDENT = ("I", "II")
DERIVABLE = ("III", "aVR", "aVL", "aVF")
MAX_AGE = 120.0

# To millivolts; keys in lower case, with both micro signs.
UNITS = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3}

_LEAD_NAMES = {
    **{lead.upper(): lead for lead in LEADS},
    **{f"C{k}": f"V{k}" for k in range(1, 7)},
}
_LEAD_PREFIX = re.compile(r"^(MDC_ECG_LEAD_|(ECG[ _]?)?LEAD[ _]?|ECG[ _])")
_AGE = re.compile(r"<?\bage\b>?\s*[:=]?\s*(\d{1,3}(?:\.\d*)?)", re.IGNORECASE)
_SEX = re.compile(r"<?\bsex\b>?\s*[:=]?\s*(female|male|f|m)\b", re.IGNORECASE)


@dataclass(frozen=True)
class _Leads:
    """What a format's reader hands over: named leads in millivolts at their own rate, and the patient."""

    names: tuple[str, ...]
    signal: np.ndarray
    rate: float
    age: float | None
    sex: Sex | None
    source: str


def read_record(
    path: str | Path,
    *,
    ecg_id: str | None = None,
    patient_id: str = "",
    age: float | None = None,
    sex: Sex | None = None,
) -> Record:
    """Read one recording.

    Millivolts, 500 Hz (zero-phase resampling) and the twelve leads in their order come out, whatever the
    units, rate and lead order of the file; limb leads that are not stored are computed from I and II. Names
    of patients are never read.

    Parameters
    ----------
    path
        A WFDB header (``.hea``), with or without its extension; signal files lie beside it.
    ecg_id
        Identifier of the recording; the file's name without extension when not given.
    patient_id
        Identifier of the patient.
    age, sex
        Years; ``"female"`` or ``"male"``. When not given, those of the file, if it has them.

    Returns
    -------
    Record
        With the flag ``derived_leads`` where limb leads were computed. Whether the signal is fit to be judged
        is decided where it is judged, by :func:`omi_keras.signal.median_beat.median_beat`.

    Raises
    ------
    InputError
        When the file cannot be read: one sentence that names it.
    """
    file = _locate(Path(path))
    leads = _read_wfdb(file)
    signal, flags = _twelve_leads(leads, file.name)
    signal = resample(signal, leads.rate, SAMPLING_RATE).astype(np.float32)
    return Record(
        signal,
        ecg_id=file.stem if ecg_id is None else ecg_id,
        patient_id=patient_id,
        age=leads.age if age is None else age,
        sex=leads.sex if sex is None else sex,
        source=leads.source,
        flags=tuple(sorted(flags)),
    )


def _locate(path: Path) -> Path:
    """The header that a path means. The one place where a format is chosen."""
    if "\0" in str(path):
        raise InputError("file name contains a zero byte; check the path", "missing_file")
    if path.suffix.lower() == ".hea":
        return path
    header = path.with_name(path.name + ".hea") if path.name else path
    try:
        if header.is_file():
            return header
        if path.is_dir():
            raise InputError(f"{path.name or path}: is a directory; name the .hea file in it", "not_a_file")
        exists = path.exists()
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror}); check the path", "unreadable") from None
    if exists:
        raise InputError(
            f"{path.name}: not a WFDB header (.hea); convert the recording to WFDB and name its header",
            "not_wfdb",
        )
    raise InputError(f"{path.name}: file not found, and neither is {header.name}; check the path", "missing_file")


def _read_wfdb(path: Path) -> _Leads:
    header = read_header(path)
    names = [_lead_name(line.name) for line in header.signals]
    wanted = [k for k, name in enumerate(names) if name is not None]
    factors = []
    for k in wanted:
        line = header.signals[k]
        if not 0 < line.gain < np.inf:
            raise InputError(
                f"{path.name}: lead {names[k]} has gain {line.gain:g}, uncalibrated: amplitudes unknown; "
                "set the gain (adu/mV) in the header",
                "uncalibrated",
            )
        factor = UNITS.get(line.units.lower())
        if factor is None:
            raise InputError(
                f"{path.name}: lead {names[k]} has unit '{line.units[:20]}', expected mV, µV or V; correct the header",
                "bad_units",
            )
        factors.append(factor)
    used = tuple(name for name in names if name is not None)
    _require_leads(used, [line.name for line in header.signals], path.name)
    signal = read_signals(header, wanted)
    # In place, and not for mV: the samples stay what the header's arithmetic gives, to the last bit.
    for row, factor in zip(signal, factors, strict=True):
        if factor != 1.0:
            row *= factor
    comments = "\n".join(header.comments)
    return _Leads(used, signal, header.rate, _age(comments), _sex(comments), "WFDB")


def _lead_name(text: str) -> str | None:
    """Our name of a lead, None for any other channel. ``-aVR`` is not aVR."""
    return _LEAD_NAMES.get(_LEAD_PREFIX.sub("", text.strip().upper()).strip())


def _require_leads(used: tuple[str, ...], given: list[str], name: str) -> None:
    twice = sorted({lead for lead in used if used.count(lead) > 1})
    if twice:
        raise InputError(f"{name}: lead {', '.join(twice)} appears twice; keep one of them", "duplicate_lead")
    missing = [lead for lead in LEADS if lead not in used and lead not in DERIVABLE]
    if missing:
        word = "lead" if len(missing) == 1 else "leads"
        have = ", ".join(text or "(no name)" for text in given[:20])
        raise InputError(
            f"{name}: missing {word} {', '.join(missing)} (the file has {have}); I, II and V1 to V6 are all needed",
            "missing_lead",
        )


def _twelve_leads(leads: _Leads, name: str) -> tuple[np.ndarray, set[str]]:
    """(12, samples) float64 in our order; limb leads that are not there from I and II."""
    row = dict(zip(leads.names, leads.signal, strict=True))
    holes = {lead: int((~np.isfinite(row[lead])).sum()) for lead in LEADS if lead in row}
    if any(holes.values()):
        counts = ", ".join(f"{lead}: {count} missing samples" for lead, count in holes.items() if count)
        raise InputError(f"{name}: {counts}; record again or cut out a complete stretch", "missing_samples")
    one, two = (row[lead] for lead in INDEPENDENT)
    # Einthoven and Goldberger.
    derived = {
        "III": two - one,
        "aVR": -(one + two) / 2,
        "aVL": one - two / 2,
        "aVF": two - one / 2,
    }
    flags = {"derived_leads"} if any(lead not in row for lead in DERIVABLE) else set()
    return np.stack([row[lead] if lead in row else derived[lead] for lead in LEADS]), flags


def _age(comments: str) -> float | None:
    match = _AGE.search(comments)
    # PTB-XL writes 300 for "over 89", others -1 or NaN: not an age.
    return float(match[1]) if match and 0 <= float(match[1]) <= MAX_AGE else None


def _sex(comments: str) -> Sex | None:
    match = _SEX.search(comments)
    if match is None:
        return None
    return "female" if match[1].lower().startswith("f") else "male"
