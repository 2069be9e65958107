"""Judged ECGs → one page that opens offline: a list, and the picture of each. No package but Python's own.

Bundles are judged where there is no Jinja, so the templates of this page have ``$names`` only. Pictures go to the disk
as they come: memory does not grow with them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

from omi_keras.beats.flags import in_words
from omi_keras.data.one_file import growing_file, refuse_other_kind
from omi_keras.drawing.scene_svg import text
from omi_keras.report.policy import script_sha256

if TYPE_CHECKING:
    from omi_keras.drawing.ecg_picture_sheet import Picture

Add = Callable[[Mapping[str, Any], "Picture | None"], None]
_KIND = "page of predict"
_RESEARCH = "Research software, not a medical device."
_SIMULATED = (
    "SIMULATED: the model was trained on ECGs that a program made. Its probabilities say nothing about patients."
)


@dataclass(frozen=True)
class _Entry:
    """An ECG of the list, and where its sheet lies among those that were written."""

    number: int
    row: Mapping[str, Any]
    drawn: bool
    start: int
    length: int

    @property
    def name(self) -> str:
        return str(self.row.get("ecg_id") or Path(str(self.row["file"])).name)

    @property
    def probability(self) -> float:
        return float(self.row.get("probability", -math.inf))


@contextmanager
def new_page(
    path: Path | None, *, force: bool = False, simulated: bool = False, note: str = "", title: str = "Judged ECGs"
) -> Iterator[Add]:
    """A function that adds an ECG: a row as ``predict --json`` has it, and its picture if there is one.

    The page is there when the block ends without an error, sorted by probability. Without ``path``, nothing is written.

    Parameters
    ----------
    simulated
        Whether the model was trained on simulated ECGs.
    note
        A sentence about all of them.

    Raises
    ------
    InputError
        When ``path`` exists, unless ``force`` and it is such a page; when its folder is not there.
    """
    if path is None:
        yield lambda row, picture: None
        return
    entries: list[_Entry] = []
    # Beside the page: what is private there stays there.
    with growing_file(path, _first(), _KIND, force=force) as out, TemporaryFile(dir=path.parent) as sheets:

        def add(row: Mapping[str, Any], picture: Picture | None) -> None:
            content = _sheet(row, picture).encode()
            entries.append(_Entry(len(entries), row, picture is not None, sheets.tell(), len(content)))
            sheets.write(content)

        yield add
        _write(out, entries, sheets, title, note, simulated)


def refuse_existing_page(path: Path, force: bool) -> None:
    """Raise InputError when ``path`` exists and may not be replaced: ``force`` replaces such a page only."""
    refuse_other_kind(path, _first(), _KIND, force)


def _sheet(row: Mapping[str, Any], picture: Picture | None) -> str:
    name = str(row.get("ecg_id") or Path(str(row["file"])).name)
    parts = []
    if "error" in row:
        parts.append(_filled(_template("ecgs_refused.html"), sentence=str(row["error"])))
    if picture is not None:
        parts.append(_filled(_template("ecgs_picture.html"), {"picture": picture.svg()}, name=name))
    return "".join([*parts, _filled(_template("ecgs_file.html"), file=str(row["file"]))])


def _write(out: IO[bytes], entries: list[_Entry], sheets: IO[bytes], title: str, note: str, simulated: bool) -> None:
    ranked = sorted(entries, key=lambda entry: -entry.probability)
    names = Counter(entry.name for entry in entries)
    script = _template("ecgs.js")
    ours = {
        "items": "".join(_item(entry, names[entry.name] > 1, entry is ranked[0]) for entry in ranked),
        "style": _template("style.css") + _template("pictures.css") + _template("ecgs.css"),
        "banner": _filled(_template("ecgs_banner.html"), text=_SIMULATED) if simulated else "",
        "script": script,
        "sha256": script_sha256(script),
        "first": f"o{ranked[0].number}" if ranked else "",
    }
    said = {"title": title, "summary": _summary(entries, note)}
    # Taken apart before it is filled: a file may have any name.
    before, after = _template("ecgs.html").removeprefix(_first().decode()).split("$sheets")
    out.write(_filled(before, ours, **said).encode())
    for entry in ranked:
        sheets.seek(entry.start)
        content = sheets.read(entry.length).decode()
        kind = (" drawn" if entry.drawn else "") + (" shown" if entry is ranked[0] else "")
        of_one = {"content": content, "kind": kind, "number": str(entry.number)}
        out.write(_filled(_template("ecgs_sheet.html"), of_one, name=entry.name).encode())
    out.write(_filled(after, ours, **said).encode())


def _summary(entries: list[_Entry], note: str) -> str:
    refused = sum("error" in entry.row for entry in entries)
    judged = [entry.row for entry in entries if "error" not in entry.row]
    bands = Counter(row.get("band") for row in judged)
    said = [f"{len(judged)} judged", f"{sum(map(bool, (row['decision'] for row in judged)))} OMI"]
    said += [f"{bands[band]} {band}" for band in ("rule-in", "open", "rule-out") if bands[band]]
    said += [f"{refused} could not be judged"] if refused else []
    return " ".join(part for part in (", ".join(said) + ".", note, _RESEARCH) if part)


def _item(entry: _Entry, alike: bool, selected: bool) -> str:
    """An entry of the list; of names that several have, with the file."""
    row = entry.row
    refused = "error" in row
    flags = [str(flag) for flag in row.get("quality") or ()]
    said = [str(row["file"])] if alike else []
    if refused:
        said.append(str(row["error"]).removeprefix(f"{entry.name}: "))
    else:
        said += [str(row["band"])] if row.get("band") else []
        said += in_words(tuple(flags))
    p = "" if refused else f"{entry.probability:.6g}"
    ours = {"kind": "refused" if refused else "omi" if row["decision"] else "quiet"}
    ours["decision"] = "not judged" if refused else f"{entry.probability:.2f} {'OMI' if row['decision'] else 'no OMI'}"
    # What could not be judged has the gravest flag.
    ours |= {"number": str(entry.number), "probability": p, "flags": str(99 if refused else len(flags))}
    ours |= {"share": "0" if refused else f"{100 * entry.probability:.1f}", "selected": str(selected).lower()}
    return _filled(_template("ecgs_item.html"), ours, name=entry.name, said=" · ".join(said))


def _first() -> bytes:
    """How such a page begins, and no other."""
    lines = _template("ecgs.html").splitlines(keepends=True)
    return "".join(lines[:2]).encode()


def _filled(template: str, ours: Mapping[str, str] | None = None, **texts: str) -> str:
    """A template with markup of ours, and with texts that are escaped."""
    escaped = {name: text(content) for name, content in texts.items()}
    return Template(template).substitute(ours or {}, **escaped)


@cache
def _template(name: str) -> str:
    return (files("omi_keras.report") / "templates" / name).read_text(encoding="utf-8")
