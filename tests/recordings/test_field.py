"""Small files that people's reports in public led to; they lie beside the checkout with the outcome that is right."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import Record

UNITS_UV = {"mrx_plain16.xml": 4.0}  # steps of 5 µV; all others are exact


@pytest.fixture(name="field")
def _field(shared: Path, tmp_path: Path) -> Path:
    folder = shared / "field"
    if not folder.is_dir():
        pytest.skip("the small files of public reports are not beside the checkout")
    pytest.importorskip("pydicom")
    pytest.importorskip("defusedxml")
    for path in folder.iterdir():
        if path.suffix == ".gz":
            (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        elif path.suffix == ".hea":
            shutil.copyfile(path, tmp_path / path.name)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "mrx_plain16.xml",
        "dcm_padding_zero.dcm",
        "dcm_beat_first_unlabelled.dcm",
        "dcm_no_preamble.dcm",
        "edf_negative_gain.edf",
        "edf_utf8_micro.edf",
        "edf_plain.edf",
        "wf_folder_in_name.hea",
        "csv_DI.csv",
        "scp_fiducial.scp",
    ],
)
def test_read_as_the_true_signal(field: Path, shared: Path, name: str) -> None:
    with np.load(shared / "field" / "base.npz") as base:
        truth = base["uv2"] * 2.5
    made = read_record(field / name)
    assert made.signal.shape == (12, 5000)
    assert np.abs(made.signal * 1000.0 - truth).max() <= UNITS_UV.get(name, 1e-3)
    assert set(made.flags) <= {"assumed_rate"}
    beat = {"dcm_beat_first_unlabelled.dcm", "scp_fiducial.scp"}
    assert (made.device_beat is not None) == (name in beat)
    if made.device_beat is not None:
        assert made.device_beat.beat.shape == (12, 600) and made.device_beat.r_sample == 300


def test_a_real_gap_is_refused(field: Path) -> None:
    with pytest.raises(InputError, match="1000 missing samples") as caught:
        read_record(field / "dcm_padding_real_gap.dcm")
    assert caught.value.reason == "missing_samples"


def test_a_fiducial_point_of_0_is_none(field: Path) -> None:
    data = bytearray((field / "scp_fiducial.scp").read_bytes())
    made = read_record(field / "scp_fiducial.scp")
    at = _zones(data) + 2
    data[at : at + 2] = b"\0\0"
    (field / "scp_fiducial.scp").write_bytes(data)
    other = read_record(field / "scp_fiducial.scp")
    assert other.device_beat is not None and other.device_beat.r_sample is None
    assert_same(made, other)


def _zones(data: bytes) -> int:
    """Where the content of section 4 begins, by the pointers of section 0."""
    for at in range(22, 22 + 12 * 10, 10):
        if int.from_bytes(data[at : at + 2], "little") == 4:
            return int.from_bytes(data[at + 6 : at + 10], "little") - 1 + 16
    raise AssertionError


def assert_same(one: Record, two: Record) -> None:
    np.testing.assert_array_equal(one.signal, two.signal)
