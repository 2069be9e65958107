from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable
from pathlib import Path

import ecg_files
import numpy as np
import pytest

pytest.importorskip("defusedxml")

from omi_keras.beats.median_beats import median_beat
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record

CALIBRATION = 5264


def eleven_seconds(synthetic: Callable[..., np.ndarray]) -> np.ndarray:
    """(12, 5500) integers of 5 µV, the calibration pulse of an MRx at the end."""
    adu = np.round(synthetic(np.arange(0.43, 10.9, 0.857), 11.0) * 200).astype(np.int64)
    adu[:, CALIBRATION:] = 0
    adu[:, 5300:5400] = 200
    return adu


@pytest.fixture(name="adu", scope="module")
def _adu(synthetic: Callable[..., np.ndarray]) -> np.ndarray:
    return eleven_seconds(synthetic)


def refused(path: Path, content: bytes, *words: str) -> InputError:
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_record(path)
    for word in (path.name, *words):
        assert word in str(caught.value), str(caught.value)
    return caught.value


@pytest.mark.parametrize("version", ["1.03", "1.04", "1.04.01"])
@pytest.mark.parametrize("encoding", ["XLI", "Base64", "Plain"])
@pytest.mark.parametrize("charset", ["utf-8", "utf-16"])
def test_every_encoding_gives_the_first_ten_seconds(
    tmp_path: Path, adu: np.ndarray, version: str, encoding: str, charset: str
) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(ecg_files.sierra(adu, version=version, encoding=encoding, charset=charset))
    made = read_record(path)
    np.testing.assert_array_equal(made.signal, (adu[:, :5000] * 0.005).astype(np.float32))
    assert (made.age, made.sex, made.source) == (61.0, "female", f"SierraECG {version}")
    assert made.flags == () and made.device_beat is None
    assert "TESTNAME" not in repr(made) and "TESTID" not in repr(made)


def test_spare_channels_and_odd_limb_leads(tmp_path: Path, adu: np.ndarray) -> None:
    # Real limb leads are off Einthoven's law by a unit or two, and by more where filters differ.
    adu = adu + np.random.default_rng(0).integers(-40, 40, adu.shape)
    path = tmp_path / "a.xml"
    for channels in ("12", "16"):
        path.write_bytes(ecg_files.sierra(adu, spare=4, channels=channels))
        np.testing.assert_array_equal(read_record(path).signal, (adu[:, :5000] * 0.005).astype(np.float32))


def test_plain_text_may_claim_to_be_compressed(tmp_path: Path, adu: np.ndarray) -> None:
    path = tmp_path / "a.xml"
    content = ecg_files.sierra(adu, encoding="Plain").replace(b'compressflag="False"', b'compressflag="True"')
    path.write_bytes(content)
    assert read_record(path).signal.shape == (12, 5000)


def test_lead_order_is_the_files(tmp_path: Path, adu: np.ndarray) -> None:
    order = [*range(6, 12), *range(6)]
    labels = tuple(ecg_files.LEADS[k] for k in order)
    path = tmp_path / "a.xml"
    path.write_bytes(ecg_files.sierra(adu[order], version="1.04", encoding="Base64", labels=labels))
    np.testing.assert_array_equal(read_record(path).signal, (adu[:, :5000] * 0.005).astype(np.float32))


@pytest.mark.parametrize(
    ("version", "scale", "padding", "factor"),
    [
        ("1.03", 'samplespersec="1000" resolution="1.0"', 0, 1.0),
        ("1.03", "", 0, 1.0),
        ("1.04.01", "", 0, 1.0),
        ("1.04", 'samplespersec="500" resolution="2.5"', 600, 2.5),
        ("1.04", "", 600, 2.5),
    ],
)
def test_representative_beats(
    tmp_path: Path,
    adu: np.ndarray,
    synthetic: Callable[..., np.ndarray],
    version: str,
    scale: str,
    padding: int,
    factor: float,
) -> None:
    rate = 500 if version == "1.04" else 1000
    beat = synthetic([0.5], 1.2, rate=float(rate))
    stored = np.round(beat * 1000 / factor)
    path = tmp_path / "a.xml"
    text = ecg_files.sierra_beats(stored, version, scale, padding)
    path.write_bytes(ecg_files.sierra(adu, version=version, beats=text))
    made = read_record(path).device_beat
    assert made is not None and made.beat.dtype == np.float32 and made.r_sample is None
    np.testing.assert_allclose(made.beat, synthetic([0.5], 1.2), atol=0.6e-3 * factor + 0.01 * (rate == 1000))


def test_incomplete_beats_refuse_no_recording(tmp_path: Path, adu: np.ndarray) -> None:
    text = ecg_files.sierra_beats(np.zeros((12, 1200)), "1.03", 'samplespersec="1000" resolution="1"')
    path = tmp_path / "a.xml"
    path.write_bytes(ecg_files.sierra(adu, beats=text.replace('"V2"', '"V9"')))
    assert read_record(path).device_beat is None


@pytest.mark.parametrize(
    ("changes", "words", "reason"),
    [
        ({"channels": "8", "version": "1.04"}, "header says 8 leads but names 12", "bad_header"),
        ({"channels": "8"}, "header says 8 leads but names 12", "bad_header"),
        ({"channels": "16"}, "header says 16 leads but 12 are stored", "bad_header"),
        ({"channels": "99999999"}, "header says 1e+08 leads", "bad_header"),
        ({"rate": "0"}, "sampling rate must be > 0", "bad_rate"),
        ({"rate": "fast"}, "sampling rate must be a number, got 'fast'", "bad_xml"),
        ({"resolution": "0"}, "signal resolution must be > 0", "uncalibrated"),
        ({"resolution": "-5"}, "signal resolution must be > 0", "uncalibrated"),
        ({"version": "9.99"}, "unsupported PhilipsECG version 9.99", "unsupported_version"),
        ({"milliseconds": 10000}, "does not decompress to 5000 samples", "bad_signal"),
        ({"milliseconds": 10000, "encoding": "Plain"}, "expected 60000 samples", "truncated"),
        ({"milliseconds": 999999999}, "a resting ECG has 11 s", "bad_header"),
        ({"encoding": "Base64", "rate": "250"}, "expected 33000 samples (12 leads of 2750), found 66000", "truncated"),
    ],
)
def test_headers_that_lie(tmp_path: Path, adu: np.ndarray, changes: dict, words: str, reason: str) -> None:
    assert refused(tmp_path / "a.xml", ecg_files.sierra(adu, **changes), words).reason == reason


def test_fewer_leads_than_stored(tmp_path: Path, adu: np.ndarray) -> None:
    eight = tuple(ecg_files.LEADS[:8])
    content = ecg_files.sierra(adu, version="1.04", channels="8", labels=eight)
    assert refused(tmp_path / "a.xml", content, "header says 8 leads but 12 are stored").reason == "bad_header"


def test_damaged_data(tmp_path: Path, adu: np.ndarray) -> None:
    content = ecg_files.sierra(adu)
    start = content.index(b'durationperchannel="11000">') + 400
    refused(tmp_path / "a.xml", content[:start] + b"!!" + content[start + 2 :], "not base 64")
    plain = ecg_files.sierra(adu, encoding="Plain")
    refused(tmp_path / "a.xml", plain.replace(b"\n0 ", b"\nNaN ", 1), "is not an integer: NaN")
    refused(tmp_path / "a.xml", plain.replace(b"parsedwaveforms ", b"otherwaveforms ", 1), "XML not well formed")
    refused(tmp_path / "a.xml", plain.replace(b"parsedwaveforms", b"otherwaveforms"), "<parsedwaveforms> is missing")
    refused(tmp_path / "a.xml", content[: len(content) // 2], "XML not well formed or cut off")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<note><to>you</to></note>", "not a supported ECG XML (root element <note>)"),
        (b'<!DOCTYPE a [<!ENTITY x "lol">]><a>&x;</a>', "entities"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>', "entities"),
        (b'<!DOCTYPE a [<!ENTITY % x SYSTEM "file:///etc/hostname"> %x;]><a/>', "entities"),
        (b"<a>" * 1000 + b"</a>" * 1000, "too deep"),
        (b"<a>" + b"<b/>" * 200_001 + b"</a>", "too many elements"),
        ('<?xml version="1.0" encoding="UTF-8"?><a/>'.encode("utf-16"), "XML"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "XML"),
        (b"<", "XML not well formed"),
        (b"", "empty file"),
    ],
)
def test_hostile_xml(tmp_path: Path, content: bytes, words: str) -> None:
    error = refused(tmp_path / "a.xml", content, words)
    host = Path("/etc/hostname")
    assert not (
        host.is_file()
        and host.read_text(encoding="utf-8").strip()
        and host.read_text(encoding="utf-8").strip() in str(error)
    )


def test_without_defusedxml_one_command_is_named(
    tmp_path: Path, adu: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "defusedxml", None)
    content = ecg_files.sierra(adu)
    assert refused(tmp_path / "a.xml", content, "pip install 'omi-keras[formats]'").reason == "needs_package"


def test_content_goes_before_the_name(tmp_path: Path, adu: np.ndarray) -> None:
    path = tmp_path / "a.ecg"
    path.write_bytes(ecg_files.sierra(adu))
    assert read_record(path).source == "SierraECG 1.03"
    refused(tmp_path / "a.dcm", ecg_files.sierra(adu), "looks like XML, not like .dcm")


def test_real_files(recordings: Path) -> None:
    with (recordings / "labels.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if "SierraECG" in row["format"] or "PhilipsECG" in row["format"]]
    assert len(rows) == 6
    made = {row["record"]: read_record(recordings / row["record"]) for row in rows}
    for row in rows:
        assert made[row["record"]].signal.shape == (12, 5000)
    first, second = (made[f"sierra_xml/pagewriter_104_utf{k}.xml"] for k in (8, 16))
    np.testing.assert_array_equal(first.signal, second.signal)


def test_derived_files_against_their_sources(recordings: Path) -> None:
    for name in ("A0001", "A0008"):
        source = read_record(recordings / "wfdb_cpsc2018" / name).signal[:, :5000]
        made = read_record(recordings / "mrx_plain_derived" / f"{name}_mrx.xml").signal
        assert np.abs(made - source).max() <= 0.0026  # half of 5 µV
    # s0010_re from 8 s on (sample 4000 at 1000 Hz), by another resampler.
    source = read_record(recordings / "wfdb_ptbdb" / "s0010_re").signal[:, 2000:7000]
    made = read_record(recordings / "mrx_plain_derived" / "s0010_re_mrx.xml").signal
    for a, b in zip(made, source, strict=True):
        assert np.corrcoef(a[100:-100], b[100:-100])[0, 1] > 0.999


def test_xli_and_plain_agree_on_real_recordings(recordings: Path, tmp_path: Path) -> None:
    for name in ("A0001", "A0008", "s0010_re"):
        path = recordings / "mrx_plain_derived" / f"{name}_mrx.xml"
        plain = re.search(r"<parsedwaveforms[^>]*>([^<]*)<", path.read_text(encoding="utf-8"))
        assert plain is not None
        adu = np.array(plain[1].split(), np.int64).reshape(12, 5500)
        (tmp_path / "x.xml").write_bytes(ecg_files.sierra(adu))
        np.testing.assert_array_equal(read_record(tmp_path / "x.xml").signal, read_record(path).signal)


def test_median_beat_is_the_devices(recordings: Path) -> None:
    made = read_record(recordings / "sierra_xml" / "pagewriter_104_utf8.xml")
    assert made.device_beat is not None
    device, ours = made.device_beat.beat, median_beat(made).beat[:, 100:500]
    best = max(
        np.corrcoef(ours.ravel(), device[:, k : k + 400].ravel())[0, 1] for k in range(device.shape[1] - 400 + 1)
    )
    assert best >= 0.99
