"""Files of several waveforms: which is the recording and which the device's beat must not hang on their order."""

from __future__ import annotations

import struct
from pathlib import Path

import ecg_files
import numpy as np
import pytest
from ecg_files import LEADS, read, refused

from omi_keras.recordings.record import Record

EIGHT = [0, 1, *range(6, 12)]


@pytest.fixture(name="adu")
def _adu(ecg: np.ndarray) -> np.ndarray:
    return np.round(ecg * 200).astype(np.int64)


def is_rhythm(made: Record, adu: np.ndarray) -> bool:
    return made.signal.shape == adu.shape and bool(np.abs(made.signal - adu * 0.005).max() < 1e-5)


BEAT = {"label": None, "originality": "DERIVED", "trigger": 250}


@pytest.mark.parametrize(
    ("beat", "r_sample"),
    [
        (BEAT, 250),
        ({"label": None, "originality": "DERIVED"}, None),
        ({"label": None, "trigger": 250}, 250),
        ({"label": "MEDIAN BEAT"}, None),
        ({"label": None}, None),
        ({"label": "RHYTHM", "originality": "DERIVED", "trigger": 0}, None),
        ({"label": None, "originality": "DERIVED", "trigger": 9999}, None),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_dicom_beat_and_rhythm(tmp_path: Path, adu: np.ndarray, beat: dict, r_sample: int | None, first: bool) -> None:
    pytest.importorskip("pydicom")
    groups = [{"adu": adu[:, :600] * 2, **beat}, {"adu": adu, "label": None}]
    made = read(tmp_path / "a.dcm", ecg_files.dicom(groups if first else groups[::-1]))
    assert is_rhythm(made, adu)
    assert made.device_beat is not None and made.device_beat.r_sample == r_sample
    np.testing.assert_allclose(made.device_beat.beat, adu[:, :600] * 0.01, atol=1e-5)


def test_dicom_the_longest_complete_rhythm_wins(tmp_path: Path, adu: np.ndarray) -> None:
    pytest.importorskip("pydicom")
    path = tmp_path / "a.dcm"
    whole, part = {"adu": adu, "label": None}, {"adu": adu[:, :2500] * 2, "label": None}
    strip = {"adu": np.tile(adu[1:2], 3), "leads": ["II"], "label": None}
    for groups in ([part, whole, strip], [strip, whole, part], [whole, part]):
        made = read(path, ecg_files.dicom(groups))
        assert is_rhythm(made, adu) and made.device_beat is None
    # A filtered copy of the same length is what was made of the recording.
    assert is_rhythm(read(path, ecg_files.dicom([{"adu": adu * 2, "originality": "DERIVED"}, whole])), adu)
    # A derived rhythm alone is one.
    assert is_rhythm(read(path, ecg_files.dicom([{"adu": adu, "originality": "DERIVED", "label": None}])), adu)
    refused(path, ecg_files.dicom([{"adu": adu[:, :600], **BEAT}]), "holds a median beat but no rhythm")


def test_dicom_leads_that_are_shifted(tmp_path: Path, adu: np.ndarray) -> None:
    pytest.importorskip("pydicom")
    path = tmp_path / "a.dcm"
    assert is_rhythm(read(path, ecg_files.dicom([{"adu": adu, "skews": {"V3": "0.5"}}])), adu)
    assert is_rhythm(read(path, ecg_files.dicom([{"adu": adu, "skews": dict.fromkeys(LEADS, "30")}])), adu)
    refused(path, ecg_files.dicom([{"adu": adu, "skews": {"V3": "30"}}]), "not simultaneous")


def test_muse_rhythms(tmp_path: Path, adu: np.ndarray) -> None:
    pytest.importorskip("defusedxml")
    path, eight = tmp_path / "a.xml", adu[EIGHT]
    units = {"LeadAmplitudeUnitsPerBit": "5"}
    one, two = (ecg_files.muse_waveform("Rhythm", values, **units) for values in (eight, eight * 2))
    short = ecg_files.muse_waveform("Rhythm", eight[:, :1500] * 2, **units)
    for waveforms in ([one, two], [one, short], [short, one]):
        made = read(path, ecg_files.muse(*waveforms))
        assert np.abs(made.signal[EIGHT] - eight * 0.005).max() < 1e-5
        assert made.flags == ("derived_leads", "several_rhythms")
    # More seconds in fewer samples.
    slow = ecg_files.muse_waveform("Rhythm", eight[:, :4000], SampleBase="250", **units)
    assert read(path, ecg_files.muse(one, slow)).seconds == 16.0
    # One lead for longer is no recording.
    strip = ecg_files.muse_waveform("Rhythm", np.tile(eight, 3), LeadID="II", **units)
    assert read(path, ecg_files.muse(strip, one)).seconds == 10.0
    medians = [ecg_files.muse_waveform("Median", eight[:, :600] * k, **units) for k in (1, 2)]
    made = read(path, ecg_files.muse(*medians, one))
    assert made.flags == ("derived_leads",) and made.device_beat is not None
    np.testing.assert_allclose(made.device_beat.beat[EIGHT], eight[:, :600] * 0.005, atol=1e-5)


@pytest.mark.parametrize(
    ("exponent", "word"), [("-7", "SampleBase"), ("300", "SampleBase"), ("nan", "must be a number")]
)
def test_muse_exponents_are_not_rounded(tmp_path: Path, adu: np.ndarray, exponent: str, word: str) -> None:
    pytest.importorskip("defusedxml")
    content = ecg_files.muse_waveform("Rhythm", adu[EIGHT], SampleBase="200000000", SampleExponent=exponent)
    refused(tmp_path / "a.xml", ecg_files.muse(content), word)


def test_aecg_series_and_sets(tmp_path: Path, adu: np.ndarray) -> None:
    pytest.importorskip("defusedxml")
    path, scale = tmp_path / "a.xml", {"scale": "5", "origin": "0"}
    whole, part = ecg_files.aecg_set(adu, **scale), ecg_files.aecg_set(adu[:, :2500] * 2, **scale)
    assert is_rhythm(read(path, ecg_files.aecg(part, whole)), adu)
    assert is_rhythm(read(path, ecg_files.aecg(whole, part)), adu)
    other = ecg_files.aecg_series("RHYTHM", part)
    assert is_rhythm(read(path, ecg_files.aecg(whole, before=other)), adu)
    beat = ecg_files.aecg_series("REPRESENTATIVE_BEAT", ecg_files.aecg_set(adu[:, :600], **scale))
    for where in ("before", "after"):
        made = read(path, ecg_files.aecg(whole, **{where: beat}))
        assert is_rhythm(made, adu) and made.device_beat is not None
        # Not even where no series says that it is the rhythm.
        content = ecg_files.aecg(whole, **{where: beat}).replace(b'code="RHYTHM"', b'code="X"')
        assert is_rhythm(read(path, content), adu)
    times = whole.partition("</component>")[0].partition("<component><sequence>")[2]
    again = f"<component><sequence>{times}</component>".replace("0.002", "0.004")
    twice = whole.replace("<sequenceSet>", f"<sequenceSet>{again}".replace("TIME_ABSOLUTE", "TIME_RELATIVE"))
    refused(path, ecg_files.aecg(twice), "time increments contradict each other (250 and 500 Hz)")


def test_sierra_waveforms(tmp_path: Path, adu: np.ndarray) -> None:
    pytest.importorskip("defusedxml")
    path = tmp_path / "a.xml"
    part = ecg_files.sierra(adu[:, :2500] * 2, encoding="Plain", version="1.04").decode()
    part = part.partition("<waveforms>")[2].partition("</waveforms>")[0].encode()
    whole = ecg_files.sierra(adu, encoding="Plain", version="1.04")
    assert is_rhythm(read(path, whole.replace(b"<waveforms>", b"<waveforms>" + part)), adu)
    assert is_rhythm(read(path, whole.replace(b"</waveforms>", part + b"</waveforms>")), adu)
    for old, new, words in (
        (b"<parsedwaveforms ", b'<parsedwaveforms samplespersecond="1000" ', "samplespersecond is given twice"),
        (b"<parsedwaveforms ", b'<parsedwaveforms resolution="2.5" ', "resolution is given twice"),
        (b"<parsedwaveforms ", b'<parsedwaveforms signaloffset="10" ', "offset"),
    ):
        refused(path, whole.replace(old, new), words)
    assert is_rhythm(read(path, whole.replace(b"<parsedwaveforms ", b'<parsedwaveforms resolution="5.0" ')), adu)


@pytest.mark.parametrize("encoding", ["Plain", "Base64"])
@pytest.mark.parametrize("channels", ["12", "16"])
def test_sierra_spare_channels(tmp_path: Path, synthetic, encoding: str, channels: str) -> None:
    pytest.importorskip("defusedxml")
    path = tmp_path / "a.xml"
    adu = np.round(synthetic(np.arange(0.43, 10.9, 0.857), 11.0) * 200).astype(np.int64)
    made = read(path, ecg_files.sierra(adu, encoding=encoding, spare=4, channels=channels))
    np.testing.assert_allclose(made.signal, adu[:, :5000] * 0.005, atol=1e-6)
    # V7 to V9 and the pacemaker's channel, say; the limb leads tell that the first twelve are the named ones.
    filled = np.concatenate([adu, adu[8:]])
    np.testing.assert_array_equal(
        read(path, ecg_files.sierra(filled, encoding=encoding, channels=channels)).signal, made.signal
    )
    if channels == "12":
        refused(
            path,
            ecg_files.sierra(filled[::-1], encoding=encoding),
            "expected 66000 samples (12 leads of 5500), found 88000",
        )
        refused(path, ecg_files.sierra(np.tile(adu, (3, 1)), encoding=encoding), "found 198000")
        refused(path, ecg_files.sierra(adu[:11], encoding=encoding), "found 60500")
        # Half the duration: every lead in two.
        refused(path, ecg_files.sierra(adu, encoding=encoding, milliseconds=5500), "12 leads of 2750")


def test_matlab_arrays(tmp_path: Path, ecg: np.ndarray) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    path = tmp_path / "a.mat"
    both = {"fs": 500.0, "units": "mV", "val": ecg}
    for other in ({"signal": ecg * 2}, {"ECG": {"data": ecg * 2}}, {"A": {"data": ecg * 2}, "B": {"data": ecg}}):
        scipy_io.savemat(path, both | other)
        assert refused(path, path.read_bytes(), "which of its arrays is the ECG", "val").reason == "ambiguous"
    scipy_io.savemat(path, both | {"ECG": {"data": ecg}, "notes": "none"})
    np.testing.assert_allclose(read(path, path.read_bytes()).signal, ecg, atol=1e-6)


def test_scp_sections_and_fiducial_points(tmp_path: Path, adu: np.ndarray) -> None:
    path, rhythm, beat = tmp_path / "a.scp", ecg_files.scp_signals(adu), ecg_files.scp_signals(adu[:, :350])
    for fiducial, r_sample in ((101, 100), (0, None), (351, None), (60000, None)):
        zones = ecg_files.scp_zones(700, fiducial, [])
        made = read(path, ecg_files.scp(rhythm, 5000, beat=beat, zones=zones))
        assert is_rhythm(made, adu)
        assert made.device_beat is not None and made.device_beat.r_sample == r_sample
    zones = ecg_files.scp_zones(700, 0, [(136, 216, 366)])
    refused(path, ecg_files.scp(rhythm, 5000, beat=beat, zones=zones, subtracted=True), "is not stated")
    good = bytearray(ecg_files.scp(rhythm, 5000, beat=beat, zones=ecg_files.scp_zones(700, 101, [])))
    at = 22 + 10 * 6  # the pointer to section 6, again in the place of section 7's
    good[at + 10 : at + 20] = good[at : at + 10]
    assert struct.unpack_from("<H", good, at)[0] == 6
    refused(path, bytes(good), "section 6 is listed twice")
