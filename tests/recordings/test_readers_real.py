from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from omi_keras.recordings.formats.wfdb import read_signals
from omi_keras.recordings.formats.wfdb_header import read_header
from omi_keras.recordings.limb_leads import limb_lead_error_uv
from omi_keras.recordings.readers import read_record


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


def test_every_recording_of_the_table(recordings: Path) -> None:
    """Rate and duration as the table says, in every format; limb leads that obey Einthoven's law as recorded."""
    pytest.importorskip("defusedxml")
    pytest.importorskip("pydicom")
    with (recordings / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 54
    for row in rows:
        made = read_record(recordings / row["record"])
        seconds = int(row["n_samples"]) / float(row["fs"])
        # Philips' eleventh second is cut off: it ends in the calibration pulse.
        expected = 10.0 if "Sierra" in row["format"] or "Philips" in row["format"] else seconds
        assert abs(made.seconds - expected) < 0.003, row["record"]
        assert 0.1 < np.median(np.ptp(made.signal, axis=1)) < 20.0, row["record"]
        assert limb_lead_error_uv(made.signal) < 100.0, row["record"]
        if row["age"] and row["format"] != "CSV with lead header" and not row["format"].startswith("NumPy"):
            assert made.age == float(row["age"]) and (made.sex or "?")[0] == row["sex"][0].lower(), row["record"]
