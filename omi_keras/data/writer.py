"""Write a dataset folder, ECG by ECG, with constant memory, and read it back before it is called done."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from omi_keras.data.artifacts import new_folder, sha256, versions, write_json
from omi_keras.data.dataset import (
    BEAT_COLUMNS,
    BEAT_SHAPE,
    COLUMNS,
    FILES,
    FORMAT_VERSION,
    MARKER,
    REJECTED_COLUMNS,
    Dataset,
    load_dataset,
)
from omi_keras.data.duplicates import shared_beats_in
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS, SAMPLING_RATE

if TYPE_CHECKING:
    from omi_keras.beats.median_beats import MedianBeat

QUOTE = '"'
_NEEDS_QUOTES = re.compile(r'[",\r\n]')


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
        facts = {
            "heart_rate": f"{beat.heart_rate:.1f}",
            "beats_found": beat.beats_found,
            "beats_kept": beat.beats_kept,
            "flags": " ".join(beat.flags),
        }
        self.append(beat.beat, row | facts)

    def append(self, beat: np.ndarray, row: dict[str, Any]) -> None:
        """Append a median beat (12, 600) in mV with all that is known about it; what is not known is left out."""
        self._beats.write(_beat_bytes(beat))
        cells = _row_cells(row, self.columns)
        self._ecgs.write(csv_line(cells))
        self._written.update(_cells(cells))
        self._note(row["patient_id"], row["omi"], bool(row["simulated"]))

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
        _write_beats_header(self._beats, self.count)


def _write_beats_header(file: IO[bytes], count: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, *BEAT_SHAPE)}
    np.lib.format.write_array_header_1_0(file, header)


def _beat_bytes(beat: np.ndarray) -> bytes:
    return np.ascontiguousarray(beat, dtype="<f4").tobytes()


def _row_cells(row: dict[str, Any], columns: tuple[str, ...]) -> list[str]:
    omi, age = row["omi"], row.get("age")
    content = row | {
        "omi": "" if omi is None else omi,
        "simulated": str(bool(row["simulated"])).lower(),
        "age": "" if age is None else _shortest(float(age)),
    }
    if unknown := content.keys() - set(columns):
        raise ValueError(f"no column of this dataset: {', '.join(sorted(unknown))}")
    return [str(content.get(column, "")) for column in columns]


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


def save_dataset(dataset: Dataset, out: Path, *, force: bool = False) -> Dataset:
    """Write a dataset that is in memory, or a part of another, into a new folder; return the one on disk.

    Raises
    ------
    InputError
        When ``out`` exists, or the dataset is empty.
    """
    with new_folder(out, MARKER, force=force) as folder:
        write_dataset(dataset, folder)
    return load_dataset(out)


def write_dataset(dataset: Dataset, folder: Path) -> None:
    """Write a dataset's files into an existing empty folder."""
    carried, rows = _columns_and_rows(dataset)
    with DatasetWriter(folder, carried) as writer:
        for beat, row in rows:
            writer.append(beat, row)
        inputs = {name: dataset.info[name] for name in ("label_column", "seed", "inputs") if name in dataset.info}
        writer.finish(**{"label_column": "omi", "seed": None, "inputs": {}} | inputs)


def sums_in_memory(dataset: Dataset) -> dict[str, str]:
    """SHA-256 of the files that :func:`write_dataset` would write. None of it touches a disk that others may read."""
    carried, rows = _columns_and_rows(dataset)
    columns = (*COLUMNS, *BEAT_COLUMNS, *carried)
    header = io.BytesIO()
    _write_beats_header(header, len(dataset.ecgs))
    beats, ecgs = hashlib.sha256(header.getvalue()), hashlib.sha256(csv_line(columns).encode())
    for beat, row in rows:
        beats.update(_beat_bytes(beat))
        ecgs.update(csv_line(_row_cells(row, columns)).encode())
    rejected = hashlib.sha256(csv_line(REJECTED_COLUMNS).encode())
    return {name: sum_.hexdigest() for name, sum_ in zip(FILES, (beats, ecgs, rejected), strict=True)}


def _columns_and_rows(dataset: Dataset) -> tuple[tuple[str, ...], Iterator[tuple[np.ndarray, dict[str, Any]]]]:
    """The carried columns, and what :meth:`DatasetWriter.append` wants of each ECG."""
    if not len(dataset.ecgs):
        raise InputError("the dataset has no ECG, so there is nothing to write", "empty")

    def rows() -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        for beat, row in zip(dataset.beats, dataset.ecgs.to_dict("records"), strict=True):
            known = {str(name): value for name, value in row.items() if not pd.isna(value)}
            known |= {"omi": int(known["omi"]) if "omi" in known else None}
            yield beat, known | {"simulated": known["simulated"] == "true"}

    return tuple(str(name) for name in dataset.ecgs.columns if name not in (*COLUMNS, *BEAT_COLUMNS)), rows()
