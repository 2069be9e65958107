"""The labels file: which recording belongs to which patient, and what is wrong with the heart."""

from __future__ import annotations

import io
import os
import re
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd

from omi_keras.data.identities import nobody, one_form, strip_ends, suspicions
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats.recording import MAX_AGE

UNKNOWN = {"", "nan", "na", "n/a", "none", "null", "unknown", "?", "-"}
SEXES = {"f": "female", "female": "female", "w": "female", "m": "male", "male": "male"}
MOST_ERRORS = 5
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Columns of ecgs.csv that are computed.
RESERVED = ("ecg_id", "omi", "heart_rate", "beats_found", "beats_kept", "flags")


def read_labels(path: Path, label_column: str = "omi") -> pd.DataFrame:
    """Read and check a labels file before any recording is opened.

    Parameters
    ----------
    path
        CSV with ``record``, ``patient_id`` and the label column (0 or 1); optional ``site``, ``age`` (years)
        and ``sex``; other columns are carried along as text.
    label_column
        The column that becomes ``omi``.

    Returns
    -------
    DataFrame
        The file's columns as text; ``omi`` as Int64 (missing where the cell of another ``label_column`` is empty:
        never read as 0; an empty ``omi`` cell is an error),
        ``ecg_id`` from the record's path; ``age`` as float (NaN unknown, also above 120: PTB-XL writes 300 for "over
        89"), ``sex`` as ``female``, ``male`` or empty, ``site`` as text. Identifiers are in one form (see
        :func:`~omi_keras.data.identities.one_form`). ``attrs["notes"]`` lists what a person should look at.

    Raises
    ------
    InputError
        One sentence that names the file, the rows and what was expected.
    """
    try:
        content = path.read_bytes()
        if b"\0" in content:
            raise InputError(f"{path} holds zero bytes, which no text does; save it as CSV in UTF-8", "bad_labels")
        table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"labels file {path} not found", "not_found") from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path} is not a readable CSV file: {error}", "bad_labels") from None
    names = [one_form(str(name)) for name in table.columns]
    if len(set(names)) == len(names):
        table.columns = pd.Index(names)
    for column in ("record", "patient_id", label_column):
        if column not in table.columns:
            raise InputError(f"{path}: column {column} not found; columns are {', '.join(table.columns)}", "bad_labels")
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{path}: rows have more cells than the header; quote cells that hold a comma", "bad_labels")
    if table.empty:
        raise InputError(f"{path}: no records in the labels file", "bad_labels")
    return _check_rows(path, table, label_column)


def _check_rows(path: Path, table: pd.DataFrame, label_column: str) -> pd.DataFrame:
    errors: list[str] = []
    read = {"age", "sex", label_column}

    def refuse(bad: pd.Series, problem: str, value: pd.Series | None = None, word: str = ", got") -> None:
        for row in table.index[bad]:
            # Row 1 is the header, as a person counts in an editor.
            place = f"row {int(row) + 2} ({str(table.at[row, 'record']) or 'no name'})"
            errors.append(f"{place}: {problem}" + ("" if value is None else f"{word} {value[row]}"))

    # What is carried along is kept as it is written, but for the blanks around it.
    text = table.apply(lambda column: column.map(_stripped) if column.name in read else column.str.strip())
    text["record"] = table["record"].map(strip_ends)
    text["patient_id"] = table["patient_id"].map(one_form)
    label, age = text[label_column], text.get("age", pd.Series("", index=text.index))
    sex, site = (
        text.get("sex", pd.Series("", index=text.index)),
        text.get("site", pd.Series("", index=text.index)).map(one_form),
    )
    for name in ("record", "patient_id", "site"):
        if name in table.columns:
            # They name people, files and rows of tables further on.
            as_written = table[name].str.strip()
            refuse(as_written.str.contains(_CONTROL), f"{name} holds a line end or another control character")
    refuse(text["record"] == "", "record is empty")
    ecg_id = text["record"].map(_ecg_id)
    first = {name: int(row) + 2 for row, name in reversed(list(ecg_id.items()))}
    again = ecg_id.duplicated() & (text["record"] != "")
    refuse(again, "record is listed twice, first in", ecg_id.map(first), " row")
    refuse(text["patient_id"] == "", "patient_id is empty")
    # omi says what every ECG is; any other column may know some only.
    refuse((label == "") & (label_column == "omi"), f"{label_column} is empty; give 0 or 1, or delete the row")
    refuse(~label.isin(["0", "1", "0.0", "1.0", ""]), f"{label_column} must be 0 or 1", label)
    years = pd.to_numeric(age.where(~age.str.lower().isin(UNKNOWN)), errors="coerce")
    known = ~age.str.lower().isin(UNKNOWN)
    refuse(known & ~(np.isfinite(years) & (years >= 0)), "age must be a number of years", age)
    refuse(~sex.str.lower().isin(UNKNOWN | SEXES.keys()), "sex must be female or male", sex)
    if errors:
        more = f"; and {len(errors) - MOST_ERRORS} more rows" if len(errors) > MOST_ERRORS else ""
        raise InputError(f"{path}: {'; '.join(errors[:MOST_ERRORS])}{more}", "bad_labels")
    _refuse_placeholders(path, text["patient_id"])
    omi = pd.to_numeric(label, errors="coerce").astype("Int64")
    if omi.nunique() < 2:
        raise InputError(
            f"{path}: only one class: no two records differ in {label_column}, so there is nothing to learn or score",
            "one_class",
        )
    # Columns of the file that are named like ours are carried along under another name.
    ours = [name for name in RESERVED if name in text.columns and name != label_column]
    for name in ours:
        if f"label_{name}" in text.columns:
            raise InputError(
                f"{path}: columns {name} and label_{name} would both be carried as label_{name}; rename one",
                "bad_labels",
            )
    text = text.rename(columns={name: f"label_{name}" for name in ours})
    notes = suspicions(text["patient_id"].tolist(), site.tolist())
    old = years > MAX_AGE
    if old.any():
        notes.append(
            f"{old.sum()} {'age' if old.sum() == 1 else 'ages'} above {MAX_AGE:.0f} (such as {age[old].iloc[0]}) "
            "taken as unknown"
        )
    table = text.assign(
        ecg_id=ecg_id,
        omi=omi,
        age=years.astype(float).mask(old),
        sex=sex.str.lower().map(SEXES).fillna(""),
        site=site,
    )
    table.attrs["notes"] = notes
    return table


def _stripped(cell: str) -> str:
    return cell.strip() if cell.isascii() else unicodedata.normalize("NFC", strip_ends(cell))


def _ecg_id(record: str) -> str:
    return unicodedata.normalize("NFC", Path(os.path.normpath(record)).as_posix()).removesuffix(".hea")


def _refuse_placeholders(path: Path, patient_id: pd.Series) -> None:
    """An identifier that stands for "unknown" would make one patient of many."""
    found = nobody(patient_id.tolist())
    if not found:
        return
    rows = [str(int(row) + 2) for row in patient_id.index[patient_id.isin(found.keys())]]
    names = ", ".join(f"'{name}' {count} times" for name, count in found.most_common(MOST_ERRORS))
    where = ", ".join(rows[:MOST_ERRORS]) + (" ..." if len(rows) > MOST_ERRORS else "")
    raise InputError(
        f"{path}: {len(rows)} rows (row {where}) have a placeholder as patient_id ({names}), which says not whose ECGs "
        "they are; give each patient an id, or each ECG its own where no patient has two",
        "bad_labels",
    )
