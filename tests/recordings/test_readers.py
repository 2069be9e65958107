from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import LEADS

Make = Callable[..., np.ndarray]
Write = Callable[..., Path]
Edit = Callable[..., Path]
BEATS = np.arange(0.43, 9.9, 0.857)


def test_millivolts_to_the_last_bit(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray) -> None:
    made = read_record(write_wfdb(tmp_path, "a1", ecg))
    expected = (np.round(ecg * 1000.0) / 1000.0).astype(np.float32)
    np.testing.assert_array_equal(made.signal, expected)
    assert (made.ecg_id, made.patient_id, made.age, made.sex, made.source) == ("a1", "", None, None, "WFDB")
    assert made.flags == ()


def test_with_and_without_extension(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray) -> None:
    header = write_wfdb(tmp_path, "v1.2", ecg)
    a = read_record(header)
    b = read_record(str(header)[: -len(".hea")], ecg_id="0042", patient_id="p7", age=33.0, sex="female")
    np.testing.assert_array_equal(a.signal, b.signal)
    assert a.ecg_id == "v1.2"
    assert (b.ecg_id, b.patient_id, b.age, b.sex) == ("0042", "p7", 33.0, "female")


@pytest.mark.parametrize(
    ("gain", "per_mv", "baseline"),
    [
        ("200.0(512)/mV", 200.0, 512),
        ("1/uV", 1000.0, 0),
        ("0.2(-100)/µV", 200.0, -100),
        ("1.0/UV", 1000.0, 0),
        ("1e6/V", 1000.0, 0),
        ("1000", 1000.0, 0),
    ],
)
def test_units_gain_and_baseline(
    tmp_path: Path, write_wfdb: Write, ecg: np.ndarray, gain: str, per_mv: float, baseline: int
) -> None:
    made = read_record(write_wfdb(tmp_path, "a", ecg, gain=gain, per_mv=per_mv, baseline=baseline))
    np.testing.assert_allclose(made.signal, ecg, atol=0.51 / per_mv + 1e-6)


def test_baseline_defaults_to_adc_zero(tmp_path: Path, write_wfdb: Write, edit_header: Edit, ecg: np.ndarray) -> None:
    header = write_wfdb(tmp_path, "a", ecg, gain="1000/mV", baseline=100)
    edit_header(header, " 16 0 ", " 16 100 ")
    np.testing.assert_allclose(read_record(header).signal, ecg, atol=0.00051)


@pytest.mark.parametrize("storage", ["16x1+24", "16:0", "16+24"])
def test_storage_suffixes(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray, storage: str) -> None:
    np.testing.assert_allclose(read_record(write_wfdb(tmp_path, "a", ecg, storage=storage)).signal, ecg, atol=0.00051)


@pytest.mark.parametrize("when", ["05-Feb-2020 11:39:16", "12:00:00 01/02/2003", "?? ??"])
def test_base_time_is_not_read(
    tmp_path: Path, write_wfdb: Write, edit_header: Edit, ecg: np.ndarray, when: str
) -> None:
    header = edit_header(write_wfdb(tmp_path, "a", ecg), "a 12 500 5000", f"a 12 500/500(0) 5000 {when}")
    assert read_record(header).signal.shape == (12, 5000)


def test_number_of_samples_may_be_left_out(
    tmp_path: Path, write_wfdb: Write, edit_header: Edit, ecg: np.ndarray
) -> None:
    header = edit_header(write_wfdb(tmp_path, "a", ecg), "a 12 500 5000", "a 12 500")
    assert read_record(header).signal.shape == (12, 5000)


def test_one_signal_file_per_lead(tmp_path: Path, ecg: np.ndarray) -> None:
    lines = ["a 12 500 5000"]
    for lead, row in zip(LEADS, ecg, strict=True):
        (tmp_path / f"a_{lead}.dat").write_bytes(np.round(row * 1000).astype("<i2").tobytes())
        lines.append(f"a_{lead}.dat 16 1000/mV 16 0 0 0 0 {lead}")
    (tmp_path / "a.hea").write_text("\n".join(lines) + "\n", encoding="utf-8")
    np.testing.assert_allclose(read_record(tmp_path / "a").signal, ecg, atol=0.00051)


def test_lead_order_synonyms_and_extra_leads(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray) -> None:
    names = [
        "v6 ",
        "C5",
        "MDC_ECG_LEAD_V4",
        "Lead V3",
        "c2",
        "V1",
        "AVF",
        "avl",
        "aVR",
        "MDC_ECG_LEAD_III",
        "ii",
    ]
    names += ["Lead I", "vx", "resp", "-aVR", ""]
    signal = np.concatenate([ecg[::-1], np.ones((4, 5000))])
    made = read_record(write_wfdb(tmp_path, "a", signal, leads=names))
    np.testing.assert_allclose(made.signal, ecg, atol=0.00051)


def test_minus_avr_is_not_avr(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray) -> None:
    names = ["-aVR" if lead == "aVR" else lead for lead in LEADS]
    ecg[3] *= -1
    made = read_record(write_wfdb(tmp_path, "a", ecg, leads=names))
    assert made.flags == ("derived_leads",)
    assert made.signal[3, int(0.43 * 500)] < -0.5


def test_limb_leads_are_derived_exactly(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray) -> None:
    keep = [0, 1, *range(6, 12)]
    made = read_record(write_wfdb(tmp_path, "a", ecg[keep], leads=[LEADS[k] for k in keep]))
    one, two, three, avr, avl, avf = made.signal[:6].astype(np.float64)
    assert made.flags == ("derived_leads",)
    for lead, truth in (
        (three, two - one),
        (avr, -(one + two) / 2),
        (avl, one - two / 2),
        (avf, two - one / 2),
    ):
        np.testing.assert_allclose(lead, truth, atol=1e-6)


def test_stored_limb_leads_are_kept(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray) -> None:
    keep = [k for k in range(12) if k != 4]
    ecg[2] += 0.01
    made = read_record(write_wfdb(tmp_path, "a", ecg[keep], leads=[LEADS[k] for k in keep]))
    np.testing.assert_allclose(made.signal[2], ecg[2], atol=0.00051)
    assert "derived_leads" in made.flags


@pytest.mark.parametrize("rate", [100, 250, 257, 360, 1000])
def test_other_rates_become_500(tmp_path: Path, write_wfdb: Write, synthetic: Make, rate: int) -> None:
    original = synthetic(BEATS, rate=float(rate))
    made = read_record(write_wfdb(tmp_path, "a", original, rate=str(rate)))
    assert abs(made.signal.shape[1] - 5000) <= 3
    reference = synthetic(BEATS)[:, : made.signal.shape[1]]
    # 100 Hz loses the steepest part of a narrow QRS, nothing moves.
    error = np.abs(made.signal[:, :4990] - reference[:, :4990]).max()
    assert error < (0.35 if rate == 100 else 0.01)
    shift = [np.correlate(made.signal[1, 100:4900], reference[1, 100 + k : 4900 + k])[0] for k in range(-3, 4)]
    assert int(np.argmax(shift)) == 3


@pytest.mark.parametrize(
    ("comment", "age", "sex"),
    [
        ("# Age: 78\n# Sex: Male\n", 78.0, "male"),
        ("#Age: 74.0\n#sex: female\n", 74.0, "female"),
        ("# <age>: 56  <sex>: F\n", 56.0, "female"),
        ("# Age: NaN\n# Sex: Unknown\n", None, None),
        ("# age: 300\n# sex: M\n", None, "male"),
        ("# Dosage: 12\n# Essex: male\n", None, None),
        ("# Age: 0\n", 0.0, None),
        ("", None, None),
    ],
)
def test_age_and_sex(
    tmp_path: Path, write_wfdb: Write, ecg: np.ndarray, comment: str, age: float | None, sex: str | None
) -> None:
    made = read_record(write_wfdb(tmp_path, "a", ecg, extra=comment))
    assert (made.age, made.sex) == (age, sex)
    told = read_record(tmp_path / "a", age=0.0, sex="female")
    assert (told.age, told.sex) == (0.0, "female")


def test_names_of_patients_are_not_kept(tmp_path: Path, write_wfdb: Write, ecg: np.ndarray) -> None:
    made = read_record(write_wfdb(tmp_path, "a", ecg, extra="# Name: JANE TESTNAME\n# Age: 50\n"))
    assert "TESTNAME" not in repr(made)
