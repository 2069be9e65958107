"""A labels file is checked whole before a recording is opened, and says which row is wrong."""

import pandas as pd
import pytest

from omi_keras.data.labels import read_labels
from omi_keras.signal.errors import InputError

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
