"""Storage formats of WFDB against the library: the same bytes, the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from omi_keras.recordings.formats.wfdb import read_signals
from omi_keras.recordings.formats.wfdb_header import BYTES_PER_SAMPLE, read_header
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import LEADS


@pytest.mark.parametrize("storage", sorted(BYTES_PER_SAMPLE, key=int))
def test_any_bytes_decode_as_in_the_library(tmp_path: Path, storage: str) -> None:
    wfdb = pytest.importorskip("wfdb")
    top, bottom = BYTES_PER_SAMPLE[storage]
    samples = 700
    data = np.random.default_rng(int(storage)).integers(0, 256, samples * len(LEADS) * top // bottom, "u1")
    data[:600] = 0
    data[600:1200] = 0x80  # missing codes of several formats
    (tmp_path / "a.dat").write_bytes(data.tobytes())
    lines = [f"a 12 500 {samples}", *(f"a.dat {storage} 200(7)/mV 16 0 0 0 0 {lead}" for lead in LEADS)]
    (tmp_path / "a.hea").write_text("\n".join(lines) + "\n", encoding="utf-8")
    mine, flags = read_signals(read_header(tmp_path / "a.hea"), list(range(12)))
    theirs = wfdb.rdrecord(str(tmp_path / "a")).p_signal.T
    np.testing.assert_array_equal(mine, theirs)
    assert flags == ()


def test_samples_that_the_checksum_was_not_written_for(
    tmp_path: Path, write_wfdb: Callable[..., Path], ecg: np.ndarray
) -> None:
    header = write_wfdb(tmp_path, "a", ecg)
    adu = np.frombuffer((tmp_path / "a.dat").read_bytes(), "<i2").reshape(-1, 12)
    sums = (adu.sum(axis=0) + 32768) % 65536 - 32768
    lines = [line.split() for line in header.read_text(encoding="utf-8").splitlines()]
    for line, total in zip(lines[1:], sums, strict=True):
        line[6] = str(total)
    header.write_text("\n".join(map(" ".join, lines)), encoding="utf-8")
    assert read_record(header).flags == ()
    data = bytearray((tmp_path / "a.dat").read_bytes())
    data[30000] ^= 0x10
    (tmp_path / "a.dat").write_bytes(data)
    assert read_record(header).flags == ("checksum",)
