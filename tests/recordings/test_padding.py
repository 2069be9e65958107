"""Padding in DICOM: places without a sample, not samples that happen to have the value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ecg_files
import numpy as np
import pytest
from ecg_files import read, refused

pytest.importorskip("pydicom")

from omi_keras.recordings.formats.padding import padded, padding_value

ECG = Callable[..., np.ndarray]
BEATS = np.arange(0.43, 9.9, 0.857)


def steps(synthetic: ECG, noise: float, step: float, beats: np.ndarray = BEATS) -> np.ndarray:
    """(samples, 12) int16 of ``step`` µV with ``noise`` µV."""
    clean = synthetic(beats) * 1000.0
    return np.round((clean + np.random.default_rng(1).normal(scale=noise, size=clean.shape)) / step).T.astype(np.int16)


@pytest.mark.parametrize(("noise", "step"), [(5.0, 2.5), (2.0, 5.0), (1.0, 5.0), (20.0, 1.0), (0.0, 4.88), (0.0, 1.0)])
@pytest.mark.parametrize("value", [0, 3, -7])
def test_samples_that_are_equal_to_the_value_stay(synthetic: ECG, noise: float, step: float, value: int) -> None:
    raw = steps(synthetic, noise, step)
    assert (raw == value).any() and not padded(raw, value, 500.0, 16).any()


def test_slow_and_paced_rhythms_without_noise_stay(synthetic: ECG) -> None:
    raw = steps(synthetic, 0.0, 5.0, np.array([0.5, 2.3, 4.1, 5.9, 7.7]))
    assert not padded(raw, 0, 500.0, 16).any()
    spikes = np.arange(200, 4900, 430)
    raw = steps(synthetic, 0.0, 5.0)
    raw[spikes] += 900
    raw[spikes + 3] = 0
    assert not padded(raw, 0, 500.0, 16).any()


@pytest.mark.parametrize(("noise", "step"), [(5.0, 2.5), (2.0, 5.0), (1.0, 5.0), (20.0, 1.0), (0.0, 4.88), (0.0, 1.0)])
@pytest.mark.parametrize(("first", "length"), [(1000, 1000), (1210, 30), (4000, 1000), (0, 700), (1290, 300)])
def test_gaps_are_found(synthetic: ECG, noise: float, step: float, first: int, length: int) -> None:
    raw = steps(synthetic, noise, step)
    raw[first : first + length] = 0
    found = padded(raw, 0, 500.0, 16)
    # A lead that is quiet at both ends of a short gap hardly differs from it.
    assert found[first : first + length].all(axis=0).sum() >= 10
    found[max(first - 30, 0) : first + length + 30] = False
    assert not found.any()


def test_short_gaps_between_beats_are_found_in_all_leads_together(synthetic: ECG) -> None:
    raw = steps(synthetic, 5.0, 2.5)
    raw[1000:1012] = 0
    assert padded(raw, 0, 500.0, 16)[1000:1012].all()


def test_one_lead_one_sample_and_a_lead_that_is_all_padding(synthetic: ECG) -> None:
    raw = steps(synthetic, 5.0, 2.5)
    raw[1000:1300, 7] = 0
    assert padded(raw, 0, 500.0, 16).sum() == padded(raw, 0, 500.0, 16)[998:1302, 7].sum() >= 300
    raw = steps(synthetic, 5.0, 2.5)
    raw[:, 7] = 0
    np.testing.assert_array_equal(padded(raw, 0, 500.0, 16).sum(axis=0), [0] * 7 + [5000] + [0] * 4)
    raw = steps(synthetic, 5.0, 2.5)
    at = int(np.argmax(raw[300:450, 8])) + 300  # the top of a T wave
    raw[at, 8] = 0
    assert padded(raw, 0, 500.0, 16)[at, 8]


def test_the_ends_of_the_range_are_padding_wherever_they_are(synthetic: ECG) -> None:
    raw = steps(synthetic, 5.0, 2.5)
    for value, bits in ((-32768, 16), (32767, 16), (-2048, 12)):
        raw[50, 3] = value
        assert padded(raw, value, 500.0, bits).sum() == 1
    unsigned = (raw.astype(np.int64) + 4000).clip(0).astype(np.uint16)
    assert not padded(unsigned, 4000, 500.0, 16).any()
    unsigned[77, 2] = 0
    assert padded(unsigned, 0, 500.0, 16).sum() == (unsigned == 0).sum() >= 1


@pytest.mark.parametrize(
    ("value", "kind", "number"),
    [
        (b"\x00\x80", "<i2", -32768),
        (b"\x00\x00", "<i2", 0),
        (b"\x80\x00", "i1", -128),
        (b"\x80", "u1", 128),
        (b"\x05", "<i2", 5),
        (-32768, "<i2", -32768),
        (32768, "<i2", -32768),
        (0, "<i2", 0),
        (0, "<u2", 0),
        (65535, "<u2", 65535),
        ("-32768", "<i2", -32768),
        (-32768.0, "<i2", -32768),
        ([-5, -5], "<i2", -5),
        ([1, 2], "<i2", None),
        (None, "<i2", None),
        (b"", "<i2", None),
        ("", "<i2", None),
    ],
)
def test_however_the_library_hands_the_value_over(value: object, kind: str, number: int | None) -> None:
    assert padding_value(value, kind) == number


@pytest.mark.parametrize(("key", "implicit"), [("padding", False), ("padding", True), ("padding_number", False)])
def test_files(tmp_path: Path, ecg: np.ndarray, key: str, implicit: bool) -> None:
    adu = np.round(ecg * 200).astype(np.int64)
    group = {"adu": adu, key: 0}
    made = read(tmp_path / "a.dcm", ecg_files.dicom([group], implicit=implicit))
    np.testing.assert_allclose(made.signal, adu * 0.005, atol=1e-6)
    adu[:, 3000:3200] = 0
    refused(tmp_path / "a.dcm", ecg_files.dicom([{**group, "adu": adu}], implicit=implicit), "missing samples")
    adu[:, 3000:3200] = -32768
    refused(tmp_path / "a.dcm", ecg_files.dicom([{"adu": adu, key: -32768}], implicit=implicit), "200 missing samples")
