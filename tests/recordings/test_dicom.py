from __future__ import annotations

import sys
from pathlib import Path

import ecg_files
import numpy as np
import pytest

pytest.importorskip("pydicom")

from omi_keras.beats.median_beats import median_beat
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import LEADS


@pytest.fixture(name="adu")
def _adu(ecg: np.ndarray) -> np.ndarray:
    return np.round(ecg * 200).astype(np.int64)


def write(path: Path, *groups: dict, **more: object) -> Path:
    path.write_bytes(ecg_files.dicom(list(groups), **more))
    return path


def refused(path: Path, *words: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read_record(path)
    text = str(caught.value)
    for word in (path.name, *words):
        assert word in text, text
    assert "TESTNAME" not in text
    return caught.value


def test_known_values(tmp_path: Path, adu: np.ndarray) -> None:
    made = read_record(write(tmp_path / "a.dcm", {"adu": adu}))
    np.testing.assert_allclose(made.signal, adu * 0.005, atol=1e-6)
    assert (made.age, made.sex, made.source, made.flags) == (61.0, "female", "DICOM", ())
    assert made.device_beat is None
    assert "TESTNAME" not in repr(made) and "TESTID" not in repr(made) and "1950" not in repr(made)


@pytest.mark.parametrize(
    "group",
    [
        {"units": "mV", "sensitivity": "0.005"},
        {"sensitivity": "2.5", "correction": "2"},
        {"bits": 32, "interpretation": "SL"},
        {"codes": {lead: f"2:{code}" for lead, code in ecg_files.SCP_CODES.items()}, "meaning": ""},
        {"codes": dict.fromkeys(LEADS, "X"), "meaning": "Lead {} (Einthoven)"},
    ],
)
def test_other_ways_to_say_the_same(tmp_path: Path, adu: np.ndarray, group: dict) -> None:
    made = read_record(write(tmp_path / "a.dcm", {"adu": adu, **group}))
    np.testing.assert_allclose(made.signal, adu * 0.005, atol=1e-6)


def test_baseline_and_ages(tmp_path: Path, adu: np.ndarray) -> None:
    path = write(tmp_path / "a.dcm", {"adu": adu, "baseline": "-100"}, patient={"PatientAge": "006M"})
    made = read_record(path)
    np.testing.assert_allclose(made.signal, adu * 0.005 - 0.1, atol=1e-6)
    assert made.age == 0.5


def test_median_beat_group(tmp_path: Path, adu: np.ndarray) -> None:
    beat = adu[:, :600]
    made = read_record(write(tmp_path / "a.dcm", {"adu": beat, "label": "MEDIAN BEAT"}, {"adu": adu}))
    assert made.signal.shape == (12, 5000) and made.device_beat is not None
    np.testing.assert_allclose(made.device_beat.beat, beat * 0.005, atol=1e-6)


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ({"bytes": 60000}, "truncated DICOM: expected 120000 bytes of waveform, found 60000"),
        ({"samples": 900_000_000}, "truncated DICOM"),
        ({"channels": 8, "samples": 7500}, "header says 8 channels but describes 12"),
        ({"rate": 0}, "sampling frequency must be > 0"),
        ({"sensitivity": "0"}, "sensitivity of lead I must be > 0"),
        ({"sensitivity": None}, "uncalibrated"),
        ({"units": "mm[Hg]"}, "expected mV"),
        ({"codes": {**ecg_files.SCP_CODES, "V1": "5.6.3-9-4"}}, "coded as V2 and called V1"),
        ({"interpretation": "MB"}, "not supported"),
        ({"leads": [*LEADS[:11], "V5"]}, "lead V5 appears twice"),
    ],
)
def test_headers_that_lie(tmp_path: Path, adu: np.ndarray, group: dict, words: str) -> None:
    if "codes" in group:
        group = {"codes": {lead: f"5.6.3-9-{code}" for lead, code in ecg_files.SCP_CODES.items()} | {"V1": "5.6.3-9-4"}}
    refused(write(tmp_path / "a.dcm", {"adu": adu, **group}), words)


def test_padding_is_a_missing_sample(tmp_path: Path, adu: np.ndarray) -> None:
    adu[7, 100:140] = -32768
    refused(write(tmp_path / "a.dcm", {"adu": adu, "padding": -32768}), "V2: 40 missing samples")


def test_objects_that_are_no_recording(tmp_path: Path, adu: np.ndarray) -> None:
    refused(write(tmp_path / "a.dcm"), "not an ECG waveform")
    refused(write(tmp_path / "a.dcm", {"adu": adu, "label": "MEDIAN BEAT"}), "no rhythm")
    refused(write(tmp_path / "a.dcm", {"adu": adu[:3]}, {"adu": adu[3:6], "leads": LEADS[3:6]}), "missing leads V1")
    data = write(tmp_path / "a.dcm", {"adu": adu}).read_bytes()
    (tmp_path / "a.dcm").write_bytes(data[:60000])
    refused(tmp_path / "a.dcm", "truncated DICOM")
    (tmp_path / "a.dcm").write_bytes(data[:1000])
    refused(tmp_path / "a.dcm", "truncated DICOM")
    (tmp_path / "a.dcm").write_bytes(data + b"1.2.840.10008.1.2.1.99")
    refused(tmp_path / "a.dcm", "deflated")
    (tmp_path / "a.dcm").write_bytes(data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0", 1))
    refused(tmp_path / "a.dcm", "DICOM")
    (tmp_path / "a.dcm").write_bytes(b"x" + data)
    refused(tmp_path / "a.dcm", "not DICOM, whatever its name says")


def test_without_pydicom_one_command_is_named(tmp_path: Path, adu: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.dcm", {"adu": adu})
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert refused(path, "pip install 'omi-keras[formats]'").reason == "needs_package"


def test_real_file_and_its_median_beat(recordings: Path) -> None:
    made = read_record(recordings / "dicom" / "ge_simulated_normal80.dcm")
    assert made.signal.shape == (12, 5000) and (made.age, made.sex) == (39.0, "male")
    assert made.device_beat is not None and made.device_beat.beat.shape == (12, 600)
    device, ours = made.device_beat.beat, median_beat(made).beat[:, 100:500]
    assert max(np.corrcoef(ours.ravel(), device[:, k : k + 400].ravel())[0, 1] for k in range(201)) >= 0.99
