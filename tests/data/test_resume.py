"""Interrupted at any moment and resumed, or read on a cluster: the dataset is the same to the byte."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from omi_keras.data import prepare as module
from omi_keras.data.dataset import FILES
from omi_keras.data.prepare import PROGRESS, prepare_records
from omi_keras.recordings.errors import InputError
from omi_keras.simulate.cohort import simulate_cohort
from omi_keras.simulate.records import write_records

# Notes its progress after nearly every recording, so that a kill falls into every part of the work.
OFTEN = (
    "import sys; import omi_keras.data.prepare as p; p.NOTE_SECONDS = 0.005\n"
    "from omi_keras.cli import main; main(sys.argv[1:])"
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """60 recordings, two of them damaged."""
    folder = tmp_path_factory.mktemp("records")
    write_records(simulate_cohort(60, 40, 0.3, seed=8), folder)
    for number in (11, 41):
        file = sorted(folder.glob("*.dat"))[number]
        file.write_bytes(file.read_bytes()[:999])
    return folder


@pytest.fixture(scope="module")
def whole(records, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "dataset"
    info = prepare_records(records, records / "labels.csv", out)
    assert (info["ecgs"], info["rejected"]) == (58, 2)
    return content(out)


def content(folder):
    return {name: (folder / name).read_bytes() for name in (*FILES, "dataset.json", "overview.html")}


def kill_and_resume(records, out, delays):
    """Kill the command so many seconds after its first note, then let it end; returns how often it was killed."""
    command = [sys.executable, "-c", OFTEN, "prepare", records, out, "--labels", records / "labels.csv", "--resume"]
    killed = 0
    for delay in delays:
        process = subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL)
        before = progress(out)
        while process.poll() is None and progress(out) == before:
            time.sleep(0.001)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        if out.exists():
            break
    if not out.exists():
        subprocess.run([str(part) for part in command], check=True, timeout=120)
    return killed


def progress(out):
    file = out.parent / f".{out.name}.partial" / PROGRESS
    return file.read_bytes() if file.exists() else None


def test_killed_twice(records, whole, tmp_path):
    out = tmp_path / "dataset"
    assert kill_and_resume(records, out, [0.05, 0.1]) >= 1
    assert content(out) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


@pytest.mark.slow
def test_killed_at_twenty_random_moments(records, whole, tmp_path):
    rng = np.random.default_rng(0)
    killed, number = 0, 0
    while killed < 20:
        out = tmp_path / f"dataset{number}"
        killed += kill_and_resume(records, out, rng.uniform(0, 0.15, 4))
        assert content(out) == whole
        number += 1


def test_what_came_after_the_last_note_is_done_again(records, whole, tmp_path, monkeypatch):
    out = tmp_path / "dataset"
    monkeypatch.setattr(module, "NOTE_SECONDS", 0)
    seen = []

    def stop(done, total, rejected):
        seen.append((done, total, rejected))
        if done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_records(records, records / "labels.csv", out, tick=stop)
    assert seen[-1] == (30, 60, 1)
    partial = tmp_path / ".dataset.partial"
    for name in FILES:
        with (partial / name).open("ab") as file:
            file.write(b"half a row")
    with pytest.raises(InputError, match="interrupted after 30 of 60 recordings; go on with --resume"):
        prepare_records(records, records / "labels.csv", out)
    seen.clear()
    prepare_records(records, records / "labels.csv", out, resume=True, tick=lambda done, *_: seen.append(done))
    assert seen == list(range(31, 61))
    assert content(out) == whole


def test_other_labels_are_not_mixed_in(records, tmp_path, monkeypatch):
    out = tmp_path / "dataset"
    monkeypatch.setattr(module, "NOTE_SECONDS", 0)

    def stop(done, total, rejected):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_records(records, records / "labels.csv", out, tick=stop)
    table = pd.read_csv(records / "labels.csv", dtype=str, keep_default_na=False).iloc[::-1]
    table.to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(InputError, match="begun with other labels"):
        prepare_records(records, tmp_path / "labels.csv", out, resume=True)
    info = prepare_records(records, tmp_path / "labels.csv", out, force=True)
    assert info["ecgs"] == 58


def test_on_a_dask_cluster(records, whole, tmp_path):
    distributed = pytest.importorskip("distributed", reason="the distributed extra is not installed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        address = cluster.scheduler_address.removeprefix("tcp://")
        out = tmp_path / "dataset"
        prepare_records(records, records / "labels.csv", out, scheduler=f"dask://{address}")
    assert content(out) == whole


def test_a_scheduler_that_is_none(records, tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="the distributed extra is not installed")
    from omi_keras.data import workers

    monkeypatch.setattr(workers, "CONNECT_SECONDS", 1)
    for scheduler, problem in (("spark://x", "expected local or dask"), ("dask://localhost:1", "no Dask scheduler")):
        with pytest.raises(InputError, match=problem):
            prepare_records(records, records / "labels.csv", tmp_path / "out", scheduler=scheduler)
        assert list(tmp_path.iterdir()) == []


def interrupted(records, out, monkeypatch, at=5):
    monkeypatch.setattr(module, "NOTE_SECONDS", 0)

    def stop(done, total, rejected):
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_records(records, records / "labels.csv", out, tick=stop)
    return out.parent / f".{out.name}.partial"


def test_work_that_appeared_meanwhile_stays(records, whole, tmp_path, monkeypatch):
    out = tmp_path / "dataset"
    interrupted(records, out, monkeypatch)
    out.mkdir()
    (out / "thesis.txt").write_text("theirs", encoding="utf-8")
    for force in (False, True):
        with pytest.raises(InputError, match="exists already" if not force else "will not replace it"):
            prepare_records(records, records / "labels.csv", out, resume=True, force=force)
        assert [path.name for path in out.iterdir()] == ["thesis.txt"]
    out.rename(tmp_path / "away")
    prepare_records(records, records / "labels.csv", out, resume=True)
    assert content(out) == whole


def test_work_that_appears_at_the_end_stays(records, whole, tmp_path):
    out = tmp_path / "dataset"

    def appear(done, total, rejected):
        if done == total:
            out.mkdir()
            (out / "thesis.txt").write_text("theirs", encoding="utf-8")

    with pytest.raises(InputError, match=r"finished work is in .*dataset\.finished"):
        prepare_records(records, records / "labels.csv", out, tick=appear)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]
    assert content(tmp_path / "dataset.finished") == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "dataset.finished"]


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"force": True}])
def test_two_at_a_time(records, whole, tmp_path, options):
    out = tmp_path / "dataset"
    refusals = []

    def second(done, total, rejected):
        if done == 3:
            with pytest.raises(InputError, match="is being prepared by another process") as error:
                prepare_records(records, records / "labels.csv", out, **options)
            refusals.append(error.value.reason)

    prepare_records(records, records / "labels.csv", out, tick=second)
    assert refusals == ["busy"] and content(out) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_other_recordings_are_not_mixed_in(records, whole, tmp_path, monkeypatch):
    out, other = tmp_path / "dataset", tmp_path / "other"
    interrupted(records, out, monkeypatch)
    shutil.copytree(records, other)
    with pytest.raises(InputError, match="begun with another RECORDS_DIR"):
        prepare_records(other, records / "labels.csv", out, resume=True)
    link = tmp_path / "link"
    link.symlink_to(records)
    prepare_records(link, records / "labels.csv", out, resume=True)
    assert content(out) == whole


def test_another_version_does_not_go_on(records, tmp_path, monkeypatch):
    out = tmp_path / "dataset"
    interrupted(records, out, monkeypatch)
    monkeypatch.setattr(module, "versions", lambda: {"omi-keras": "9.9"})
    with pytest.raises(InputError, match="begun with another omi-keras version"):
        prepare_records(records, records / "labels.csv", out, resume=True)


@pytest.mark.parametrize("damage", ["sizes", "done", "short file", "no file"])
def test_altered_notes_are_refused(records, tmp_path, monkeypatch, damage):
    out = tmp_path / "dataset"
    partial = interrupted(records, out, monkeypatch)
    notes = json.loads((partial / PROGRESS).read_text(encoding="utf-8"))
    if damage == "sizes":
        notes["sizes"]["beats.npy"] = "many"
    elif damage == "done":
        notes["done"] += 1
    elif damage == "short file":
        (partial / "beats.npy").write_bytes(b"")
    else:
        (partial / "ecgs.csv").unlink()
    (partial / PROGRESS).write_text(json.dumps(notes), encoding="utf-8")
    with pytest.raises(InputError, match="start anew with --force"):
        prepare_records(records, records / "labels.csv", out, resume=True)
    assert not out.exists()


@pytest.mark.parametrize("what", ["folder", "file", "link"])
def test_a_hidden_name_that_somebody_else_has_stays(records, tmp_path, what):
    hidden = tmp_path / ".dataset.partial"
    if what == "folder":
        hidden.mkdir()
        (hidden / "thesis.txt").write_text("theirs", encoding="utf-8")
    elif what == "file":
        hidden.write_text("theirs", encoding="utf-8")
    else:
        hidden.symlink_to(tmp_path)
    for options in ({}, {"resume": True}, {"force": True}):
        with pytest.raises(InputError, match="did not make"):
            prepare_records(records, records / "labels.csv", tmp_path / "dataset", **options)
    assert [path.name for path in tmp_path.iterdir()] == [hidden.name]


def test_a_scheduler_that_is_gone_costs_no_work(records, tmp_path, monkeypatch):
    out = tmp_path / "dataset"
    partial = interrupted(records, out, monkeypatch)
    with pytest.raises(InputError, match="scheduler"):
        prepare_records(records, records / "labels.csv", out, resume=True, scheduler="spark://x")
    assert (partial / PROGRESS).is_file()
