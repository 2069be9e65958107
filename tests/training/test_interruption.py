"""Killed at any moment and resumed, in several processes or on a cluster: the same run to the bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from helpers import run_cli

from omi_keras.data.exclusive import only_one
from omi_keras.recordings.errors import InputError
from omi_keras.training.locks import fold_lock
from omi_keras.training.run import partial_folder

TRAIN = "import sys; from omi_keras.cli import main; main(sys.argv[1:])"
SMALL = ("--n-folds", 5, "--epochs", 3, "--batch-size", 32, "--learning-rate", 1e-3, "--threads", 2)


def start(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, *(str(a) for a in arguments)], stderr=subprocess.DEVNULL, **options
    )


def content(run, folds):
    """Bytes of the tables, and the weights, of the folds."""
    found = {}
    for fold in folds:
        folder = run / f"fold-{fold:02d}"
        found |= {(fold, name): (folder / name).read_bytes() for name in ("history.csv", "predictions.csv")}
        found[fold, "metrics"] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        weights = keras.models.load_model(folder / "model.keras").get_weights()
        found[fold, "weights"] = b"".join(np.ascontiguousarray(array).tobytes() for array in weights)
    return found


@pytest.fixture(scope="module")
def whole(easy_dataset, tmp_path_factory):
    """Two folds without interruption, in a process of their own."""
    run = tmp_path_factory.mktemp("whole") / "run"
    process = start("train", easy_dataset, run, "--model", "mayo-alvd", "--folds", "0,1", *SMALL)
    assert process.wait(300) == 0
    return content(run, (0, 1))


def wait_until_nobody_trains(run, fold):
    deadline = time.monotonic() + 60
    while True:
        try:
            with only_one(fold_lock(run, fold), "busy"):
                return
        except InputError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_two_folds_at_the_same_time_one_killed(whole, easy_dataset, tmp_path):
    """Killed with its children, then resumed by two processes: what one process gave, to the bit."""
    run = tmp_path / "run"
    command = ("train", easy_dataset, run, "--model", "mayo-alvd", "--folds", "0,1", *SMALL, "--jobs", 2)
    process = start(*command)
    while not (partial_folder(run, 0) / "checkpoint.npz").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # Children end with their parent; until then they hold their folds, and may finish one.
    for fold in (0, 1):
        wait_until_nobody_trains(run, fold)
    # As if the kill met it in the middle of writing.
    if partial_folder(run, 0).exists():
        (partial_folder(run, 0) / ".checkpoint.npz.0123456789abcdef.part").write_bytes(b"half")
    assert start(*command, "--resume").wait(300) == 0
    assert content(run, (0, 1)) == whole
    left = ["config.json", "fold-00", "fold-01", "folds.csv", "report.html"]
    assert sorted(path.name for path in run.iterdir()) == left
    for fold in ("fold-00", "fold-01"):
        names = sorted(path.name for path in (run / fold).iterdir())
        assert names == ["history.csv", "metrics.json", "model.keras", "predictions.csv"]


def test_one_fold_is_trained_by_one_process(easy_dataset, tmp_path):
    run = tmp_path / "run"
    command = ("train", easy_dataset, run, "--model", "mayo-alvd", "--folds", 0, "--n-folds", 5, "--epochs", 50)
    process = start(*command)
    while not (fold_lock(run, 0)).exists() and process.poll() is None:
        time.sleep(0.01)
    try:
        done = run_cli(*command, "--resume")
    finally:
        process.kill()
        process.wait()
    assert done.exit_code == 2
    assert "is being trained by another process" in done.stderr


def test_ctrl_c_says_how_to_go_on(easy_dataset, tmp_path):
    run = tmp_path / "run"
    command = ("train", easy_dataset, run, "--model", "mayo-alvd", "--folds", 0, "--n-folds", 5, "--epochs", 500)
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN, *(str(a) for a in command)], stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    while not (partial_folder(run, 0) / "checkpoint.npz").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in told.splitlines()[-1]
    assert "Traceback" not in told


def taken_up(run, since):
    """Whether a fold of the run was taken up after this time."""
    locks = [fold_lock(run, fold) for fold in (0, 1)]
    return any(lock.exists() and lock.stat().st_mtime > since for lock in locks)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """1,000 simulated ECGs."""
    out = tmp_path_factory.mktemp("cohort") / "dataset"
    assert run_cli("simulate", out, "--ecgs", 1000, "--patients", 700, "--prevalence", 0.2).exit_code == 0
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("model", "epochs", "longest"), [("mayo-alvd", 6, 0.12), ("ecg-smart-net", 3, 0.2)])
def test_killed_at_ten_random_moments(model, epochs, longest, cohort, tmp_path):
    """After up to ``longest`` of the whole time: more than an epoch, so that some of the attempts come further."""
    options = ("--model", model, "--folds", "0,1", "--epochs", epochs, "--learning-rate", 1e-3)
    began = time.monotonic()
    assert start("train", cohort, tmp_path / "whole", *options).wait() == 0
    lasted = time.monotonic() - began
    run, killed, chance = tmp_path / "run", 0, random.Random(5)
    while killed < 10:
        since = time.time()
        process = start("train", cohort, run, *options, "--resume")
        # From the moment on that a fold is at work: within an epoch, between two, between two folds.
        while not taken_up(run, since) and process.poll() is None:
            time.sleep(0.01)
        try:
            process.wait(chance.uniform(0, longest) * lasted)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    assert start("train", cohort, run, *options, "--resume").wait() == 0
    print(f"{model}: killed {killed} times")
    assert killed == 10
    assert content(run, (0, 1)) == content(tmp_path / "whole", (0, 1))


@pytest.mark.slow
def test_four_folds_on_two_dask_workers_one_of_them_killed(cohort, tmp_path):
    distributed = pytest.importorskip("distributed")
    options = ("--model", "mayo-alvd", "--folds", "0,1,2,3", "--epochs", 4, "--threads", 2)
    assert start("train", cohort, tmp_path / "local", *options).wait() == 0
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", scheduler_port=0
    ) as cluster:
        address = cluster.scheduler_address.replace("tcp://", "dask://")
        run = tmp_path / "dask"
        process = start("train", cohort, run, *options, "--scheduler", address)
        while not any((partial_folder(run, fold) / "checkpoint.npz").exists() for fold in range(4)):
            assert process.poll() is None
            time.sleep(0.05)
        with distributed.Client(cluster) as client:
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
        assert process.wait() == 0
    assert content(run, range(4)) == content(tmp_path / "local", range(4))
