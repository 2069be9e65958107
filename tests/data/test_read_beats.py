"""Where a labels row's recording is, and which rows name the same one."""

from __future__ import annotations

import os
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from omi_keras.data.prepare import prepare_records
from omi_keras.data.read_beats import check_places, locate
from omi_keras.recordings.errors import InputError

COMPOSED = unicodedata.normalize("NFC", "Žofie-é")
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
MIXED = DECOMPOSED[:2] + COMPOSED[1:]


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def links(folder: Path) -> Path:
    touch(folder, "sub/ecg1.hea", "sub/ecg1.dat", "ecg1.hea", "ecg1.dat", "ecg2.hea", "ecg2.mat", "a.npy", "a.npy.json")
    try:
        (folder / "soft.hea").symlink_to("ecg1.hea")
        (folder / "other").symlink_to("sub", target_is_directory=True)
        os.link(folder / "ecg1.hea", folder / "hard.hea")
    except OSError:
        pytest.skip("no links on this file system")
    return folder


@pytest.mark.parametrize(
    "pair",
    [
        ("ecg1", "ecg1.dat"),
        ("ecg1.hea", "ecg1.dat"),
        ("ecg1", "./ecg1"),
        ("ecg1", "sub/../ecg1.hea"),
        ("ecg1", "soft"),
        ("ecg1", "hard.hea"),
        ("sub/ecg1", "other/ecg1"),
        ("sub/ecg1.dat", "other/ecg1"),
        ("ecg2.mat", "ecg2"),
        ("a", "a.npy"),
        ("a.npy", "a.npy.json"),
    ],
)
def test_one_recording_under_two_names_is_refused(tmp_path: Path, pair: tuple[str, str]) -> None:
    folder = links(tmp_path)
    first, second = pair
    with pytest.raises(InputError) as caught:
        check_places(["ecg2" if "sub/" in first else "sub/ecg1", first, second], Path("labels.csv"), folder)
    text = str(caught.value)
    assert text.startswith(f"labels.csv: row 4: {second} is the recording of row 3 ({first}), listed twice")
    assert text.endswith("correct or delete the row")
    check_places(["ecg1", "sub/ecg1", "ecg2", "a"], Path("labels.csv"), folder)


def test_prepare_refuses_it_before_anything_is_read(tmp_path: Path) -> None:
    folder = touch(tmp_path / "records", "ecg1.hea", "ecg1.dat", "b.hea")
    (tmp_path / "labels.csv").write_text("record,patient_id,omi\necg1,p1,0\nb,p2,1\necg1.dat,p3,0\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"row 4: ecg1\.dat is the recording of row 2 \(ecg1\), listed twice"):
        prepare_records(folder, tmp_path / "labels.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("on_disk", [COMPOSED, DECOMPOSED, MIXED])
@pytest.mark.parametrize("written", [COMPOSED, DECOMPOSED, MIXED])
@pytest.mark.parametrize("suffix", ["", ".npy"])
def test_a_name_is_found_in_any_unicode_form(tmp_path: Path, on_disk: str, written: str, suffix: str) -> None:
    touch(tmp_path, f"{on_disk}/{on_disk}.npy")
    assert locate(tmp_path, f"{written}/{written}{suffix}").samefile(tmp_path / on_disk / f"{on_disk}.npy")


def test_both_forms_on_the_disk_are_two_files_unless_neither_is_meant(tmp_path: Path) -> None:
    touch(tmp_path, f"{COMPOSED}.npy", f"{DECOMPOSED}.npy")
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system compares names in one form")
    assert locate(tmp_path, COMPOSED).name == f"{COMPOSED}.npy"
    assert locate(tmp_path, DECOMPOSED).name == f"{DECOMPOSED}.npy"
    with pytest.raises(InputError, match="2 files have this name in different Unicode forms"):
        locate(tmp_path, MIXED)


def test_another_form_leads_not_out_of_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, "outside.npy", "records/a.npy")
    try:
        (tmp_path / "records" / f"{COMPOSED}.npy").symlink_to(tmp_path / "outside.npy")
    except OSError:
        pytest.skip("no links on this file system")
    for name in (COMPOSED, DECOMPOSED):
        with pytest.raises(InputError, match="must stay below"):
            locate(tmp_path / "records", name)


def test_a_decomposed_name_is_read_and_kept_composed(tmp_path: Path, easy_ecg: np.ndarray) -> None:
    folder = tmp_path / "records"
    folder.mkdir()
    rows = ["record,patient_id,omi"]
    for k, name in enumerate(["a", "b", COMPOSED]):
        np.savez(folder / f"{name}.npz", signal=easy_ecg * (1 + 0.1 * k), rate=500, units="mV")
        rows.append(f"{unicodedata.normalize('NFD', name)},{['p0', 'P0', 'p2'][k]},{k % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    notes: list[str] = []
    info = prepare_records(folder, tmp_path / "labels.csv", tmp_path / "out", tell=notes.append)
    assert notes == [f"{tmp_path / 'labels.csv'}: p0 and P0: patients whose names differ only in case or in zeros are "
                     "taken as different; if they are the same, give them one name"]  # fmt: skip
    assert (info["ecgs"], info["rejected"]) == (3, 0)
    assert COMPOSED in (tmp_path / "out" / "ecgs.csv").read_text(encoding="utf-8")


@pytest.fixture
def easy_ecg() -> np.ndarray:
    from omi_keras.simulate.cohort import simulate_cohort

    return next(iter(simulate_cohort(12, 8, 0.3, seed=5))).record.signal


def test_ten_thousand_names_take_a_moment(tmp_path: Path) -> None:
    names = [f"é{k}" for k in range(2000)]
    touch(tmp_path, *(f"{name}.npy" for name in names))
    start = time.process_time()
    check_places([unicodedata.normalize("NFD", name) for name in names], Path("labels.csv"), tmp_path)
    # Listing the folder for each name would take minutes; a fifth of 10,000 here.
    assert time.process_time() - start < 4.0
