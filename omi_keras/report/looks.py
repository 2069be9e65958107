"""The ECGs to look at first, as pictures: where a model was most wrong, or the label is, in all and in subgroups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from omi_keras.drawing.ecg_picture_sheet import Picture, ecg_picture
from omi_keras.evaluation.comparison import FoldTest
from omi_keras.evaluation.subgroups import subgroup_parts
from omi_keras.recordings.errors import InputError
from omi_keras.report.at_hand import AtHand, recording_at_hand
from omi_keras.report.wrongest import errors, facts_in_words

if TYPE_CHECKING:
    from omi_keras.data.dataset import Dataset

PICTURES = 10
# Of each error in a subgroup, and how many pictures that adds at most to those of all ECGs together.
IN_SUBGROUP, MORE = 3, 20
MOST_NAMED = 5

Explain = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Look:
    """An ECG to look at.

    Attributes
    ----------
    number
        Its place among those on the page.
    error
        ``missed OMI`` or ``false alarm``.
    facts
        What the dataset says of it.
    home
        The subgroup under which it is drawn; empty: among the worst of all ECGs.
    picture
        None where a subgroup has more than are drawn.
    recording
        Where it comes from; None where no folder of recordings was given, or there is no picture.
    """

    number: int
    ecg_id: str
    error: str
    probability: float
    facts: str
    home: str = ""
    picture: Picture | None = None
    recording: AtHand | None = None


@dataclass(frozen=True)
class Subgroup:
    """Part of the ECGs: how many errors of each kind there are, and the worst."""

    name: str
    counts: Mapping[str, int]
    worst: list[Look]


@dataclass(frozen=True)
class Looks:
    """What a page shows of them.

    Attributes
    ----------
    pictures
        How many of each error were asked for.
    worst
        Error → the worst of all ECGs, the worst first.
    subgroups
        Those in which there is an error.
    records
        The folder of the recordings.
    explained
        Whether the pictures show what the model looks at.
    """

    pictures: int
    worst: Mapping[str, list[Look]]
    subgroups: list[Subgroup]
    records: Path | None
    explained: bool

    @property
    def drawn(self) -> list[Look]:
        """Each ECG that has a picture, once, in the order of the page."""
        lists = (*self.worst.values(), *(part.worst for part in self.subgroups))
        every = {look.number: look for found in lists for look in found}
        return [look for look in every.values() if look.picture is not None]

    @property
    def notes(self) -> list[str]:
        """What the pictures lack, and why."""
        if self.records is None:
            return []
        told, drawn = [], self.drawn
        shown = sum(look.recording is not None and look.recording.record is not None for look in drawn)
        if drawn:
            told.append(f"{shown} of {len(drawn)} ECGs are drawn with their recording in {self.records}.")
        lost = [look for look in drawn if look.recording is not None and look.recording.record is None]
        told += [f"Not shown: {look.recording.why}." for look in lost[:MOST_NAMED] if look.recording is not None]
        return told + ([f"Nor are the recordings of {len(lost) - MOST_NAMED} more."] if len(lost) > MOST_NAMED else [])

    @property
    def content(self) -> dict[str, Any]:
        """What ``report.json`` says of them."""
        ecgs = [
            {
                "ecg_id": look.ecg_id,
                "error": look.error,
                "probability": look.probability,
                "recording": look.recording is not None and look.recording.record is not None,
            }
            for look in self.drawn
        ]
        records = None if self.records is None else str(self.records)
        return {"pictures": self.pictures, "records": records, "ecgs": ecgs, "notes": self.notes}


def check_pictures(pictures: int, records: Path | None) -> None:
    """Raise InputError when there cannot be so many pictures, or ``records`` is no folder."""
    if isinstance(pictures, bool) or not isinstance(pictures, int) or pictures < 0:
        raise InputError(f"pictures: expected a number from 0, received {pictures!r}", "bad_value")
    if records is not None and not records.is_dir():
        raise InputError(f"{records} is not a folder of recordings", "not_found")


def first_looks(
    test: FoldTest,
    groups: Mapping[str, np.ndarray],
    dataset: Dataset,
    pictures: int,
    *,
    records: Path | None = None,
    bands: Mapping[str, float | None] | None = None,
    explain: Explain | None = None,
    model_simulated: bool = False,
) -> Looks:
    """Draw the ECGs on which a model was most wrong, each once.

    Parameters
    ----------
    test
        ECGs of ``dataset`` as the model judged them.
    groups
        Subgroups of these: name → (n,) text, empty where not known.
    pictures
        How many missed OMI and how many false alarms of all ECGs are drawn; of every subgroup up to
        :data:`IN_SUBGROUP` of each, until these are :data:`MORE` pictures besides.
    records
        Folder of the recordings, named as their ECGs.
    explain
        What the model looks at (:func:`omi_keras.saliency.explain.explainer`).
    """
    every = errors(test)
    worst = {error: rows[:pictures] for error, rows in every.items()}
    by_group = {name: [values] for name, values in groups.items()}
    parts = [
        (f"{group}: {value}", {error: rows[inside[rows]] for error, rows in every.items()})
        for group, value, inside in subgroup_parts(by_group, test.omi.size)[1:]
    ]
    most = min(IN_SUBGROUP, pictures)
    main = [int(row) for rows in worst.values() for row in rows]
    # Of every subgroup the worst before the second of any.
    others = [
        int(rows[rank]) for rank in range(most) for _, part in parts for rows in part.values() if rank < len(rows)
    ]
    wanted = list(dict.fromkeys([*main, *others]))
    drawn = set(wanted[: len(main) + MORE])
    error_of = {int(row): error for error, rows in every.items() for row in rows}
    row_of = dict(zip(dataset.ecgs["ecg_id"], range(len(dataset.ecgs)), strict=True))
    home = {
        int(row): name for name, part in reversed(parts) for rows in part.values() for row in rows[:most]
    } | dict.fromkeys(main, "")
    looks = {}
    for number, place in enumerate(wanted):
        row = row_of[str(test.ecg_id[place])]
        facts: Any = dataset.ecgs.iloc[row]
        probability = float(test.probability[place])
        look: dict[str, Any] = {"ecg_id": str(test.ecg_id[place]), "error": error_of[place], "home": home[place]}
        said = facts_in_words(dataset.ecgs.iloc[[row]])[0]
        if place in drawn:
            beat = np.array(dataset.beats[row])
            look["recording"] = found = None if records is None else recording_at_hand(records, look["ecg_id"], beat)
            how: dict[str, Any] = {"threshold": test.threshold, "bands": bands}
            how["model_simulated"] = model_simulated and facts["simulated"] != "true"  # of both, the page says so
            if explain is not None:
                how["saliency"], how["shares"] = explain(beat)
            look["picture"] = _picture(beat, facts, look["error"], said, found, probability=probability, **how)
        looks[place] = Look(number, probability=probability, facts=", ".join(said), **look)
    return Looks(
        pictures,
        {error: [looks[int(row)] for row in rows] for error, rows in worst.items()},
        [
            Subgroup(
                name,
                {error: len(rows) for error, rows in part.items()},
                [looks[int(row)] for rows in part.values() for row in rows[:most]],
            )
            for name, part in parts
            if any(map(len, part.values()))
        ],
        records,
        explain is not None,
    )


def _picture(beat: np.ndarray, facts: Any, error: str, said: list[str], found: AtHand | None, **judged: Any) -> Picture:
    record = None if found is None else found.record
    sex = facts["sex"] if facts["sex"] in ("female", "male") else None
    rate = pd.to_numeric(facts.get("heart_rate", ""), errors="coerce")
    flags = str(facts.get("flags", "")).split()
    about = [text for text in said if not text.startswith("flags ")]
    return ecg_picture(
        record,
        beat,
        title=str(facts["ecg_id"]),
        rate=float(rate),
        age=float(facts["age"]),
        sex=sex,
        quality=flags,
        simulated=facts["simulated"] == "true",
        facts=[error, "median beat only" if record is None else f"{record.seconds:.1f} s", *about],
        **judged,
    )
