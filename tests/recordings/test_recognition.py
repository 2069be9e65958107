"""What a file is, is seen in its content; what it is not, is said in a sentence about that."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import ecg_files
import numpy as np
import pytest
from ecg_files import read, refused

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats import dicom
from omi_keras.recordings.readers import KNOWN, read_record

HTML = b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body>502</body></html>"


def zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


FOREIGN = {
    "is a web page": HTML,
    "is a web page (HTML)": b'\n<?xml version="1.0"?>\n<!-- x --><html xmlns="http://www.w3.org/1999/xhtml"></html>',
    "is a PDF document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(2000),
    "is a picture (PNG)": b"\x89PNG\r\n\x1a\n" + bytes(2000),
    "is a picture (JPEG)": b"\xff\xd8\xff\xe0" + bytes(2000),
    "is compressed (gzip)": gzip.compress(b"a 12 500 5000\n" * 100),
    "is a ZIP archive": zipped("ecg.xml", b"<a/>"),
    "is HDF5": b"\x89HDF\r\n\x1a\n" + bytes(2000),
    "is a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}


@pytest.mark.parametrize("suffix", [*KNOWN, ".ecg", ".txt", ""])
@pytest.mark.parametrize("words", FOREIGN)
def test_other_things_are_called_what_they_are(tmp_path: Path, suffix: str, words: str) -> None:
    path = tmp_path / f"rec{suffix}"
    path.write_bytes(FOREIGN[words])
    with pytest.raises(InputError) as caught:
        read_record(path)
    text = str(caught.value)
    assert path.name in text and words in text and "\n" not in text and "truncated" not in text, text
    assert f"not {KNOWN.get(suffix, 'a recording in a known format')}" in text
    assert caught.value.reason == "unknown_format"


@pytest.mark.parametrize("suffix", KNOWN)
@pytest.mark.parametrize(
    "content",
    [b"hello, this is a letter\nto whom it may concern\n" * 20, b'{"a": 1}', bytes(range(256)) * 8, b"\0" * 999],
)
def test_nothing_known_is_not_what_its_name_says(tmp_path: Path, suffix: str, content: bytes) -> None:
    error = refused(tmp_path / f"rec{suffix}", content)
    words = {".csv": "", ".mat": "not a MATLAB file", ".hea": "not a WFDB header"}.get(suffix, f"not {KNOWN[suffix]}")
    assert words in str(error), error
    assert "bytes, found" not in str(error) and "cut off within" not in str(error), error


@pytest.mark.parametrize("suffix", KNOWN)
def test_empty_files(tmp_path: Path, suffix: str) -> None:
    refused(tmp_path / f"rec{suffix}", b"", "empty")


def test_scp_is_told_from_scp_that_is_cut_off(tmp_path: Path, ecg: np.ndarray) -> None:
    adu = np.round(ecg * 200).astype(np.int64)
    good = ecg_files.scp(ecg_files.scp_signals(adu), 5000)
    refused(tmp_path / "a.scp", good[:9000], f"expected {len(good)} bytes, found 9000")
    older = good.replace(b"SCPECG", bytes(6), 1)
    refused(tmp_path / "a.scp", older[:9000], f"expected {len(good)} bytes, found 9000")
    refused(tmp_path / "a.scp", good[1000:], "not SCP-ECG, whatever its name says")
    refused(tmp_path / "a.scp", ecg_files.edf(adu), "looks like EDF, not like .scp")


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("name", ["a.dcm", "a", "IM000001"])
def test_dicom_without_a_preamble(tmp_path: Path, ecg: np.ndarray, implicit: bool, name: str) -> None:
    pytest.importorskip("pydicom")
    adu = np.round(ecg * 200).astype(np.int64)
    whole = ecg_files.dicom([{"adu": adu}], implicit=implicit)
    bare = ecg_files.dicom([{"adu": adu}], implicit=implicit, header=False)
    assert whole.endswith(bare) and not bare.startswith(b"\2\0")
    for content in (whole, whole[128:], whole[132:], bare):
        made = read(tmp_path / name, content)
        np.testing.assert_allclose(made.signal, adu * 0.005, atol=1e-6)
        assert (made.age, made.sex, made.source) == (61.0, "female", "DICOM")
    for content in (whole[132:], bare):
        refused(tmp_path / name, content[:60000], "truncated DICOM")


def test_big_endian_dicom_without_a_preamble(tmp_path: Path, ecg: np.ndarray) -> None:
    pydicom = pytest.importorskip("pydicom")
    bare = ecg_files.dicom([{"adu": np.round(ecg * 200)}], header=False)
    stream = pydicom.filebase.DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = False, False
    pydicom.filewriter.write_dataset(stream, pydicom.dcmread(io.BytesIO(bare), force=True))
    assert stream.getvalue().startswith(b"\0\x08")
    refused(tmp_path / "a.dcm", stream.getvalue(), "big-endian DICOM is not supported")


def test_only_dicom_looks_like_dicom(ecg: np.ndarray) -> None:
    adu = np.round(ecg * 200).astype(np.int64)
    for content in (
        b"\2\0\0\0" + bytes(508),
        b"\x08\0\x05\0" * 100,
        adu.T.astype("<i2").tobytes()[:512],
        ecg_files.scp(ecg_files.scp_signals(adu), 5000)[:512],
        ecg_files.edf(adu)[:512],
        b"",
        b"\x08\0",
    ):
        assert not dicom.looks_like(content), content[:20]


WRITE = Callable[..., Path]


@pytest.mark.parametrize(
    "name", ["records100/00000/a", "records500/21000/21837_hr", "./a", "p1/104", "../a", "/data/a", "x/12"]
)
def test_a_folder_in_a_wfdb_records_name(tmp_path: Path, write_wfdb: WRITE, ecg: np.ndarray, name: str) -> None:
    header = write_wfdb(tmp_path, "a", ecg)
    plain = read_record(header)
    text = header.read_text(encoding="utf-8")
    header.write_text(text.replace("a 12", f"{name} 12", 1), encoding="utf-8")
    made = read_record(header)
    np.testing.assert_array_equal(made.signal, plain.signal)
    assert made.ecg_id == "a"
    header.write_text(text.replace("a 12", f"{name} 12", 1).replace("a.dat", "records100/a.dat"), encoding="utf-8")
    assert refused(header, header.read_bytes(), "plain name beside the header", "records100/a.dat").reason == "bad_path"


@pytest.mark.parametrize(
    "content",
    ["a/2 12 500 5000\na_1 2500\na_2 2500\n", "a/3 12 500 5000\na_layout 0\na_1 2500\n~ 2500\n", "a/2 12 500 9\n"],
)
def test_multi_segment_records_are_refused_as_such(tmp_path: Path, content: str) -> None:
    assert refused(tmp_path / "a.hea", content.encode(), "multi-segment").reason == "multi_segment"
