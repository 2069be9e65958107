"""A dataset's recordings as thumbnails: what a person looks at before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from omi_keras.beats.flags import in_words
from omi_keras.data.artifacts import write_bytes
from omi_keras.data.prepare import OVERVIEW
from omi_keras.data.read_beats import locate
from omi_keras.drawing.ecg_picture_thumbnail import thumbnail
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.report.page import render

if TYPE_CHECKING:
    from omi_keras.drawing.ecg_picture_sheet import Picture

RANDOM, MOST = 24, 60


@dataclass(frozen=True)
class Shown:
    """One recording on the page: its name, what is said of it, and its picture where it can be read."""

    name: str
    said: str
    picture: Picture | None


def write_overview(folder: Path, records: Path, labels: pd.DataFrame, info: dict[str, Any]) -> None:
    """Write ``overview.html`` into a dataset that was just made of recordings.

    It shows 24 of its ECGs at random (always the same), those with flags and those that were rejected, 60 of each at
    most, rare flags and reasons first.

    Parameters
    ----------
    folder
        The dataset.
    records
        The folder of its recordings, which are read again.
    labels
        With ``record`` and ``ecg_id``.
    info
        Content of ``dataset.json``.
    """
    ecgs, rejected = (_table(folder / name) for name in ("ecgs.csv", "rejected.csv"))
    record = dict(zip(labels["ecg_id"], labels["record"], strict=True))
    flags = dict(zip(ecgs["ecg_id"], ecgs["flags"].str.split(), strict=True))
    reason = dict(zip(rejected["record"], rejected["reason"], strict=True))
    said = dict(zip(rejected["record"], rejected["message"], strict=True))

    def ecg(name: str) -> Shown:
        return _shown(records, record[name], name, "; ".join(in_words(tuple(flags[name]))))

    def refused(name: str) -> Shown:
        return _shown(records, name, name, said[name].removeprefix(f"{name}: "))

    some = np.random.default_rng(0).permutation(len(ecgs))[:RANDOM]
    flagged = {name: [flag.partition(":")[0] for flag in found] for name, found in flags.items() if found}
    sections = [
        (_heading("At random", len(some), len(ecgs)), [ecg(ecgs["ecg_id"].iloc[k]) for k in np.sort(some)]),
        (_heading("With flags", min(len(flagged), MOST), len(flagged)), [ecg(name) for name in rare_first(flagged)]),
        (
            _heading("Rejected", min(len(reason), MOST), len(reason)),
            [refused(name) for name in rare_first({name: [why] for name, why in reason.items()})],
        ),
    ]
    page = render("overview.html.j2", title="Recordings of the dataset", sections=sections, info=info, most=MOST)
    write_bytes(folder / OVERVIEW, page.encode())


def rare_first(kinds: Mapping[str, Sequence[str]]) -> list[str]:
    """Names by how rare the rarest of their kinds is, in their order otherwise; at most :data:`MOST`."""
    count = Counter(kind for of_one in kinds.values() for kind in set(of_one))
    key: Callable[[str], int] = lambda name: min(count[kind] for kind in kinds[name])  # noqa: E731
    return sorted(kinds, key=key)[:MOST]


def _heading(what: str, shown: int, all_of_them: int) -> str:
    return f"{what}: {shown} of {all_of_them}" if shown < all_of_them else f"{what}: {all_of_them}"


def _shown(records: Path, record: str, name: str, said: str) -> Shown:
    try:
        return Shown(name, said, thumbnail(read_record(locate(records, record), ecg_id=name)))
    except (InputError, OSError):
        return Shown(name, said or "cannot be read any more", None)


def _table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
