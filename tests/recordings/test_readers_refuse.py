from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import LEADS

Make = Callable[..., np.ndarray]
Write = Callable[..., Path]
Edit = Callable[..., Path]
BEATS = np.arange(0.43, 9.9, 0.857)


def _refused(path: Path, *words: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read_record(path)
    text = str(caught.value)
    for word in (path.name, *words):
        assert word in text, text
    assert "\n" not in text
    return caught.value


def test_truncated_and_padded_signal_files(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray) -> None:
    header = write_wfdb(tmp_path, "a", ecg)
    data = (tmp_path / "a.dat").read_bytes()
    for changed in (data[:70001], data + b"\0\0", b""):
        (tmp_path / "a.dat").write_bytes(changed)
        error = _refused(header, "a.dat", f"expected 120000 bytes, found {len(changed)}")
        assert error.reason == "truncated"


@pytest.mark.parametrize("samples", ["900000000000000", "99999999999", "5001", "1"])
def test_header_numbers_are_not_believed(
    tmp_path: Path, write_wfdb: Write, edit_header: Edit, ecg: np.ndarray, samples: str
) -> None:
    header = edit_header(write_wfdb(tmp_path, "a", ecg), "a 12 500 5000", f"a 12 500 {samples}")
    _refused(header, "expected", "found 120000")


def test_more_than_an_hour(tmp_path: Path) -> None:
    samples = 50 * 3601
    (tmp_path / "a.dat").write_bytes(bytes(2 * 12 * samples))
    lines = [f"a 12 50 {samples}", *(f"a.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in LEADS)]
    (tmp_path / "a.hea").write_text("\n".join(lines), encoding="utf-8")
    assert _refused(tmp_path / "a.hea", "1 hour").reason == "too_long"


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        ("0", "must be > 0"),
        ("-500", "must be > 0"),
        ("1", "50 to 10000"),
        ("1e9", "50 to 10000"),
        ("fast", "no number"),
    ],
)
def test_sampling_frequency(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray, rate: str, words: str) -> None:
    assert _refused(write_wfdb(tmp_path, "a", ecg, rate=rate), words).reason == "bad_rate"


@pytest.mark.parametrize("gain", ["0(0)/mV", "0", "-0/mV", "1e999/mV"])
def test_uncalibrated(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray, gain: str) -> None:
    assert _refused(write_wfdb(tmp_path, "a", ecg, gain=gain), "uncalibrated").reason == "uncalibrated"


def test_no_gain_at_all(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray) -> None:
    header = write_wfdb(tmp_path, "a", ecg)
    text = header.read_text(encoding="utf-8").splitlines()
    header.write_text("\n".join([text[0], *(" ".join(line.split()[:2]) for line in text[1:])]), encoding="utf-8")
    _refused(header, "missing leads")  # such a short line has no lead name either


@pytest.mark.parametrize("gain", ["1000(0)/mmHg", "1000(0)/nV", "ten/mV", "1000(x)/mV", "nan/mV"])
def test_strange_units_and_gains(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray, gain: str) -> None:
    assert _refused(write_wfdb(tmp_path, "a", ecg, gain=gain)).reason in ("bad_units", "bad_gain")


@pytest.mark.parametrize(
    "file",
    [
        "../../../etc/passwd",
        "/etc/hostname",
        "..\\a.dat",
        "C:\\a.dat",
        "sub/a.dat",
        "..",
        ".",
        "~",
        "C:a.dat",
    ],
)
def test_signal_file_must_lie_beside_the_header(
    tmp_path: Path, write_wfdb: Write, edit_header: Edit, ecg: np.ndarray, file: str
) -> None:
    header = edit_header(write_wfdb(tmp_path, "a", ecg), "a.dat", file)
    assert _refused(header, "plain name beside the header").reason == "bad_path"


def test_signal_file_missing_or_a_folder(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray) -> None:
    header = write_wfdb(tmp_path, "a", ecg)
    (tmp_path / "a.dat").unlink()
    _refused(header, "signal file a.dat not found next to the header")
    (tmp_path / "a.dat").mkdir()
    _refused(header, "not a regular file")


def test_leads_missing_or_twice(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray) -> None:
    keep = [k for k in range(12) if k != 8]
    header = write_wfdb(tmp_path, "a", ecg[keep], leads=[LEADS[k] for k in keep])
    assert _refused(header, "missing lead V3").reason == "missing_lead"
    header = write_wfdb(tmp_path, "b", ecg, leads=[*LEADS[:11], "v5"])
    assert _refused(header, "lead V5 appears twice").reason == "duplicate_lead"


def test_missing_code_only_counts_in_the_twelve(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray) -> None:
    signal = np.concatenate([ecg, np.zeros((1, 5000))])
    signal[12, :] = -32.768
    header = write_wfdb(tmp_path, "a", signal, leads=[*LEADS, "vx"])
    assert read_record(header).signal.shape == (12, 5000)
    signal[3, 100:600] = -32.768
    signal[7, 5] = -32.768
    header = write_wfdb(tmp_path, "b", signal, leads=[*LEADS, "vx"])
    assert _refused(header, "aVR: 500 missing samples, V2: 1 missing samples").reason == "missing_samples"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty header"),
        (b"# only a comment\n", "empty header"),
        (b"\xff\xfe\x00h", "not UTF-8"),
        (b"a/2 12 500 5000\n", "multi-segment"),
        (b"a 15 500 5000\n", "says 15 signals but lists 0"),
        (b"a 0 500 5000\n", "number of signals"),
        (b"a -3 500 5000\n", "number of signals"),
        (b"a 99999999 500 5000\n", "number of signals"),
        (b"a 1 500 5000\na.dat\n", "storage format"),
        (b"a 1 500 5000\na.dat sixteen\n", "storage format"),
        (b"a 1 500 5000\na.dat 16x4 1000\n", "samples per frame"),
        (b"a 1 500 many\n", "no whole number"),
        (b"a 1\n", "sampling frequency is missing"),
        (b"<?xml version='1.0'?>\n", "not a WFDB header"),
        (b"\0" * 2_000_000, "too many for a header"),
    ],
)
def test_bad_headers(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.hea").write_bytes(content)
    _refused(tmp_path / "a.hea", words)


def test_folders_missing_files_and_other_formats(tmp_path: Path) -> None:
    (tmp_path / "folder.hea").mkdir()
    _refused(tmp_path / "folder.hea", "directory")
    (tmp_path / "folder.xml").mkdir()
    _refused(tmp_path / "folder.xml", "directory")
    _refused(tmp_path / "nothing", "not found")
    _refused(tmp_path / "nothing.hea", "not found")
    (tmp_path / "ecg.pdf").write_bytes(b"%PDF")
    assert _refused(tmp_path / "ecg.pdf", "not a recording in a known format").reason == "unknown_format"
    with pytest.raises(InputError):
        read_record("a\0b")
    with pytest.raises(InputError):
        read_record("")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipes_do_not_hang(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray) -> None:
    os.mkfifo(tmp_path / "pipe.hea")
    _refused(tmp_path / "pipe.hea", "not a regular file")
    header = write_wfdb(tmp_path, "a", ecg)
    (tmp_path / "a.dat").unlink()
    os.mkfifo(tmp_path / "a.dat")
    _refused(header, "not a regular file")


def test_links_in_a_loop(tmp_path: Path) -> None:
    (tmp_path / "a.hea").symlink_to(tmp_path / "b.hea")
    (tmp_path / "b.hea").symlink_to(tmp_path / "a.hea")
    _refused(tmp_path / "a.hea")
    _refused(tmp_path / "a")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_header_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, write_wfdb: Write, synthetic: Make, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    header = write_wfdb(folder, "a", synthetic(BEATS, 6.0))
    text = bytearray(header.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    header.write_bytes(text)
    try:
        made = read_record(header)
    except InputError as error:
        assert "a.hea" in str(error)
    else:
        assert np.isfinite(made.signal).all()


@pytest.mark.parametrize("storage", ["212", "80", "24", "32"])
def test_other_storage_formats_as_the_wfdb_library_writes_them(tmp_path: Path, ecg: np.ndarray, storage: str) -> None:
    wfdb = pytest.importorskip("wfdb")
    gain = 40.0 if storage == "80" else 200.0
    with warnings.catch_warnings():  # the library's writer uses what pandas 3.1 deprecates
        warnings.simplefilter("ignore")
        wfdb.wrsamp(
            "o",
            fs=500,
            units=["mV"] * 12,
            sig_name=list(LEADS),
            p_signal=ecg.T,
            fmt=[storage] * 12,
            adc_gain=[gain] * 12,
            baseline=[0] * 12,
            write_dir=str(tmp_path),
        )
    made = read_record(tmp_path / "o")
    np.testing.assert_allclose(made.signal, ecg, atol=1.01 / gain)
    reference = wfdb.rdrecord(str(tmp_path / "o")).p_signal.T
    np.testing.assert_array_equal(made.signal, reference.astype(np.float32))
    assert made.flags == ()
    data = (tmp_path / "o.dat").read_bytes()
    (tmp_path / "o.dat").write_bytes(data[:-60])
    _refused(tmp_path / "o.hea", "expected", "found")


def test_without_wfdb_one_command_is_named(
    tmp_path: Path, write_wfdb: Write, edit_header: Edit, ecg: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = edit_header(write_wfdb(tmp_path, "a", ecg), " 16 1000", " 8 1000")
    data = (tmp_path / "a.dat").read_bytes()
    (tmp_path / "a.dat").write_bytes(data[: len(data) // 2])
    monkeypatch.setitem(sys.modules, "wfdb", None)
    assert _refused(header, "pip install 'omi-keras[formats]'").reason == "needs_package"
