"""When two identifiers are the same person, and when one is nobody's."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

# As they are when case, spaces and punctuation are left out.
PLACEHOLDERS = frozenset({
    "unknown", "unk", "ukn", "unbekannt", "inconnu", "desconocido", "sconosciuto", "onbekend", "okänd", "ukendt",
    "ukjent", "tuntematon", "desconhecido", "未知", "不明", "na", "nan", "nat", "none", "null", "nil", "missing",
    "empty", "blank", "undefined", "unspecified", "unnamed", "unassigned", "notavailable", "notapplicable",
    "notknown", "notgiven", "noid", "nopatient", "nopatientid", "noname", "anonymous", "anonymus", "anonym",
    "anonyme", "anon", "anonymised", "anonymized", "deidentified", "redacted", "removed", "hidden", "masked",
    "confidential", "dummy", "test", "tester", "testing", "testpatient", "demo", "placeholder", "default", "tbd",
    "todo", "patient", "patientid", "patientname", "subject", "person", "pid", "id", "value",
})  # fmt: skip
# Numbers that programs write for nothing, but that may be a patient's.
NUMBERS = re.compile(r"([-+]?0+|[-+]?1|-?9{2,}|1234|12345|123456)([.,]0+)?")
# A number, or any identifier, is suspect when it has so many ECGs, and so many times those of any other patient.
MANY, TIMES = 10, 5
MOST_NAMED = 5

_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def one_form(text: str) -> str:
    """An identifier as it is compared: composed (NFC), without what cannot be seen, spaces single and inside only."""
    return " ".join(text.split()) if text.isascii() and text.isprintable() else _one_form(text)


@lru_cache(maxsize=1 << 16)
def _one_form(text: str) -> str:
    visible = "".join(c for c in text if c.isspace() or not _invisible(c))
    return " ".join(unicodedata.normalize("NFC", visible).split())


def strip_ends(text: str) -> str:
    """A file's name without spaces and invisible characters around it; those inside belong to it."""
    if text.isascii():
        return text.strip()
    start, end = 0, len(text)
    while start < end and (text[start].isspace() or _invisible(text[start])):
        start += 1
    while end > start and (text[end - 1].isspace() or _invisible(text[end - 1])):
        end -= 1
    return text[start:end]


def _invisible(c: str) -> bool:
    return unicodedata.category(c) in ("Cc", "Cf") or c in _FILLERS or "\ufe00" <= c <= "\ufe0f"


def nobody(patient_id: Sequence[str]) -> Counter[str]:
    """Placeholders among patients' identifiers ("unknown", "n/a", "-" ...) and how many ECGs each has.

    A single ECG may have one: it is a patient of its own. Numbers (0, 1, 999) are placeholders only where they have
    far more ECGs than any patient.
    """
    count = Counter(patient_id)
    words = Counter({name: n for name, n in count.items() if _is_word(name)})
    if words.total() < 2:
        words.clear()
    numbers = {name: n for name, n in count.items() if NUMBERS.fullmatch(name)}
    most = max((n for name, n in count.items() if name not in numbers and name not in words), default=0)
    return words + Counter({name: n for name, n in numbers.items() if n >= max(MANY, TIMES * most)})


def _is_word(name: str) -> bool:
    core = re.sub(r"[\W_]+", "", name.casefold())
    return core == "" or core in PLACEHOLDERS or re.fullmatch("x{2,}", core) is not None


def suspicions(patient_id: Sequence[str], site: Sequence[str]) -> list[str]:
    """What a person should look at, one sentence each: spellings of one name, one patient with most of the ECGs."""
    found = []
    for what, names in (("patients", patient_id), ("sites", site)):
        alike = _alike(names)
        if alike:
            more = f"; and {len(alike) - MOST_NAMED} more" if len(alike) > MOST_NAMED else ""
            found.append(
                f"{'; '.join(alike[:MOST_NAMED])}{more}: {what} whose names differ only in case or in zeros are taken "
                "as different; if they are the same, give them one name"
            )
    first = Counter(patient_id).most_common(2)
    if len(first) == 2 and first[0][1] >= max(MANY, TIMES * first[1][1]):
        (name, ecgs), (_, second) = first
        found.append(
            f"patient {name} has {ecgs} of {len(patient_id)} ECGs, no other more than {second}; if that is a "
            "placeholder, give each patient an id"
        )
    return found


def _alike(names: Iterable[str]) -> list[str]:
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        key = unicodedata.normalize("NFKC", name).casefold()
        key = re.sub(r"^(\d+)[.,]0+$", r"\1", key)
        spellings[re.sub(r"^0+(?=\d+$)", "", key)].append(name)
    return [" and ".join(group[:3]) for group in spellings.values() if len(group) > 1]
