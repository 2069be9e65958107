"""Interrupted at any moment and resumed, or read on a cluster: the dataset is the same to the byte."""

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
    return {name: (folder / name).read_bytes() for name in (*FILES, "dataset.json")}


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
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
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
