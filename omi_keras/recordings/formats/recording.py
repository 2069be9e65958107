"""What a format's reader hands over, and the checks and translations that all formats share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS, DeviceBeat, Sex

MIN_RATE, MAX_RATE = 50.0, 10000.0
MAX_SECONDS = 3600.0
MAX_SAMPLES = 2_000_000
MAX_AGE = 120.0
MAX_LISTED = 24
DERIVABLE = ("III", "aVR", "aVL", "aVF")
INDEPENDENT = frozenset(LEADS) - frozenset(DERIVABLE)

# Codes of the leads in SCP-ECG; in DICOM and MDC the last number of 5.6.3-9-n and 2:n.
LEAD_CODES = {
    1: "I", 2: "II", 3: "V1", 4: "V2", 5: "V3", 6: "V4", 7: "V5", 8: "V6", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF",
}  # fmt: skip

# To millivolts; keys in lower case, with both micro signs.
UNITS = {
    "v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3,
    "volt": 1e3, "millivolt": 1.0, "microvolt": 1e-3,
    "volts": 1e3, "millivolts": 1.0, "microvolts": 1e-3,
}  # fmt: skip

_LEAD_NAMES = {
    **{lead.upper(): lead for lead in LEADS},
    **{f"C{k}": f"V{k}" for k in range(1, 7)},
    # Derivation, as much of Europe and Latin America calls a limb lead.
    "DI": "I",
    "DII": "II",
    "DIII": "III",
    "D1": "I",
    "D2": "II",
    "D3": "III",
}
# ``ECG-II`` and ``V1-REF`` name a lead and its reference; ``ECG -aVR`` and ``V1-V2`` name another voltage.
_LEAD_PREFIX = re.compile(r"^(MDC_ECG_LEAD_|((ECG|EKG)[ _-]?)?LEAD[ _]?|(ECG|EKG)[ _-])")
_REFERENCE = re.compile(r"[-_ ]REF$")


@dataclass(frozen=True)
class Recording:
    """Leads of one file in millivolts at the file's own rate.

    Attributes
    ----------
    leads
        Our name of a lead → its samples, (samples,) float64, mV, NaN where missing; all of one length.
    rate
        Hz.
    source
        The format, for people.
    age, sex
        As the file says, None when it does not.
    device_beat
        The representative beat that the device computed, if the file carries one.
    flags
        What a person should know about how the file was read.
    """

    leads: dict[str, np.ndarray]
    rate: float
    source: str
    age: float | None = None
    sex: Sex | None = None
    device_beat: DeviceBeat | None = None
    flags: tuple[str, ...] = ()


def lead_name(text: str) -> str | None:
    """Our name of a lead, None for any other channel. ``-aVR`` is not aVR."""
    return _LEAD_NAMES.get(_REFERENCE.sub("", _LEAD_PREFIX.sub("", text.strip().upper())).strip())


def choose_leads(given: Sequence[str], file: str) -> dict[str, int]:
    """Which of a file's channels are the twelve leads.

    Parameters
    ----------
    given
        Names of the channels as the file spells them.
    file
        What to call the file in messages.

    Returns
    -------
    dict
        Our name of a lead → position in ``given``, in the file's order.

    Raises
    ------
    InputError
        When a lead is there twice, or one that cannot be computed from the others is not there.
    """
    chosen: dict[str, int] = {}
    for k, text in enumerate(given):
        lead = lead_name(text)
        if lead is None:
            continue
        if lead in chosen:
            raise InputError(f"{file}: lead {lead} appears twice; keep one of them", "duplicate_lead")
        chosen[lead] = k
    missing = [lead for lead in LEADS if lead in INDEPENDENT and lead not in chosen]
    if missing:
        word = "lead" if len(missing) == 1 else "leads"
        raise InputError(
            f"{file}: missing {word} {', '.join(missing)} (the file has {listed(given)}); "
            "I, II and V1 to V6 are all needed",
            "missing_lead",
        )
    return chosen


def to_millivolts(units: str, what: str, file: str) -> float:
    """Factor from ``units`` to mV; ``what`` names the lead in the message."""
    factor = UNITS.get(units.strip().lower())
    if factor is None:
        raise InputError(
            f"{file}: {what} has unit '{printable(units)}', expected mV, µV or V; correct the file", "bad_units"
        )
    return factor


def check_gain(gain: float, what: str, file: str, *, polarity: bool = False) -> float:
    """A gain or resolution that amplitudes can be computed with.

    Parameters
    ----------
    gain
        As the file states it.
    what, file
        For the message.
    polarity
        Whether the format says what a negative one means (EDF+, WFDB): the stored numbers are upside down, and its
        formula turns them back. Elsewhere nobody knows which way up such a lead is.
    """
    if gain < 0 and not polarity:
        raise InputError(
            f"{file}: {what} must be > 0, got {gain:g}: a negative one turns the polarity, and whether the samples "
            "are turned already is unknown; correct it in the file",
            "uncalibrated",
        )
    if not 0 < abs(gain) < np.inf:
        raise InputError(
            f"{file}: {what} must be > 0, got {gain:g}: uncalibrated, amplitudes unknown; correct it in the file",
            "uncalibrated",
        )
    return gain


def check_rate(rate: float, file: str, word: str = "sampling frequency") -> float:
    """A sampling frequency that an ECG can have."""
    if not rate > 0:
        raise InputError(f"{file}: {word} must be > 0, got {rate:g}; correct the header", "bad_rate")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise InputError(
            f"{file}: {word} must be {MIN_RATE:g} to {MAX_RATE:g} Hz, got {rate:g}; correct it", "bad_rate"
        )
    return rate


def check_length(samples: int, rate: float, file: str) -> None:
    """Refuse what is longer than an hour, before memory is spent on it."""
    if samples > min(MAX_SAMPLES, MAX_SECONDS * rate):
        raise InputError(
            f"{file}: {samples} samples at {rate:g} Hz are too long (more than 1 hour or {MAX_SAMPLES} samples); "
            "cut out the 10 s of interest",
            "too_long",
        )


def known_age(years: str | float | None) -> float | None:
    """PTB-XL writes 300 for "over 89", others -1 or NaN: not an age."""
    try:
        age = float(years) if years is not None else np.nan
    except (ValueError, OverflowError):
        return None
    return age if 0 <= age <= MAX_AGE else None


def known_sex(text: str | None) -> Sex | None:
    """``F``, ``female``, ``m`` ...; None for anything else."""
    word = (text or "").strip().lower()
    if word in ("f", "female", "w"):
        return "female"
    return "male" if word in ("m", "male") else None


def listed(names: Sequence[str]) -> str:
    """All names of channels for a message, as long as a sentence can hold them."""
    shown = [printable(text) or "(no name)" for text in names[:MAX_LISTED]]
    more = [f"{len(names) - MAX_LISTED} more"] if len(names) > MAX_LISTED else []
    return ", ".join(shown + more) or "none"


def printable(text: str, length: int = 20) -> str:
    """A short piece of a file for a message: one line, no control characters."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text[: 4 * length].split()))[:length]


def needs(package: str, file: str) -> InputError:
    """The error where an optional package is missing."""
    return InputError(f"{file}: reading it needs {package}; pip install 'omi-keras[formats]'", "needs_package")
