"""Which ECGs train, validate and test in each round of a run: how ``folds.csv`` is made, and what it says.

folds          fold k is tested in round k, the next one validates, the others train (section II.B)
split column   one round: a column of the dataset says ``train``, ``validation`` or ``test``
leave out      fold k, the ECGs with one value of a column (a site, a year), is tested in round k; of the other patients
               a tenth validates, the others train

``folds.csv`` has ``ecg_id, patient_id, fold`` of every labelled ECG; with a column its value; with ``leave out``
``validates``, the rounds in which the ECG validates; with one ECG a patient ``first``, 1 or 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from omi_keras.data import tables
from omi_keras.data.dataset import Dataset
from omi_keras.data.first_ecgs import first_ecgs
from omi_keras.data.folds import FEWEST_FOLDS, FOLDS, assign_folds, check_parts, most_folds, rotation
from omi_keras.data.identities import one_form
from omi_keras.models.known_ecgs import BEAT
from omi_keras.recordings.errors import InputError

MOST_FOLDS = 100  # two digits in the names of their folders
VALIDATES, FIRST = "validates", "first"
# Of a column's values → folds, so that round 0 of three folds tests, validates and trains on them.
PARTS = {"test": 0, "validation": 1, "train": 2}
_NAMED = 3


@dataclass(frozen=True)
class Split:
    """How the ECGs of a run are divided; :func:`split_of` makes the one that a dataset allows.

    Attributes
    ----------
    n_folds
        Numbers of ``fold``: folds, or values of the column that is left out; 3 for the parts of a split column.
    split_column, leave_out
        A column of the dataset, or None.
    first_ecg_only
        Whether validation and test have one ECG of each patient.
    """

    n_folds: int = FOLDS
    split_column: str | None = None
    leave_out: str | None = None
    first_ecg_only: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Split:
        """What ``config.json`` says; runs from before there were columns have folds."""
        return cls(**{field.name: config[field.name] for field in fields(cls) if field.name in config})

    @property
    def rounds(self) -> range:
        """Numbers of the rounds."""
        return range(1 if self.split_column is not None else self.n_folds)

    @property
    def column(self) -> str | None:
        """The column of the dataset that divides it, if one does."""
        return self.split_column if self.split_column is not None else self.leave_out

    @property
    def values(self) -> str | None:
        """What ``folds.csv`` calls that column."""
        taken = self.column in ("ecg_id", "patient_id", "fold", BEAT, VALIDATES, FIRST)
        return f"{self.column}_value" if taken else self.column

    def settings(self) -> dict[str, Any]:
        """For ``config.json``."""
        return asdict(self)

    def kinds(self) -> dict[str, tables.Kind]:
        """What the columns of ``folds.csv`` hold."""
        kinds: dict[str, tables.Kind] = {"ecg_id": tables.name, "patient_id": tables.name, "fold": tables.whole}
        if self.values is not None:
            kinds[self.values] = tables.name
        if self.leave_out is not None:
            kinds[VALIDATES] = rounds_or_empty
        return kinds | ({FIRST: tables.label} if self.first_ecg_only else {})

    def divide(self, ecgs: pd.DataFrame, seed: int) -> pd.DataFrame:
        """Make the table of ``folds.csv``.

        Parameters
        ----------
        ecgs
            The labelled rows of ``ecgs.csv``, of the dataset that the split was made for.
        seed
            Of the division into folds, and of which patients validate.

        Raises
        ------
        InputError
            When the column does not divide them: it is missing, a cell is empty or no part, a patient is in two parts.
        """
        omi, patient = ecgs["omi"].to_numpy(int), ecgs["patient_id"].to_numpy(str)
        table = ecgs[["ecg_id", "patient_id"]].reset_index(drop=True)
        if self.column is None:
            table["fold"] = assign_folds(omi, patient, self.n_folds, seed)
        else:
            value = _cells(ecgs, self.column)
            names = list(PARTS) if self.split_column is not None else _ordered(value)
            table["fold"] = np.array([names.index(cell) for cell in value], int)
            table[self.values] = value
            _refuse_divided(self.column, table)
        if self.leave_out is not None:
            rounds = [self._validating(omi, patient, table["fold"].to_numpy() != k, seed) for k in self.rounds]
            table[VALIDATES] = [" ".join(str(k) for k in np.flatnonzero(of)) for of in np.transpose(rounds)]
        if self.first_ecg_only:
            table[FIRST] = first_ecgs(ecgs).astype(int)
        return table

    def _validating(self, omi: np.ndarray, patient: np.ndarray, rest: np.ndarray, seed: int) -> np.ndarray:
        """Which ECGs validate: of the patients in ``rest`` a stratified tenth; fewer folds where there are few."""
        found = np.zeros(len(omi), bool)
        try:
            folds = most_folds(omi[rest], patient[rest])
        except InputError:  # of this round only, and told if anybody wants it
            return found
        found[rest] = assign_folds(omi[rest], patient[rest], folds, seed) == 0
        return found

    def parts(self, folds: pd.DataFrame, number: int) -> dict[str, np.ndarray]:
        """Rows of ``folds.csv`` that are ``training``, ``validation`` and ``test`` in a round, as masks.

        No patient is in two. With one ECG a patient, the others of those who validate or are tested are in none.
        """
        fold = folds["fold"].to_numpy()
        test = fold == number
        if self.leave_out is None:
            validation = fold == rotation(number, self.n_folds)[1]
        else:
            validation = np.array([str(number) in cell.split() for cell in folds[VALIDATES]], bool)
        parts = {"training": ~test & ~validation, "validation": validation, "test": test}
        if self.first_ecg_only:
            first = folds[FIRST].to_numpy() == 1
            parts |= {"validation": validation & first, "test": test & first}
        return parts

    def left_out(self, folds: pd.DataFrame, number: int) -> str | None:
        """The value that is left out in a round, and tested; None where no column is left out."""
        if self.leave_out is None:
            return None
        return str(folds.loc[folds["fold"] == number, self.values].iloc[0])

    def of_model(self, folds: pd.DataFrame, number: int) -> tuple[pd.DataFrame, int, int]:
        """What a model remembers of its round: its ``folds.csv``, and the numbers of its validation and test fold.

        Every other fold trained it; an ECG that it never saw, and that did not judge it, is not there.
        """
        _, validation_fold, _ = rotation(number, self.n_folds)
        parts = self.parts(folds, number)
        table = folds.drop(columns=[name for name in (VALIDATES, FIRST) if name in self.kinds()])
        if self.leave_out is not None:
            validation_fold = self.n_folds
            table["fold"] = table["fold"].mask(parts["validation"], validation_fold)
        return table[np.any(list(parts.values()), axis=0)], validation_fold, number

    def check(self, folds: pd.DataFrame, omi: np.ndarray, number: int) -> None:
        """Raise InputError when training, validation or test of a round has one class only."""
        name, instead = f"fold {number}", "use another --seed, fewer folds (--n-folds) or more recordings"
        if self.split_column is not None:
            name = f"column {self.split_column}"
            instead = "divide the patients otherwise, or add recordings"
        elif self.leave_out is not None:
            name = f"fold {number} ({self.leave_out} {self.left_out(folds, number)})"
            instead = f"train the other folds only (--folds), or give several {self.leave_out} values one name"
        check_parts(name, {part: omi[rows] for part, rows in self.parts(folds, number).items()}, instead)


def split_of(
    dataset: Dataset,
    split: int | str = FOLDS,
    *,
    leave_out: str | None = None,
    first_ecg_only: bool = False,
) -> Split:
    """The split of a dataset into at most so many folds, by a column, or by one whose values are left out in turn.

    Raises
    ------
    InputError
        When both columns are given, there is no such column, it has fewer than two values or more than 100, or the
        patients of a class are too few for folds.
    """
    ecgs = dataset.ecgs.iloc[dataset.labelled()]
    split_column = split if isinstance(split, str) else None
    if split_column is not None:
        if leave_out is not None:
            raise InputError("a column that divides and one that is left out exclude each other; give one", "split")
        values = _cells(ecgs, split_column)
        if wrong := sorted(set(values) - PARTS.keys()):
            more = " ..." if len(wrong) > _NAMED else ""
            raise InputError(
                f"column {split_column} says {', '.join(map(repr, wrong[:_NAMED]))}{more}; its values must be train, "
                "validation and test",
                "split",
            )
        if absent := [part for part in PARTS if part not in values]:
            raise InputError(
                f"column {split_column} has no {absent[0]} among the labelled ECGs; it must say train, validation and "
                "test",
                "split",
            )
        n_folds = len(PARTS)
    elif leave_out is not None:
        n_folds = len(set(_cells(ecgs, leave_out)))
        if not 2 <= n_folds <= MOST_FOLDS:
            raise InputError(
                f"column {leave_out} has {n_folds} value{'s' * (n_folds != 1)} among the labelled ECGs; to leave out "
                f"one after the other there must be 2 to {MOST_FOLDS}",
                "split",
            )
    else:
        assert isinstance(split, int)
        n_folds = most_folds(ecgs["omi"].to_numpy(int), ecgs["patient_id"].to_numpy(str), split)
    return Split(n_folds, split_column, leave_out, first_ecg_only)


def rounds_or_empty(cells: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """numbers of folds with spaces between them, or empty"""
    return cells, cells.str.fullmatch(r"([0-9]{1,2}( [0-9]{1,2})*)?").to_numpy(bool)


def good_folds(config: Mapping[str, Any]) -> bool:
    """Whether what ``config.json`` says of folds and columns can be."""
    split, n = Split.of(config), config["n_folds"]
    columns = [name for name in (split.split_column, split.leave_out) if name is not None]
    return (
        len(columns) < 2
        and all(isinstance(name, str) and name for name in columns)
        and isinstance(split.first_ecg_only, bool)
        and (2 if split.leave_out is not None else FEWEST_FOLDS) <= n <= MOST_FOLDS
        and (split.split_column is None or n == len(PARTS))
    )


def _cells(ecgs: pd.DataFrame, column: str) -> list[str]:
    """A column's values as text; an empty cell is refused."""
    if column not in ecgs.columns:
        there = ", ".join(str(name) for name in ecgs.columns)
        raise InputError(f"the dataset has no column {column or repr(column)}; it has {there}", "column")
    found = ["" if pd.isna(cell) else one_form(str(cell)) for cell in ecgs[column]]
    if empty := [name for name, cell in zip(ecgs["ecg_id"], found, strict=True) if not cell]:
        raise InputError(
            f"column {column} is empty for {_several(empty, 'ECG', 'ECGs')}; say for every labelled ECG where it "
            "belongs",
            "split",
        )
    return found


def _ordered(values: list[str]) -> list[str]:
    """Each value once: numbers by their size, others as text."""
    found = set(values)
    numbers = all(cell.removeprefix("-").replace(".", "", 1).isdecimal() for cell in found)
    return sorted(found, key=lambda cell: (float(cell) if numbers else 0.0, cell))


def _refuse_divided(column: str, table: pd.DataFrame) -> None:
    """A patient in two parts would be learned by heart in one and asked about in the other."""
    of: dict[str, set[int]] = {}
    for patient, fold in zip(table["patient_id"], table["fold"], strict=True):
        of.setdefault(one_form(str(patient)), set()).add(int(fold))
    if divided := [patient for patient, folds in of.items() if len(folds) > 1]:
        raise InputError(
            f"column {column} divides the ECGs of {_several(divided, 'patient', 'patients')} among its values; give "
            "all ECGs of a patient one value, or leave some out",
            "divided_patient",
        )


def _several(names: list[str], one: str, many: str) -> str:
    shown = ", ".join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")
    return f"{len(names)} {one if len(names) == 1 else many} ({shown})"
