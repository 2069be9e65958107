from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from omi_keras.signal.errors import InputError
from omi_keras.signal.formats.wfdb import read_signals
from omi_keras.signal.formats.wfdb_header import read_header
from omi_keras.signal.median_beat import median_beat
from omi_keras.signal.readers import read_record


def _rows(recordings: Path) -> list[dict[str, str]]:
    with (recordings / "labels.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["format"].startswith("WFDB")]


def test_same_samples_as_the_wfdb_library(recordings: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    rows = _rows(recordings)
    assert len(rows) == 44
    for row in rows:
        reference = wfdb.rdrecord(str(recordings / row["record"]))
        header = read_header(recordings / f"{row['record']}.hea")
        mine, altered = read_signals(header, list(range(len(header.signals))))
        assert altered == ()
        np.testing.assert_array_equal(mine, reference.p_signal.T, err_msg=row["record"])
        assert header.rate == reference.fs
        if row["fs"] == "500" and not row["record"].endswith("JS20008"):
            signal = read_record(recordings / row["record"]).signal
            np.testing.assert_array_equal(signal, reference.p_signal.T[:12].astype(np.float32))


def test_age_and_sex_of_real_recordings(recordings: Path) -> None:
    for row in _rows(recordings):
        if row["record"].endswith("JS20008"):
            continue
        made = read_record(recordings / row["record"])
        assert made.age == (float(row["age"]) if row["age"] else None), row["record"]
        assert made.sex == (row["sex"].lower() or None), row["record"]


BAD = {
    "truncated_dat": "expected 120000 bytes, found 70001",
    "missing_dat": "signal file missing_dat.dat not found next to the header",
    "more_nsig": "header says 15 signals but lists 12",
    "gain_zero": "uncalibrated",
    "uv_as_mv": "units are probably µV",
    "mv_as_uv": "units are probably mV",
    "path_traversal": "must be a plain name beside the header",
    "absolute_path": "must be a plain name beside the header",
    "empty_hea": "empty header",
    "missing_lead": "missing lead V3",
    "lead_names_swapped": "einthoven",
    "arm_reversal": "lead_reversal",
    "nan_wfdb": "aVR: 500 missing samples",
    "one_flat": "flat:V3",
    "three_flat": "3 of 12 leads are flat: V2 V4 V6",
    "white_noise": "no reproducible beats",
    "railed": "clipped:V3",
    "short3s": "3.0 s is too short",
    "asystole_one_beat": "found, a median needs 3",
    "fs_wrong": "implausible_rate_or_width",
    "fs_zero": "sampling frequency must be > 0",
    "date_swapped": "",
    "missing_derivable": "derived_leads",
    "odd_names": "",
    "leads15": "",
}


def test_bad_recordings(recordings: Path) -> None:
    with (recordings / "bad" / "bad.csv").open(encoding="utf-8") as file:
        rows = {row["file"].split("/")[0]: row for row in csv.DictReader(file) if row["file"].endswith(".hea")}
    assert rows.keys() == BAD.keys()
    for name, row in rows.items():
        path = recordings / "bad" / row["file"]
        if row["expected_outcome"] == "error":
            with pytest.raises(InputError) as caught:
                median_beat(read_record(path))
            assert name in str(caught.value) and BAD[name] in str(caught.value)
        else:
            result = median_beat(read_record(path))
            assert (BAD[name] in result.flags) if BAD[name] else not result.flags, (name, result.flags)
