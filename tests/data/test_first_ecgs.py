"""One ECG a patient: the earliest."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omi_keras.data.first_ecgs import first_ecgs, time_column
from omi_keras.recordings.errors import InputError

PATIENTS = ["b", "a", "b", "a", "c"]


def rows(column="time", times=None):
    table = pd.DataFrame({"patient_id": PATIENTS, "sex": ""})
    return table if times is None else table.assign(**{column: times})


def test_without_a_time_the_first_row():
    assert first_ecgs(rows()).tolist() == [True, True, False, False, True]


@pytest.mark.parametrize(
    "times",
    [
        ["2026-01-02 00:00:01", "2026-01-01", "2026-01-02", "2025-12-31", ""],
        ["2300-01-02T00:00:01", "2300-01-01", "2300-01-02T00:00:00", "2299-12-31", "2300-01-01"],
        ["2026-01-01T12:00:00+01:00", "", "2026-01-01T12:00:00+02:00", "2026-01-01T12:00:00Z", ""],
        ["10", "3", "9", "2.5", "1"],  # as numbers: as text 10 would come before 9
        [20260102, 20260101, 20260101, 20251231, None],
    ],
)
@pytest.mark.parametrize("column", ["time", "Recording_Date"])
def test_by_the_time_column(times, column):
    assert first_ecgs(rows(column, times)).tolist() == [False, False, True, True, True]


def test_without_a_time_an_ecg_comes_last_and_of_equals_the_first_row():
    assert first_ecgs(rows(times=["", "2026-01-01", "2026-01-01", "2026-01-01", ""])).tolist() == [0, 1, 1, 0, 1]


def test_the_most_telling_column_is_taken():
    table = rows(times="3").assign(recorded_at=["2", "2", "1", "1", "1"])
    assert time_column(table) == "recorded_at"
    assert first_ecgs(table).tolist() == [False, False, True, True, True]
    assert time_column(rows()) is None


@pytest.mark.parametrize(("times", "bad"), [("yesterday", "yesterday"), ("03/04/2026", "03/04/2026"), ("nan", "nan")])
def test_what_is_no_time_is_named(times, bad):
    with pytest.raises(InputError, match=f"column time decides.*found '{bad}'"):
        first_ecgs(rows(times=times))


def test_numbers_and_dates_are_not_compared():
    with pytest.raises(InputError, match="all numbers, or empty"):
        first_ecgs(rows(times=["2026-01-01", "3.5", "2026-01-01", "", ""]))


def test_spellings_of_one_patient_are_one():
    table = pd.DataFrame({"patient_id": ["p 1", " p  1", "p\u200b 1", "p2"]})
    assert first_ecgs(table).tolist() == [True, False, False, True]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.none() | st.integers(0, 9)), max_size=30))
def test_each_patient_has_one_and_none_of_his_is_earlier(ecgs):
    table = pd.DataFrame(
        {"patient_id": [f"p{p}" for p, _ in ecgs], "time": [None if t is None else str(t) for _, t in ecgs]}
    )
    found = first_ecgs(table)
    for patient in {p for p, _ in ecgs}:
        own = [row for row, (p, _) in enumerate(ecgs) if p == patient]
        (chosen,) = [row for row in own if found[row]]
        known = [(np.inf if ecgs[row][1] is None else ecgs[row][1], row) for row in own]
        assert min(known)[1] == chosen
