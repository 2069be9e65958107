"""A labels file is checked whole before a recording is opened, and says which row is wrong."""

import unicodedata

import numpy as np
import pandas as pd
import pytest

from omi_keras.data.folds import assign_folds, most_folds
from omi_keras.data.labels import read_labels
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats.recording import known_age

GOOD = "record,patient_id,omi,age,sex\nr1,001,0,60,F\nr2,002,1,,male\nr3,002,0,55.5,unknown\n"


def write(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_file(tmp_path):
    table = read_labels(write(tmp_path, "\ufeff" + GOOD))
    assert list(table["patient_id"]) == ["001", "002", "002"]
    assert table["omi"].tolist() == [0, 1, 0]
    assert table["age"].tolist()[0] == 60
    assert pd.isna(table["age"][1])
    assert list(table["sex"]) == ["female", "male", ""]


def test_an_empty_label_is_an_error_or_missing_but_never_0(tmp_path):
    path = write(tmp_path, GOOD.replace("omi", "mi").replace("r3,002,0", "r3,002,"))
    assert read_labels(path, "mi")["omi"].tolist()[:2] == [0, 1]
    assert pd.isna(read_labels(path, "mi")["omi"][2])
    path = write(tmp_path, GOOD.replace("r3,002,0", "r3,002,"))
    with pytest.raises(InputError, match=r"row 4 \(r3\): omi is empty; give 0 or 1, or delete the row"):
        read_labels(path)


def test_another_label_column_keeps_the_other_one(tmp_path):
    table = read_labels(write(tmp_path, "record,patient_id,omi,mi\na,p,0,1\nb,q,1,0\n"), "mi")
    assert table["omi"].tolist() == [1, 0]
    assert table["label_omi"].tolist() == ["0", "1"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("record,patient_id\nr1,p\n", "column omi not found; columns are record, patient_id"),
        ("record,patient_id,omi\n", "no records"),
        ("", "not a readable CSV"),
        (GOOD.replace("001", ""), r"row 2 \(r1\): patient_id is empty"),
        (GOOD.replace("r2,002,1", "r2,002,2"), r"row 3 \(r2\): omi must be 0 or 1, got 2"),
        (GOOD.replace("r2,002,1", "r2,002,yes"), r"row 3 \(r2\): omi must be 0 or 1, got yes"),
        (GOOD.replace("r3", "r1"), r"row 4 \(r1\): record is listed twice"),
        (GOOD.replace("r3", "./r1.hea"), r"row 4 \(\./r1\.hea\): record is listed twice"),
        (GOOD.replace("60", "-5"), "age must be a number of years, got -5"),
        ("record,patient_id,omi\na,p,1,4,5\nb,q,0,4,5\n", "more cells than the header"),
        (GOOD.replace("60", "old"), r"row 2 \(r1\): age must be a number of years, got old"),
        (GOOD.replace(",F", ",x"), r"row 2 \(r1\): sex must be female or male, got x"),
        (GOOD.replace("r2,002,1", "r2,002,0"), "only one class"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read_labels(write(tmp_path, text))


def test_many_wrong_rows_are_counted_not_listed(tmp_path):
    rows = "".join(f"r{i},,0\n" for i in range(50))
    with pytest.raises(InputError, match="and 45 more rows"):
        read_labels(write(tmp_path, "record,patient_id,omi\n" + rows))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv not found"):
        read_labels(tmp_path / "none.csv")


def labels(tmp_path, ids, more=""):
    rows = "".join(f"r{i},{name},{i % 2}\n" for i, name in enumerate(ids))
    return read_labels(write(tmp_path, "record,patient_id,omi\n" + rows + more))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Müller-7", unicodedata.normalize("NFD", "Müller-7")),
        ("각1", unicodedata.normalize("NFD", "각1")),
        ("Å1", "\u212b1"),
        ("p17", "\u00a0p17"),
        ("p17", "p17\u200b"),
        ("p17", "\ufeffp17"),
        ("p17", "p\u200d17"),
        ("p 17", "p\u00a0\u200317"),
        ("p17", "p17\u3164"),
    ],
)
def test_ids_that_look_the_same_are_one_patient(tmp_path, one, other):
    table = labels(tmp_path, [one, other, "b", "c"])
    assert table["patient_id"].nunique() == 3
    assert table["patient_id"][0] == unicodedata.normalize("NFC", one)
    omi = np.array([0, 1] * 6)
    ids = np.array([one, other, *(f"q{i}" for i in range(10))])
    fold = assign_folds(omi, ids, most_folds(omi, ids, 3))
    assert fold[0] == fold[1]
    assert most_folds(np.array([1, 1, 1, 1] + [0] * 5), np.array([one, other, "x1", "x2", *"abcde"])) == 3


def test_what_cannot_be_seen_is_no_id_and_no_part_of_a_column(tmp_path):
    with pytest.raises(InputError, match="patient_id is empty"):
        labels(tmp_path, ["a", "\u200b\u00a0", "b"])
    path = write(tmp_path, "record , \u00a0patient_id,omi,site\na,p,0,Zürich\nb,q,\u200b1," + "Zu\u0308rich \n")
    table = read_labels(path)
    assert table["omi"].tolist() == [0, 1]
    assert set(table["site"]) == {"Zürich"}


@pytest.mark.parametrize(
    "name", ["unknown", "UNKNOWN", "Unk.", "n/a", "#N/A", "<NA>", "-", "--", "?", "...", "none", "(null)", "NaN", "xxx",
             "anonymous", "Anonymized", "de-identified", "test", "no id", "unbekannt", "_"],
)  # fmt: skip
def test_a_placeholder_is_not_one_patient(tmp_path, name):
    with pytest.raises(InputError) as caught:
        labels(tmp_path, ["a", name, "b", name, "c", name])
    text = str(caught.value)
    assert f"3 rows (row 3, 5, 7) have a placeholder as patient_id ('{name}' 3 times)" in text
    assert "give each patient an id, or each ECG its own" in text
    assert len(labels(tmp_path, ["a", name, "b"])) == 3, "one ECG is a patient of its own"


def test_different_placeholders_are_counted_together(tmp_path):
    with pytest.raises(InputError, match=r"2 rows \(row 2, 4\).*'unknown' 1 times, '-' 1 times"):
        labels(tmp_path, ["unknown", "a", "-", "b"])


@pytest.mark.parametrize("name", ["0", "00", "0.0", "1", "-1", "999"])
def test_a_number_with_most_of_the_ecgs_is_a_placeholder(tmp_path, name):
    patients = [f"{i // 2 + 100}" for i in range(40)]
    with pytest.raises(InputError, match=f"30 rows .*'{name}' 30 times"):
        labels(tmp_path, [*patients, *[name] * 30])
    assert len(labels(tmp_path, [*patients, *[name] * 4])) == 44


def test_ids_that_may_be_one_are_told_and_kept_apart(tmp_path):
    table = labels(tmp_path, ["007", "7", "P1", "p1", "12", "12.0", "x2", "8"])
    assert table["patient_id"].nunique() == 8
    (note,) = table.attrs["notes"]
    assert note.startswith("007 and 7; P1 and p1; 12 and 12.0: patients whose names differ only in case or in zeros")
    assert labels(tmp_path, ["a", "b", "a"]).attrs["notes"] == []


def test_a_patient_with_most_of_the_ecgs_is_told(tmp_path):
    (note,) = labels(tmp_path, [*["ward 3"] * 50, *(f"p{i}" for i in range(20))]).attrs["notes"]
    assert "patient ward 3 has 50 of 70 ECGs, no other more than 1" in note


def test_ages_are_known_as_in_headers(tmp_path):
    table = read_labels(write(tmp_path, GOOD.replace("60", "300").replace("55.5", "121")))
    assert table["age"].isna().all()
    assert "2 ages above 120 (such as 300) taken as unknown" in table.attrs["notes"]
    assert known_age("300") is None
    assert read_labels(write(tmp_path, GOOD.replace("60", "120")))["age"][0] == known_age("120") == 120
    for wrong in ("-1", "inf", "-300"):
        with pytest.raises(InputError, match=f"age must be a number of years, got {wrong}"):
            read_labels(write(tmp_path, GOOD.replace("60", wrong)))


def test_two_forms_of_a_records_name_are_one_record(tmp_path):
    text = f"record,patient_id,omi\né1,a,0\nb,b,1\n{unicodedata.normalize('NFD', 'é1')},c,0\n"
    with pytest.raises(InputError, match=r"row 4 .*record is listed twice, first in row 2"):
        read_labels(write(tmp_path, text))


@pytest.mark.parametrize("column", [0, 1, 5])
@pytest.mark.parametrize("character", ["\r", "\n", "\r\n", "\x1c", "\x85", "\u2028", "\x1b"])
def test_control_characters_in_names_are_refused(tmp_path, column, character):
    """Tables of a run and a report name records, patients and sites, and must read back."""
    cells = ["r1", "p1", "1", "60", "F", "s"]
    cells[column] = f'"a{character}b"'
    text = "record,patient_id,omi,age,sex,site\n" + ",".join(cells) + "\nr2,p2,0,50,M,s\n"
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode())
    with pytest.raises(InputError, match=r"row 2 .*holds a line end or another control character"):
        read_labels(path)


@pytest.mark.parametrize("content", [GOOD.replace("001", "00\x001").encode(), GOOD.encode("utf-16")])
def test_zero_bytes_are_refused(tmp_path, content):
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(InputError, match="zero bytes"):
        read_labels(tmp_path / "labels.csv")


def test_a_surrogate_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_bytes(GOOD.encode().replace(b"001", b"0\xed\xa0\x801"))
    with pytest.raises(InputError, match="not a readable CSV"):
        read_labels(tmp_path / "labels.csv")


def test_two_columns_never_become_one(tmp_path):
    text = "record,patient_id,omi,mi,label_omi\na,p,0,1,x\nb,q,1,0,y\n"
    with pytest.raises(InputError, match="rename one"):
        read_labels(write(tmp_path, text), "mi")
