"""A dataset on disk: median beats, one row of facts per ECG, and what was rejected and why.

dataset/
  beats.npy     (n_ecgs, 12, 600) float32 mV, R peak at sample 300, memory-mapped when read
  ecgs.csv      ecg_id, patient_id, omi (0, 1 or empty), site, age, sex, source, simulated, ...
  rejected.csv  record, reason, message
  dataset.json  format version, counts, units, lead order, seed, versions, SHA-256 of the other files
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from omi_keras.data import tables
from omi_keras.data.artifacts import read_json, sha256, versions, write_json
from omi_keras.data.duplicates import shared_beats_in
from omi_keras.data.tables import read_table
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS, SAMPLING_RATE

if TYPE_CHECKING:
    from omi_keras.beats.median_beats import MedianBeat

FORMAT_VERSION = 1
MARKER = "dataset.json"
BEAT_SHAPE = (12, 600)
COLUMNS = ("ecg_id", "patient_id", "omi", "site", "age", "sex", "source", "simulated")
BEAT_COLUMNS = ("heart_rate", "beats_found", "beats_kept", "flags")
FILES = ("beats.npy", "ecgs.csv", "rejected.csv")
REJECTED_COLUMNS = ("record", "reason", "message")
QUOTE = '"'
_NEEDS_QUOTES = re.compile(r'[",\r\n]')
# Reading 30 GB to check a sum would take longer than the work that follows.
CHECK_UP_TO_BYTES = 1 << 30


@dataclass(frozen=True)
class Dataset:
    """Median beats and their labels.

    Attributes
    ----------
    path
        The folder.
    beats
        (n_ecgs, 12, 600) float32 mV, read-only memory map.
    ecgs
        One row per ECG, text columns but ``omi`` (Int64, missing = unlabelled) and ``age`` (float).
    info
        Content of ``dataset.json``.
    """

    path: Path
    beats: np.ndarray
    ecgs: pd.DataFrame
    info: dict[str, Any]

    @property
    def simulated(self) -> bool:
        """Whether any ECG in it is simulated."""
        return bool(self.info["simulated"])

    def labelled(self) -> np.ndarray:
        """Rows that have a label, ascending."""
        return np.flatnonzero(self.ecgs["omi"].notna().to_numpy())

    def fingerprint(self) -> dict[str, str]:
        """SHA-256 of the files that decide numbers, for provenance."""
        return {name: self.info["sha256"][name] for name in ("beats.npy", "ecgs.csv")}


def load_dataset(path: Path) -> Dataset:
    """Open a dataset folder.

    Raises
    ------
    InputError
        When a file is missing, altered, of another shape, or of a newer format version.
    """
    info = read_json(path / MARKER, "a dataset", FORMAT_VERSION, {"simulated": bool, "sha256": dict})
    for name in FILES:
        file = path / name
        if not file.is_file():
            raise InputError(f"{path} lacks {name}; make the dataset again", "not_found")
        if file.stat().st_size <= CHECK_UP_TO_BYTES and sha256(file) != info["sha256"].get(name):
            raise InputError(f"{file} was altered after the dataset was made; make it again", "altered")
    try:
        beats = np.load(path / "beats.npy", mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, OverflowError, MemoryError) as error:
        raise InputError(f"{path / 'beats.npy'} is not an array file: {error}", "unreadable") from None
    kinds = dict.fromkeys(COLUMNS, tables.text) | {"ecg_id": tables.name, "patient_id": tables.name}
    kinds |= {"omi": tables.label_or_empty, "age": tables.age}
    ecgs = read_table(path / "ecgs.csv", kinds, "make the dataset again")
    if ecgs["ecg_id"].duplicated().any():
        raise InputError(f"{path / 'ecgs.csv'} names an ECG twice; make the dataset again", "altered")
    if beats.shape != (len(ecgs), *BEAT_SHAPE) or beats.dtype != np.float32:
        raise InputError(
            f"{path / 'beats.npy'}: expected float32 of shape {(len(ecgs), *BEAT_SHAPE)}, "
            f"received {beats.dtype} of shape {beats.shape}",
            "wrong_shape",
        )
    if len(ecgs) == 0:
        raise InputError(f"{path} is empty: no ECG was accepted, see rejected.csv", "empty")
    return Dataset(path, beats, ecgs, info)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: also what pandas' parser raises
        raise InputError(f"{path} is not a readable CSV file: {error}", "unreadable") from None


def csv_line(cells: Iterable[str]) -> str:
    """One row of a CSV file. The csv module may leave a bare carriage return unquoted, which reads as an end."""
    quoted = (f'"{cell.replace(QUOTE, QUOTE * 2)}"' if _NEEDS_QUOTES.search(cell) else cell for cell in cells)
    return ",".join(quoted) + "\n"


def _cells(cells: Iterable[str]) -> bytes:
    return json.dumps(list(cells)).encode()


def _shortest(number: float) -> str:
    """Six digits, or as many as it takes to read the same number back."""
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)


class DatasetWriter:
    """Append ECGs to a dataset folder with constant memory.

    Use as a context manager; ``dataset.json`` is written last, so a folder without it is not a dataset.

    Parameters
    ----------
    folder
        An existing folder, empty or with what an interrupted writer left.
    carried
        Further columns of ``ecgs.csv``.
    sizes
        What :meth:`sync` of the interrupted writer returned last; whatever was written after it is cut off.
    """

    def __init__(self, folder: Path, carried: tuple[str, ...] = (), sizes: dict[str, int] | None = None) -> None:
        self.folder = folder
        self.columns = (*COLUMNS, *BEAT_COLUMNS, *carried)
        self.count = self.rejections = 0
        self._patients: set[str] = set()
        self._omi = {0: 0, 1: 0, None: 0}
        self._simulated = False
        self._written = hashlib.sha256()
        if sizes is None:
            for name in FILES:
                (folder / name).write_bytes(b"")
        else:
            self._take_up(sizes)
        self._beats: IO[bytes] = (folder / "beats.npy").open("r+b")
        self._beats.seek(0, os.SEEK_END)
        self._ecgs = (folder / "ecgs.csv").open("a", newline="", encoding="utf-8")
        self._rejected = (folder / "rejected.csv").open("a", newline="", encoding="utf-8")
        if sizes is None:
            self._ecgs.write(csv_line(self.columns))
            self._rejected.write(csv_line(REJECTED_COLUMNS))
            self._write_header()

    def _take_up(self, sizes: dict[str, int]) -> None:
        """Cut the files back to ``sizes`` and count what they hold."""
        for name in FILES:
            os.truncate(self.folder / name, sizes[name])
        table = _read_table(self.folder / "ecgs.csv")
        for row in table.to_dict("records"):
            omi = int(row["omi"]) if row["omi"] else None
            self._note(row["patient_id"], omi, row["simulated"] == "true")
            self._written.update(_cells(row.values()))
        self.rejections = len(_read_table(self.folder / "rejected.csv"))

    def sync(self) -> dict[str, int]:
        """Make what was added so far survive a power cut; return the sizes of the files in bytes."""
        for file in (self._beats, self._ecgs, self._rejected):
            file.flush()
            os.fsync(file.fileno())
        return {name: (self.folder / name).stat().st_size for name in FILES}

    def add(self, beat: MedianBeat, row: dict[str, Any]) -> None:
        """Append one ECG. ``row``: :data:`COLUMNS` and the carried ones; ``omi`` is 0, 1 or None."""
        self._beats.write(np.ascontiguousarray(beat.beat, dtype="<f4").tobytes())
        facts = {
            "heart_rate": f"{beat.heart_rate:.1f}",
            "beats_found": beat.beats_found,
            "beats_kept": beat.beats_kept,
            "flags": " ".join(beat.flags),
        }
        omi = row["omi"]
        simulated = bool(row["simulated"])
        age = row.get("age")
        text = {
            "omi": "" if omi is None else omi,
            "simulated": str(simulated).lower(),
            "age": "" if age is None else _shortest(float(age)),
        }
        content = row | text | facts
        if unknown := content.keys() - set(self.columns):
            raise ValueError(f"no column of this dataset: {', '.join(sorted(unknown))}")
        cells = [str(content.get(column, "")) for column in self.columns]
        self._ecgs.write(csv_line(cells))
        self._written.update(_cells(cells))
        self._note(row["patient_id"], omi, simulated)

    def _note(self, patient_id: str, omi: int | None, simulated: bool) -> None:
        self.count += 1
        self._patients.add(patient_id)
        self._omi[omi] += 1
        self._simulated |= simulated

    def reject(self, record: str, error: InputError) -> None:
        """Note one recording that was refused."""
        self._rejected.write(csv_line((record, error.reason, str(error))))
        self.rejections += 1

    def finish(self, **provenance: Any) -> dict[str, Any]:
        """Complete the files and write ``dataset.json``; return its content."""
        self._beats.seek(0)
        self._write_header()
        self.close()
        info = {
            "format_version": FORMAT_VERSION,
            "kind": "dataset",
            "simulated": self._simulated,
            "ecgs": self.count,
            "patients": len(self._patients),
            "omi": self._omi[1],
            "unlabelled": self._omi[None],
            "rejected": self.rejections,
            "units": "mV",
            "sampling_rate": SAMPLING_RATE,
            "leads": list(LEADS),
            "r_peak_sample": BEAT_SHAPE[1] // 2,
            "duplicate_beats": shared_beats_in(self.folder),
            **provenance,
            "versions": versions(),
            "sha256": {name: sha256(self.folder / name) for name in FILES},
        }
        write_json(self.folder / MARKER, info)
        if self.count:  # what is empty is refused as such
            self._read_back()
        return info

    def _read_back(self) -> None:
        """What was written is what will be read; the files are closed again, as an open one cannot move everywhere."""
        try:
            dataset = load_dataset(self.folder)
            table = _read_table(self.folder / "ecgs.csv")
            rejected = _read_table(self.folder / "rejected.csv")
        except InputError as error:
            raise InputError(f"what was written does not read back: {error}", "not_read_back") from None
        if len(dataset.beats):
            dataset.beats._mmap.close()  # type: ignore[attr-defined]
        found = hashlib.sha256()
        for row in table.itertuples(index=False, name=None):
            found.update(_cells(row))
        same = tuple(table.columns) == self.columns and found.digest() == self._written.digest()
        if not same or len(rejected) != self.rejections:
            raise InputError(
                f"{self.folder / 'ecgs.csv'} does not read back as it was written: is the disk or memory faulty?",
                "not_read_back",
            )

    def close(self) -> None:
        """Close the open files."""
        for file in (self._beats, self._ecgs, self._rejected):
            file.close()

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_header(self) -> None:
        # The array grows along its first axis; NumPy pads the header so that the final shape fits in place.
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.count, *BEAT_SHAPE)}
        np.lib.format.write_array_header_1_0(self._beats, header)
