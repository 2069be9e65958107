"""GE MUSE XML and HL7 annotated ECGs, written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ecg_files
import numpy as np
import pytest
from ecg_files import read, refused

pytest.importorskip("defusedxml")


EIGHT = [0, 1, *range(6, 12)]
MUSE_MV = 0.00488


@pytest.fixture(name="adu")
def _adu(ecg: np.ndarray) -> np.ndarray:
    """(8, 5000) steps of 4.88 µV."""
    return np.round(ecg[EIGHT] / MUSE_MV).astype(np.int64)


def test_muse_known_values(tmp_path: Path, adu: np.ndarray) -> None:
    beat = adu[:, :600]
    content = ecg_files.muse(ecg_files.muse_waveform("Median", beat), ecg_files.muse_waveform("Rhythm", adu))
    made = read(tmp_path / "a.xml", content)
    np.testing.assert_allclose(made.signal[EIGHT], adu * MUSE_MV, atol=1e-6)
    np.testing.assert_allclose(made.signal[2], (adu[1] - adu[0]) * MUSE_MV, atol=1e-6)
    np.testing.assert_allclose(made.signal[3], -(adu[1] + adu[0]) * MUSE_MV / 2, atol=1e-6)
    assert (made.age, made.sex, made.source, made.flags) == (61.0, "female", "GE MUSE XML", ("derived_leads",))
    assert made.device_beat is not None
    np.testing.assert_allclose(made.device_beat.beat[EIGHT], beat * MUSE_MV, atol=1e-6)


@pytest.mark.parametrize(("base", "exponent"), [("250", "0"), ("25", "1"), ("2500", "-1")])
def test_muse_rate(tmp_path: Path, synthetic: Callable[..., np.ndarray], base: str, exponent: str) -> None:
    beats = np.arange(0.43, 9.9, 0.857)
    adu = np.round(synthetic(beats, rate=250.0)[EIGHT] / MUSE_MV)
    content = ecg_files.muse(ecg_files.muse_waveform("Rhythm", adu, SampleBase=base, SampleExponent=exponent))
    np.testing.assert_allclose(read(tmp_path / "a.xml", content).signal, synthetic(beats), atol=0.02)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SampleBase": "0"}, "SampleBase must be > 0"),
        ({"SampleExponent": "99"}, "SampleBase must be 50 to 10000"),
        ({"LeadSampleCountTotal": "9999999999"}, "expected 19999999998 bytes, found 10000"),
        ({"LeadSampleCountTotal": "2500"}, "lead I: expected 5000 bytes, found 10000"),
        ({"LeadAmplitudeUnitsPerBit": "0"}, "must be > 0"),
        ({"LeadAmplitudeUnitsPerBit": ""}, "must be a number"),
        ({"LeadAmplitudeUnits": "FURLONGS"}, "expected mV"),
        ({"LeadSampleSize": "4"}, "not of 2 bytes"),
        ({"LeadID": "V1"}, "lead V1 appears twice"),
        ({"LeadID": "X"}, "missing leads I, II"),
        ({"WaveFormData": "!!!"}, "not base 64"),
        ({"WaveFormData": ""}, "found 0"),
    ],
)
def test_muse_headers_that_lie(tmp_path: Path, adu: np.ndarray, changes: dict, words: str) -> None:
    refused(tmp_path / "a.xml", ecg_files.muse(ecg_files.muse_waveform("Rhythm", adu, **changes)), words)


def test_muse_flags_and_layouts(tmp_path: Path, adu: np.ndarray) -> None:
    path = tmp_path / "a.xml"
    content = ecg_files.muse(ecg_files.muse_waveform("Rhythm", adu, LeadDataCRC32="1391929279"))
    assert read(path, content).flags == ("checksum", "derived_leads")
    text = ecg_files.muse_waveform("Rhythm", adu)
    assert "lead_off:I" in read(path, ecg_files.muse(text.replace("FALSE", "TRUE", 1))).flags
    refused(path, ecg_files.muse(ecg_files.muse_waveform("Median", adu[:, :600])), "no rhythm waveform (found: median)")
    later = text.replace("<LeadTimeOffset>0", "<LeadTimeOffset>2500", 1)
    assert refused(path, ecg_files.muse(later), "not simultaneous").reason == "not_simultaneous"


def test_aecg_known_values(tmp_path: Path, ecg: np.ndarray) -> None:
    adu = np.round(ecg * 400).astype(np.int64)
    beat = adu[:, :500]
    content = ecg_files.aecg(ecg_files.aecg_set(adu), derived=ecg_files.aecg_set(beat))
    made = read(tmp_path / "a.xml", content)
    np.testing.assert_allclose(made.signal, adu * 0.0025 + 0.01, atol=1e-6)
    assert (made.age, made.sex, made.source, made.flags) == (None, "female", "HL7 aECG", ())
    assert made.device_beat is not None
    np.testing.assert_allclose(made.device_beat.beat, beat * 0.0025 + 0.01, atol=1e-6)


def test_aecg_units_rates_and_layouts(tmp_path: Path, ecg: np.ndarray) -> None:
    adu = np.round(ecg * 400).astype(np.int64)
    short = ecg_files.aecg_set(adu[:3, :1250], ("I", "II", "III"))
    full = ecg_files.aecg_set(adu, scale="0.0025", unit="mV", origin="0", increment="2", time_unit="ms")
    made = read(tmp_path / "a.xml", ecg_files.aecg(short, full))
    np.testing.assert_allclose(made.signal, adu * 0.0025, atol=1e-6)
    made = read(tmp_path / "a.xml", ecg_files.aecg(ecg_files.aecg_set(adu, increment="0.001")))
    assert made.signal.shape == (12, 2500)
    refused(tmp_path / "a.xml", ecg_files.aecg(short), "missing leads V1")
    other = b'<component><series><code code="MEDIAN"/></series></component>'
    content = ecg_files.aecg(full).replace(b"<component><series>", other + b"<component><series>", 1)
    assert read(tmp_path / "a.xml", content).signal.shape == (12, 5000)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"increment": "0"}, "time increment must be > 0"),
        ({"increment": "2"}, "50 to 10000 Hz"),
        ({"time_unit": "h"}, "time increment has unit 'h'"),
        ({"scale": "0"}, "scale of MDC_ECG_LEAD_I must be > 0"),
        ({"unit": "kg"}, "expected mV"),
        ({"origin": "x"}, "origin of MDC_ECG_LEAD_I must be a number"),
    ],
)
def test_aecg_headers_that_lie(tmp_path: Path, ecg: np.ndarray, changes: dict, words: str) -> None:
    adu = np.round(ecg * 400).astype(np.int64)
    refused(tmp_path / "a.xml", ecg_files.aecg(ecg_files.aecg_set(adu, **changes)), words)


def test_aecg_damage(tmp_path: Path, ecg: np.ndarray) -> None:
    path = tmp_path / "a.xml"
    adu = np.round(ecg * 400).astype(np.int64)
    good = ecg_files.aecg(ecg_files.aecg_set(adu))
    refused(path, good.replace(b"<digits>", b"<digits>x ", 1), "MDC_ECG_LEAD_I: sample 0 is not an integer: x")
    refused(path, good.replace(b"<digits>", b"<digits>7 ", 1), "leads differ in length")
    refused(path, good.replace(b'LEAD_II"', b'LEAD_I"', 1), "lead I appears twice")
    refused(path, good.replace(b"sequenceSet", b"otherSet"), "no sequence set")
    refused(path, ecg_files.aecg(), "no sequence set")
