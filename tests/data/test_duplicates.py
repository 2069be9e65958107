"""Beats that patients share are told; those of one patient are nobody's leak."""

from __future__ import annotations

import json
from time import process_time

import numpy as np
import pandas as pd
import pytest
from helpers import run_cli

from omi_keras.data.dataset import Dataset
from omi_keras.data.duplicates import MOST_ECGS, MOST_GROUPS, SAME_MV, duplicates_of, duplicates_sentence, shared_beats
from omi_keras.simulate.cohort import simulate_cohort
from omi_keras.simulate.records import write_records


def beats(n, seed=0):
    return np.random.default_rng(seed).normal(0, 0.2, (n, 12, 600)).astype(np.float32)


def found(x, patients):
    return shared_beats(x, [f"e{k}" for k in range(len(x))], patients)


def test_pairs_of_two_patients():
    x = beats(6)
    x[4] = x[1]
    x[5] = x[2]
    shared = found(x, ["a", "b", "c", "d", "e", "c"])
    assert shared == {"count": 1, "ecgs": 2, "groups": [{"ecg_ids": ["e1", "e4"], "patient_ids": ["b", "e"]}]}


def test_one_patient_alone_is_not_told():
    x = beats(3)
    x[1] = x[0]
    assert found(x, ["a", "a", "b"]) == {"count": 0, "ecgs": 0, "groups": []}
    assert duplicates_sentence(found(x, ["a", "a", "b"])) == ""
    assert found(x[:0], []) == {"count": 0, "ecgs": 0, "groups": []}
    assert found(x[:1], ["a"])["count"] == 0


@pytest.mark.parametrize("seed", range(5))
def test_rounding_of_floats_does_not_hide_a_copy(seed):
    """Another unit on the way, or another order of sums: the last bits differ. A recorder's smallest step does not."""
    x = beats(40, seed)
    x[30] = (x[7].astype(np.float64) * 1000.0 / 1000.0 + 1e-7).astype(np.float32)
    x[31] = np.nextafter(x[8], np.float32(np.inf))
    x[32] = x[9] + np.float32(0)
    x[32][x[32] == 0] = -0.0
    x[33] = x[10]
    x[33, 5, 123] += np.float32(0.001)
    shared = found(x, [f"p{k}" for k in range(40)])
    assert [group["ecg_ids"] for group in shared["groups"]] == [["e7", "e30"], ["e8", "e31"], ["e9", "e32"]]
    assert 10 * SAME_MV < 0.001


def test_flat_leads_and_close_beats_against_all_pairs():
    rng = np.random.default_rng(1)
    x = beats(60)
    x[:, 3:] = 0
    for k in range(20):
        x[40 + k] = x[rng.integers(40)]
        if k % 2:
            x[40 + k, rng.integers(3), rng.integers(600)] += np.float32(3e-6 if k % 4 == 1 else 1e-4)
    patients = [f"p{k % 25}" for k in range(60)]
    parent = list(range(60))
    for a in range(60):
        for b in range(a + 1, 60):
            if np.abs(x[a].astype(float) - x[b].astype(float)).max() <= SAME_MV:
                old, new = parent[b], parent[a]
                parent = [new if p == old else p for p in parent]
    groups = {}
    for row, name in enumerate(parent):
        groups.setdefault(name, []).append(row)
    slow = [rows for rows in groups.values() if len({patients[row] for row in rows}) > 1]
    shared = found(x, patients)
    assert shared["count"] == len(slow) > 3
    assert sorted(map(sorted, (group["ecg_ids"] for group in shared["groups"]))) == sorted(
        sorted(f"e{row}" for row in rows) for rows in slow
    )


def test_a_heap_of_nearly_equal_beats_takes_no_time():
    x = np.repeat(beats(1), 1500, axis=0) + 1e-9 * np.arange(1500, dtype=np.float32)[:, None, None]
    assert len(np.unique(x[:, 0, 0])) > 5, "bits differ"
    started = process_time()
    shared = found(x, [str(k) for k in range(1500)])
    assert process_time() - started < 10
    assert shared["ecgs"] == 1500


def test_a_list_has_an_end_and_the_count_has_not():
    x = np.concatenate([np.repeat(beats(MOST_GROUPS + 5, 2), 2, axis=0), np.repeat(beats(1, 3), 50, axis=0)])
    patients = [str(k) for k in range(2 * (MOST_GROUPS + 5))] + ["same"] * 49 + ["other"]
    shared = found(x, patients)
    assert shared["count"] == MOST_GROUPS + 6
    assert shared["ecgs"] == 2 * (MOST_GROUPS + 5) + 50
    assert len(shared["groups"]) == MOST_GROUPS
    last = shared_beats(x[-50:], map(str, range(50)), patients[-50:])["groups"][0]
    assert len(last["ecg_ids"]) == MOST_ECGS
    assert last["patient_ids"][:2] == ["same", "other"], "one of each patient first"


def test_a_dataset_from_before_is_looked_at(tmp_path):
    x = beats(3)
    x[2] = x[0]
    ecgs = pd.DataFrame({"ecg_id": ["a", "b", "c"], "patient_id": ["1", "2", "3"]})
    assert duplicates_of(Dataset(tmp_path, x, ecgs, {}))["groups"][0]["ecg_ids"] == ["a", "c"]
    told = {"count": 0, "ecgs": 0, "groups": []}
    assert duplicates_of(Dataset(tmp_path, x, ecgs, {"duplicate_beats": told})) == told


@pytest.fixture
def copied_records(tmp_path):
    """Six recordings; a copy of one under another name, and another patient."""
    folder = tmp_path / "records"
    write_records(simulate_cohort(6, 6, 0.5, seed=3), folder)
    labels = pd.read_csv(folder / "labels.csv", dtype=str, keep_default_na=False)
    row = labels.iloc[0].copy()
    for suffix in (".hea", ".dat"):
        content = (folder / f"{row['record']}{suffix}").read_bytes()
        (folder / f"copy{suffix}").write_bytes(content.replace(row["record"].encode(), b"copy"))
    row["record"], row["patient_id"] = "copy", "somebody-else"
    if "ecg_id" in row:
        row["ecg_id"] = "copy"
    pd.concat([labels, row.to_frame().T]).to_csv(folder / "labels.csv", index=False)
    return folder, str(labels["record"][0])


def test_prepare_tells(copied_records, tmp_path):
    records, name = copied_records
    out = tmp_path / "dataset"
    shown = run_cli("prepare", records, "--labels", records / "labels.csv", out)
    assert shown.exit_code == 0, shown.output
    assert "1 median beat is the same under different patients" in shown.output
    assert "copy of somebody-else" in shown.output
    again = run_cli("prepare", records, "--labels", records / "labels.csv", out, "--force", "--json")
    told = json.loads(again.stdout)["duplicate_beats"]
    assert told["count"] == 1
    assert told["groups"][0]["ecg_ids"] == [name, "copy"]
    assert json.loads((out / "dataset.json").read_text(encoding="utf-8"))["duplicate_beats"] == told


def test_train_tells_before_it_trains(copied_records, tmp_path):
    records, _ = copied_records
    out = tmp_path / "dataset"
    assert run_cli("prepare", records, "--labels", records / "labels.csv", out).exit_code == 0
    shown = run_cli("train", out, tmp_path / "run", "--model", "random-forest", "--folds", "99")
    assert "1 median beat is the same under different patients" in shown.stderr
