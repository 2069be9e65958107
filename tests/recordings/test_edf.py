from __future__ import annotations

from pathlib import Path

import ecg_files
import numpy as np
import pytest
from ecg_files import read, refused

from omi_keras.recordings.record import LEADS


@pytest.fixture(name="adu")
def _adu(ecg: np.ndarray) -> np.ndarray:
    return np.round(ecg * 200).astype(np.int64)


@pytest.mark.parametrize("annotations", [False, True])
@pytest.mark.parametrize(("width", "name", "source"), [(2, "a.edf", "EDF"), (3, "a.bdf", "BDF"), (2, "a", "EDF")])
def test_known_values(tmp_path: Path, adu: np.ndarray, annotations: bool, width: int, name: str, source: str) -> None:
    made = read(tmp_path / name, ecg_files.edf(adu, annotations=annotations, width=width))
    np.testing.assert_allclose(made.signal, adu * 0.005, atol=1e-6)
    assert (made.age, made.sex, made.source, made.flags) == (None, "female", source, ())


def test_units_labels_and_record_lengths(tmp_path: Path, adu: np.ndarray) -> None:
    labels = tuple(f"ECG {lead}" for lead in LEADS)
    content = ecg_files.edf(adu, labels=labels, seconds=5, units="mV", low="-163.84", high="163.835", reserved="")
    made = read(tmp_path / "a.edf", content)
    np.testing.assert_allclose(made.signal, adu * 0.005, atol=1e-6)
    assert made.sex is None  # plain EDF does not say where it is
    np.testing.assert_allclose(
        read(tmp_path / "a.edf", ecg_files.edf(adu, records="-1")).signal, made.signal, atol=1e-6
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"records": "11"}, "expected 135328 bytes, found 123328"),
        ({"records": "0"}, "found 123328"),
        ({"records": "99999999"}, "copy the file again"),
        ({"signals": "13"}, "header of 13 signals"),
        ({"signals": "-1"}, "number of signals must be 1"),
        ({"signals": "many"}, "must be a number, got 'many'"),
        ({"bytes": "768"}, "header of 12 signals has 3328 bytes, says 768"),
        ({"samples": "0"}, "must be a count, got 0"),
        ({"samples": "999"}, "copy the file again"),
        ({"samples": "1e300"}, "must be a count"),
        ({"duration": "0"}, "must be > 0"),
        ({"duration": "100"}, "50 to 10000 Hz"),
        ({"units": "mmHg"}, "expected mV"),
        ({"high": "-163840"}, "range of lead I must be > 0"),
        ({"digital_high": "-32768"}, "range of lead I must be > 0"),
        ({"digital_low": "nan"}, "must be a number"),
        ({"labels": (*LEADS[:11], "V5")}, "lead V5 appears twice"),
        ({"labels": (*LEADS[:11], "SaO2")}, "missing lead V6"),
        ({"reserved": "EDF+D"}, "discontinuous"),
    ],
)
def test_headers_that_lie(tmp_path: Path, adu: np.ndarray, changes: dict, words: str) -> None:
    refused(tmp_path / "a.edf", ecg_files.edf(adu, **changes), words)


def test_damage(tmp_path: Path, adu: np.ndarray) -> None:
    content = ecg_files.edf(adu)
    for length in (8, 100, 256, 1000, 3328, 60000, len(content) - 1):
        refused(tmp_path / "a.edf", content[:length])
