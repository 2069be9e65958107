"""Simulated ECGs as WFDB records."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from helpers import run_cli

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS
from omi_keras.simulate.cohort import SimulatedECG, simulate_cohort
from omi_keras.simulate.records import LABEL_COLUMNS, write_records


@pytest.fixture(scope="module")
def cohort() -> list[SimulatedECG]:
    return list(simulate_cohort(12, 8, 0.4, seed=2))


@pytest.fixture(scope="module")
def folder(cohort: list[SimulatedECG], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("records") / "new" / "folder"
    assert write_records(iter(cohort), out) == 12
    return out


def test_raw_samples_are_the_values_in_memory(cohort: list[SimulatedECG], folder: Path) -> None:
    for e in cohort:
        raw = np.fromfile(folder / f"{e.record.ecg_id}.dat", dtype="<i2").reshape(-1, 12).T
        np.testing.assert_array_equal(raw.astype(np.float32) / np.float32(200), e.record.signal)
        # A reader that computes in double precision and rounds at the end gets the same.
        np.testing.assert_array_equal((raw / 200.0).astype(np.float32), e.record.signal)


def test_headers_say_what_is_stored(cohort: list[SimulatedECG], folder: Path) -> None:
    for e in cohort:
        name = e.record.ecg_id
        lines = (folder / f"{name}.hea").read_bytes().decode("ascii").split("\n")
        assert lines[0] == f"{name} 12 500 5000"
        raw = np.fromfile(folder / f"{name}.dat", dtype="<i2").reshape(-1, 12)
        for i, lead in enumerate(LEADS):
            file, fmt, gain, bits, zero, first, checksum, block, what = lines[1 + i].split()
            assert (file, fmt, gain, bits, zero) == (f"{name}.dat", "16", "200/mV", "16", "0")
            assert (int(first), block, what) == (int(raw[0, i]), "0", lead)
            assert (int(raw[:, i].astype(int).sum()) - int(checksum)) % 65536 == 0
            assert -32768 <= int(checksum) < 32768
        assert any("Simulated" in line for line in lines[13:])


def test_wfdb_reads_the_same(cohort: list[SimulatedECG], folder: Path) -> None:
    wfdb = pytest.importorskip("wfdb", reason="wfdb is not installed (the formats extra)")
    for e in cohort[:3]:
        read = wfdb.rdrecord(str(folder / e.record.ecg_id))
        assert (read.fs, read.sig_name, set(read.units)) == (500, list(LEADS), {"mV"})
        np.testing.assert_array_equal(read.p_signal.T.astype(np.float32), e.record.signal)


def test_labels_have_one_row_per_record(cohort: list[SimulatedECG], folder: Path) -> None:
    text = (folder / "labels.csv").read_bytes()
    assert b"\r" not in text and text.endswith(b"\n")
    rows = list(csv.DictReader(text.decode().splitlines()))
    assert tuple(rows[0]) == LABEL_COLUMNS
    for e, row in zip(cohort, rows, strict=True):
        assert row["record"] == e.record.ecg_id
        assert (folder / f"{row['record']}.hea").exists()
        assert (row["patient_id"], row["omi"]) == (e.plan.patient_id, str(e.plan.omi))
        assert (row["site"], row["age"], row["sex"]) == (e.plan.site, str(e.plan.age), e.plan.sex)
        assert row["simulated"] == "true"
        assert (row["artery"], row["mimic"]) == (e.plan.artery, e.truth.mimic)
        assert (row["rhythm"], row["fault"]) == (e.truth.rhythm, e.truth.fault)
        assert float(row["noise_level"]) == pytest.approx(e.truth.noise_level, abs=5e-4)
        assert (float(row["injury_mv"]) > 0) == bool(e.plan.omi)
        levels = [float(row[f"st_{lead}_mv"]) for lead in LEADS]
        np.testing.assert_allclose(levels, e.truth.st_level_mv, atol=6e-4)


def test_true_beats_are_written_on_demand(cohort: list[SimulatedECG], folder: Path, tmp_path: Path) -> None:
    assert not (folder / "true_beats.npy").exists()
    write_records(cohort, tmp_path, true_beats=True)
    beats = np.load(tmp_path / "true_beats.npy", mmap_mode="r", allow_pickle=False)
    np.testing.assert_array_equal(beats, np.stack([e.truth.true_beat for e in cohort]))


def test_nothing_is_overwritten(cohort: list[SimulatedECG], folder: Path) -> None:
    before = (folder / "labels.csv").read_bytes()
    with pytest.raises(InputError, match=r"already holds a labels\.csv"):
        write_records(cohort, folder)
    assert (folder / "labels.csv").read_bytes() == before


def test_a_file_is_no_folder(cohort: list[SimulatedECG], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="is a file"):
        write_records(cohort, file)


def test_an_interrupted_folder_has_no_labels(cohort: list[SimulatedECG], tmp_path: Path) -> None:
    def stops() -> object:
        yield cohort[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(stops(), tmp_path)  # type: ignore[arg-type]
    assert not (tmp_path / "labels.csv").exists()
    assert write_records(cohort[:2], tmp_path) == 2


def test_the_command_line_writes_true_beats_for_both_kinds(tmp_path: Path) -> None:
    for kind in ("records", "dataset"):
        call = ("simulate", tmp_path / kind, "--as", kind, "--ecgs", 5, "--patients", 4, "--seed", 3, "--true-beats")
        assert run_cli(*call).exit_code == 0
    records, dataset = (np.load(tmp_path / kind / "true_beats.npy") for kind in ("records", "dataset"))
    np.testing.assert_array_equal(records, dataset)
    beats = np.load(tmp_path / "dataset" / "beats.npy")
    assert beats.shape == dataset.shape and np.median(np.abs(beats - dataset)) < 0.02
