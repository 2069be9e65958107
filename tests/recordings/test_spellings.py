"""Names, units and polarities as people and devices write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ecg_files
import numpy as np
import pytest
from ecg_files import LEADS, read, refused

from omi_keras.recordings.formats.recording import lead_name
from omi_keras.recordings.readers import read_record

WRITE = Callable[..., Path]


@pytest.mark.parametrize(
    ("text", "lead"),
    [
        *((f"D{lead}", lead) for lead in ("I", "II", "III")),
        ("D1", "I"), ("d2", "II"), ("diii", "III"), ("ECG DII", "II"), ("lead DI", "I"),
        ("avr", "aVR"), ("AVL", "aVL"), ("Lead I", "I"), ("ECG I", "I"), ("EKG aVF", "aVF"), ("ECG-V3", "V3"),
        ("V1-REF", "V1"), ("ECG II-Ref", "II"), ("ECG V6 REF", "V6"), ("ecg_v2", "V2"), ("MDC_ECG_LEAD_aVR", "aVR"),
        ("-aVR", None), ("Lead -aVR", None), ("ECG -aVR", None), ("V1-V2", None), ("I-II", None), ("D", None),
        ("DIV", None), ("D4", None), ("REF", None), ("-REF", None), ("Resp", None), ("", None), ("VI", None),
    ],
)  # fmt: skip
def test_lead_names(text: str, lead: str | None) -> None:
    assert lead_name(text) == lead


@pytest.mark.parametrize("micro", ["µ", "μ"])
@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
def test_micro_in_edf(tmp_path: Path, ecg: np.ndarray, micro: str, charset: str) -> None:
    if (micro, charset) == ("μ", "latin-1"):
        charset = "utf-8"  # Latin-1 has no Greek letter
    adu = np.round(ecg * 200).astype(np.int64)
    units = f"{micro}V".encode(charset).decode("latin-1")
    made = read(tmp_path / "a.edf", ecg_files.edf(adu, units=units))
    np.testing.assert_allclose(made.signal, adu * 0.005, atol=1e-6)


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("turned", [("II", "V2"), LEADS, ("aVR",)])
def test_negative_gains_of_edf_are_a_polarity(
    tmp_path: Path, ecg: np.ndarray, width: int, turned: tuple[str, ...]
) -> None:
    adu = np.round(ecg * 200).astype(np.int64)
    stored = adu.copy()
    for lead in turned:
        stored[LEADS.index(lead)] = -adu[LEADS.index(lead)] - 1  # the ranges are not symmetric
    made = read(tmp_path / "a.edf", ecg_files.edf(stored, width=width, turned=turned))
    np.testing.assert_allclose(made.signal, adu * 0.005, atol=1e-6)


def test_negative_gains_of_wfdb_are_a_polarity(tmp_path: Path, write_wfdb: WRITE, ecg: np.ndarray) -> None:
    turned = ecg.copy()
    turned[[1, 7]] *= -1
    header = write_wfdb(tmp_path, "a", turned)
    lines = header.read_text(encoding="utf-8").splitlines()
    for k in (1, 7):
        lines[1 + k] = lines[1 + k].replace("1000(0)/mV", "-1000(0)/mV")
    header.write_text("\n".join(lines), encoding="utf-8")
    made = read_record(header)
    np.testing.assert_allclose(made.signal, ecg, atol=0.00051)
    wfdb = pytest.importorskip("wfdb")
    np.testing.assert_array_equal(made.signal, wfdb.rdrecord(str(tmp_path / "a")).p_signal.T.astype(np.float32))


def test_negative_gains_elsewhere_are_refused_with_the_reason(tmp_path: Path, ecg: np.ndarray) -> None:
    adu = np.round(ecg * 200).astype(np.int64)
    words = ("must be > 0, got -5", "polarity")
    pytest.importorskip("defusedxml")
    refused(tmp_path / "a.xml", ecg_files.sierra(np.tile(adu, 2), encoding="Plain", resolution="-5"), *words)
    refused(tmp_path / "a.xml", ecg_files.aecg(ecg_files.aecg_set(adu, scale="-5")), *words)
    waveform = ecg_files.muse_waveform("Rhythm", adu[[0, 1, *range(6, 12)]], LeadAmplitudeUnitsPerBit="-5")
    refused(tmp_path / "a.xml", ecg_files.muse(waveform), *words)
    pytest.importorskip("pydicom")
    refused(tmp_path / "a.dcm", ecg_files.dicom([{"adu": adu, "sensitivity": "-5"}]), *words)


def csv_text(names: list[str], columns: np.ndarray, fmt: str = "%.4f") -> bytes:
    rows = "\n".join(",".join(fmt % value for value in row) for row in columns.T)
    return f"{','.join(names)}\n{rows}\n".encode()


@pytest.mark.parametrize(
    ("names", "factor"),
    [
        ([f"D{lead}_mV" if k < 3 else f"{lead.upper()}_mv" for k, lead in enumerate(LEADS)], 1.0),
        ([f"ECG {lead} (µV)" for lead in LEADS], 1000.0),
        ([f"{lead} [μV]" if k % 2 else f"{lead}_uV" for k, lead in enumerate(LEADS)], 1000.0),
        ([f"Lead {lead} mV" for lead in LEADS], 1.0),
    ],
)
def test_csv_columns(tmp_path: Path, ecg: np.ndarray, names: list[str], factor: float) -> None:
    made = read(tmp_path / "a.csv", csv_text(names, ecg * factor, "%.4f"))
    np.testing.assert_allclose(made.signal, ecg, atol=1e-4)
    assert "assumed_units" not in made.flags
    if "µ" in names[0]:
        latin = csv_text(names, ecg * factor).decode().encode("latin-1")
        np.testing.assert_array_equal(read(tmp_path / "b.csv", latin).signal, made.signal)


def test_a_refusal_lists_what_the_file_has(tmp_path: Path, ecg: np.ndarray, write_wfdb: WRITE) -> None:
    names = ["Einthoven1_mV", "Einthoven2_mV", *(f"{lead}_mV" for lead in LEADS[2:]), "pleth", "marker"]
    table = csv_text(names, np.concatenate([ecg, ecg[:2]]))
    refused(tmp_path / "a.csv", table, "missing leads I, II", "Einthoven1_mV, Einthoven2_mV, III", "pleth, marker")
    adu = np.round(ecg * 200).astype(np.int64)
    labels = tuple(f"CH{k}" for k in range(12))
    refused(tmp_path / "a.edf", ecg_files.edf(adu, labels=labels), *labels)
    wide = np.concatenate([ecg, ecg, ecg])[:30]
    header = write_wfdb(tmp_path, "b", wide, leads=[f"CH{k}" for k in range(30)])
    refused(header, header.read_bytes(), "CH0, CH1", "CH23, 6 more")


@pytest.mark.parametrize(("name", "step", "rate"), [("time_ms", 2, 500), ("time", 2, 500), ("t_ms", 1, 1000)])
def test_csv_times_in_whole_numbers(tmp_path: Path, ecg: np.ndarray, name: str, step: int, rate: int) -> None:
    times = np.arange(5000) * step
    made = read(tmp_path / "a.csv", csv_text([name, *(f"{lead}_mV" for lead in LEADS)], np.vstack([times, ecg])))
    assert made.signal.shape[1] == 5000 * 500 // rate and "assumed_rate" not in made.flags


def test_csv_time_that_may_count_samples(tmp_path: Path, ecg: np.ndarray) -> None:
    content = csv_text(["time", *(f"{lead}_mV" for lead in LEADS)], np.vstack([np.arange(5000), ecg]))
    assert refused(tmp_path / "a.csv", content, "milliseconds at 1000 Hz or the samples' numbers").reason == "no_rate"
    numbered = content.replace(b"time", b"sample", 1)
    assert "assumed_rate" in read(tmp_path / "a.csv", numbered).flags
    seconds = content.replace(b"time", b"time_s", 1)
    refused(tmp_path / "a.csv", seconds, "50 to 10000 Hz")


def test_csv_counts_beside_a_time_with_a_decimal_point(tmp_path: Path, ecg: np.ndarray) -> None:
    """Integers stay converter counts whatever stands in other columns."""
    rows = [f"{k / 500:.3f},{','.join(map(str, row))}" for k, row in enumerate(np.round(ecg * 200).astype(int).T)]
    content = "\n".join([",".join(["time", *LEADS]), *rows]).encode()
    assert refused(tmp_path / "a.csv", content, "integers without a unit").reason == "no_units"


def test_accents_in_the_comments_of_a_wfdb_header(tmp_path: Path, write_wfdb: WRITE, ecg: np.ndarray) -> None:
    header = write_wfdb(tmp_path, "a", ecg, gain="1/\u00b5V", extra="# Age: 50\n# h\u00f4pital\n")
    header.write_bytes(header.read_text(encoding="utf-8").encode("latin-1"))
    made = read_record(header)
    np.testing.assert_allclose(made.signal, ecg, atol=0.00051)
    assert made.age == 50.0
