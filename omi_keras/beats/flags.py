"""Quality flags in words."""

from __future__ import annotations

_WORDS = {
    "flat": "lead {} is flat",
    "clipped": "lead {} is cut off by the recorder",
    "noisy": "lead {} is noisy",
    "lead_off": "lead {} was off",
    "einthoven": "limb leads contradict each other by {}",
    "lead_reversal": "arm electrodes may be exchanged",
    "few_beats": "fewer than 5 beats in the median",
    "excluded_beats": "over 30 % of the beats left out",
    "paced": "paced",
    "mains": "mains of {} Hz removed",
    "dropout": "nothing recorded for {}",
    "implausible_rate_or_width": "rate and QRS width do not fit: is the sampling rate right?",
    "derived_leads": "limb leads computed from I and II",
    "checksum": "checksum of the file is wrong",
    "several_rhythms": "the file holds several rhythms, one was taken",
    "transposed": "rows and columns were exchanged",
    "assumed_units": "unit assumed from the amplitude",
    "assumed_rate": "sampling rate assumed from the length",
    "assumed_leads": "order of leads assumed",
}
# Flags of one kind are told together.
_MANY = {"flat": "leads {} are flat", "clipped": "leads {} are cut off by the recorder", "noisy": "leads {} are noisy"}
_MANY |= {"lead_off": "leads {} were off"}


def in_words(flags: tuple[str, ...]) -> list[str]:
    """Quality flags as a person says them, in their order; those of several leads in one. Unknown flags as they are."""
    about: dict[str, list[str]] = {}
    for flag in flags:
        kind, _, detail = flag.partition(":")
        about.setdefault(kind, []).append(detail)
    return [_said(kind, details) for kind, details in about.items()]


def _said(kind: str, details: list[str]) -> str:
    if kind not in _WORDS:
        return ", ".join(f"{kind}:{detail}" if detail else kind for detail in details)
    details = [detail.replace("uV", " µV") if detail.endswith("uV") else detail for detail in details]
    words = _MANY.get(kind, _WORDS[kind]) if len(details) > 1 else _WORDS[kind]
    return words.format(", ".join(details))
