from __future__ import annotations

import struct
from pathlib import Path

import ecg_files
import numpy as np
import pytest
from ecg_files import read, refused

from omi_keras.recordings.formats import huffman
from omi_keras.recordings.record import LEADS


@pytest.fixture(name="adu")
def _adu(ecg: np.ndarray) -> np.ndarray:
    return np.round(ecg * 200).astype(np.int64)


@pytest.mark.parametrize("differences", [0, 1, 2])
@pytest.mark.parametrize("packed", [True, False])
def test_known_values(tmp_path: Path, adu: np.ndarray, differences: int, packed: bool) -> None:
    rhythm = ecg_files.scp_signals(adu, differences=differences, packed=packed)
    more = {} if packed else {"tables": None}
    made = read(tmp_path / "a.scp", ecg_files.scp(rhythm, 5000, **more))
    np.testing.assert_allclose(made.signal, adu * 0.005, atol=1e-6)
    assert (made.age, made.sex, made.source, made.flags) == (61.0, "female", "SCP-ECG", ())
    assert made.device_beat is None


def test_older_records_without_the_mark(tmp_path: Path, adu: np.ndarray) -> None:
    content = ecg_files.scp(ecg_files.scp_signals(adu), 5000).replace(b"SCPECG", bytes(6), 1)
    assert read(tmp_path / "a.scp", content).flags == ("checksum",)
    refused(tmp_path / "a.ecg", content, "not a recording in a known format")


def test_eight_leads_and_other_scales(tmp_path: Path, adu: np.ndarray) -> None:
    keep = [0, 1, *range(6, 12)]
    rhythm = ecg_files.scp_signals(adu[keep], nanovolts=2500, microseconds=1000)
    made = read(tmp_path / "a", ecg_files.scp(rhythm, 5000, leads=tuple(LEADS[k] for k in keep)))
    assert made.signal.shape == (12, 2500) and made.flags == ("derived_leads",)
    np.testing.assert_allclose(made.signal[6, 100:-100], adu[6, 200:-200:2] * 0.0025, atol=0.02)


def test_tables_of_the_maker(tmp_path: Path, adu: np.ndarray) -> None:
    """Two tables: the first only leads to the second, in which every value has 16 bits behind a prefix of 2."""
    tables = struct.pack("<HH", 2, 1) + struct.pack("<BBBhI", 1, 1, 0, 2, 0b1)
    tables += struct.pack("<H", 1) + struct.pack("<BBBhI", 2, 18, 1, 0, 0b10)  # prefix 01, lowest bit first
    chunks = []
    for row in adu:
        bits = "1" + "".join(f"01{value & 0xFFFF:016b}" for value in row.tolist())
        bits += "0" * (-len(bits) % 16)
        chunks.append(int(bits, 2).to_bytes(len(bits) // 8, "big"))
    rhythm = struct.pack("<HHBB", 5000, 2000, 0, 0) + struct.pack("<12H", *map(len, chunks)) + b"".join(chunks)
    made = read(tmp_path / "a.scp", ecg_files.scp(rhythm, 5000, tables=tables))
    np.testing.assert_allclose(made.signal, adu * 0.005, atol=1e-6)


def test_reference_beat_and_its_subtraction(tmp_path: Path, adu: np.ndarray) -> None:
    beat, fiducial = np.round(adu[:, 115:465] * 2), 101  # of 2.5 µV
    peaks = [215, 644, 1072]
    residual = adu.copy()
    for peak in peaks:  # samples counted from 0, the file counts from 1
        residual[:, peak - 80 : peak + 150] -= adu[:, 115:465][:, 20:250]
    zones = ecg_files.scp_zones(700, fiducial, [(peak - 79, peak + 1, peak + 150) for peak in peaks])
    content = ecg_files.scp(
        ecg_files.scp_signals(residual),
        5000,
        beat=ecg_files.scp_signals(beat, nanovolts=2500),
        zones=zones,
        subtracted=True,
    )
    made = read(tmp_path / "a.scp", content)
    np.testing.assert_allclose(made.signal, adu * 0.005, atol=1e-6)
    assert made.device_beat is not None and made.device_beat.r_sample == 100
    np.testing.assert_allclose(made.device_beat.beat, beat * 0.0025, atol=1e-6)


def test_headers_that_lie(tmp_path: Path, adu: np.ndarray) -> None:
    path = tmp_path / "a.scp"
    rhythm = ecg_files.scp_signals(adu)
    good = ecg_files.scp(rhythm, 5000)
    refused(path, good[:-1], f"expected {len(good)} bytes, found {len(good) - 1}")
    refused(path, good[:40], "found 40")
    refused(path, ecg_files.scp(rhythm, 5000, last=4_000_000_000), "too long")
    refused(path, ecg_files.scp(rhythm, 5000, last=1_500_000), "does not hold its 1500000 samples")
    refused(path, ecg_files.scp(rhythm, 5000, last=0), "ends before it begins")
    refused(path, ecg_files.scp(ecg_files.scp_signals(adu, nanovolts=0), 5000), "amplitude multiplier must be > 0")
    refused(path, ecg_files.scp(ecg_files.scp_signals(adu, microseconds=0), 5000), "sampling frequency must be > 0")
    refused(path, ecg_files.scp(ecg_files.scp_signals(adu, bimodal=1), 5000), "bimodal")
    refused(path, ecg_files.scp(rhythm, 5000, tables=struct.pack("<H", 0)), "Huffman tables make no sense")
    refused(path, ecg_files.scp(rhythm, 5000, tables=b"\1\0\1\0\0\0\0\0\0"), "SCP-ECG record is cut off")
    refused(path, ecg_files.scp(rhythm, 5000, subtracted=True), "that were subtracted are missing")
    refused(path, ecg_files.scp(ecg_files.scp_signals(adu[:11]), 5000, leads=LEADS[:11]), "missing lead V6")
    twice = ecg_files.scp(rhythm, 5000, leads=(*LEADS[:11], "V5"))
    refused(path, twice, "lead V5 appears twice")
    refused(path, ecg_files.scp(rhythm[:100], 5000), "does not hold its 5000 samples")


def test_damage_is_flagged_or_refused(tmp_path: Path, adu: np.ndarray) -> None:
    good = bytearray(ecg_files.scp(ecg_files.scp_signals(adu, differences=0, packed=False), 5000, tables=None))
    good[-100] ^= 1
    assert read(tmp_path / "a.scp", bytes(good)).flags == ("checksum",)
    packed = bytearray(ecg_files.scp(ecg_files.scp_signals(adu), 5000))
    packed[1000:1010] = b"\xff" * 10
    refused(tmp_path / "a.scp", bytes(packed), "export it again")


def test_default_table_is_the_standards() -> None:
    values = np.array([0, 1, -1, 8, -8, 9, -9, 127, -128, 128, -129, 32767, -32768])
    np.testing.assert_array_equal(
        huffman.decode(ecg_files.scp_huffman(values), len(values), [huffman.default_table()]), values
    )
    # '0', '100', '101', '1100' as printed in annex C.
    np.testing.assert_array_equal(
        huffman.decode(bytes([0b01001011, 0b10000000]), 4, [huffman.default_table()]), [0, 1, -1, 2]
    )
