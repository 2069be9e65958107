"""Nobody replaces a run that is being trained, and no checkpoint or fold passes for another run's."""

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from helpers import run_cli

from omi_keras.data.dataset import load_dataset
from omi_keras.data.exclusive import only_one
from omi_keras.recordings.errors import InputError
from omi_keras.training import cross_validation
from omi_keras.training import fold as fold_module
from omi_keras.training import forest as candidates
from omi_keras.training.config import run_id
from omi_keras.training.locks import at_work, beginning, clear_leftovers, fold_at_work, fold_lock
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import load_run, partial_folder
from omi_keras.training.splits import Split
from omi_keras.training.started import started_run

FOREST = ("--model", "random-forest", "--n-folds", 5)
SETTINGS = Protocol("random-forest", 0, 0, 0.0, "class", 0, backend=None)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def dataset(easy_dataset, monkeypatch):
    monkeypatch.setattr(candidates, "TREES", 30)
    monkeypatch.setattr(candidates, "CANDIDATES", candidates.CANDIDATES[:1])
    return easy_dataset


@pytest.fixture
def run(dataset, tmp_path):
    """Folds 0 and 1 of a forest's run."""
    assert run_cli("train", dataset, tmp_path / "runs" / "run", *FOREST, "--folds", "0,1").exit_code == 0
    return tmp_path / "runs" / "run"


def busy(done):
    assert done.exit_code == 2, done.output
    assert "is being trained by another process" in done.stderr
    return True


def test_force_is_refused_while_a_command_trains_the_run(run, dataset):
    with started_run(load_dataset(dataset), run, SETTINGS, folds=[2], split=Split(5), resume=True):
        before = (run / "config.json").read_bytes()
        assert busy(run_cli("train", dataset, run, *FOREST, "--seed", 1, "--force"))
        assert (run / "config.json").read_bytes() == before
        # Other folds of the same run may be trained meanwhile.
        assert run_cli("train", dataset, run, *FOREST, "--folds", 3, "--resume").exit_code == 0
    assert names(run) == ["config.json", "fold-00", "fold-01", "fold-03", "folds.csv", "report.html"]
    assert names(run.parent) == ["run"]
    assert run_cli("train", dataset, run, *FOREST, "--folds", 0, "--seed", 1, "--force").exit_code == 0
    assert names(run) == ["config.json", "fold-00", "folds.csv", "report.html"]
    assert json.loads((run / "config.json").read_text(encoding="utf-8"))["seed"] == 1


def test_force_is_refused_while_a_worker_whose_command_is_gone_trains_a_fold(run, dataset):
    with fold_at_work(run, 2):
        assert busy(run_cli("train", dataset, run, *FOREST, "--seed", 1, "--force"))
        assert busy(run_cli("train", dataset, run, *FOREST, "--folds", 2, "--resume"))
    assert run_cli("train", dataset, run, *FOREST, "--folds", 2, "--resume").exit_code == 0


def test_locks_of_killed_processes_hold_nobody_up_and_go(run, dataset):
    (run / ".train-dead.lock").touch()
    fold_lock(run, 3).touch()
    partial_folder(run, 3).mkdir()
    (partial_folder(run, 3) / ".history.csv.0123456789abcdef.part").touch()
    (run / ".features.npy").touch()
    (run / ".features.partial.npy").touch()
    assert run_cli("train", dataset, run, *FOREST, "--folds", "0,1", "--resume").exit_code == 0
    assert names(run) == ["config.json", "fold-00", "fold-01", "folds.csv", "report.html"]


def test_what_resumes_an_interrupted_fold_stays(tmp_path):
    partial = partial_folder(tmp_path, 0)
    partial.mkdir()
    for name in ("checkpoint.npz", "history.csv", ".checkpoint.npz.0123456789abcdef.part", ".half.keras", "lock"):
        (partial / name).touch()
    fold_lock(tmp_path, 0).touch()
    with ExitStack() as work, beginning(tmp_path):
        work.enter_context(at_work(tmp_path))
    assert names(partial) == ["checkpoint.npz", "history.csv"]
    assert names(tmp_path) == [partial.name]


def test_files_that_another_process_works_with_are_not_cleared(tmp_path):
    (tmp_path / ".features.npy").touch()
    with only_one(tmp_path / ".train-other.lock", "busy"):
        clear_leftovers(tmp_path)
        assert (tmp_path / ".features.npy").exists()
    clear_leftovers(tmp_path)
    assert names(tmp_path) == []


def test_a_fold_that_is_finished_while_this_process_loads(run, dataset, monkeypatch):
    """The other process is done between the first look and the lock."""
    (run / "fold-01").rename(run.parent / "finished")
    load = cross_validation._load

    def load_slowly(*arguments):
        loaded = load(*arguments)
        (run.parent / "finished").rename(run / "fold-01")
        return loaded

    monkeypatch.setattr(cross_validation, "_load", load_slowly)
    metrics = (run.parent / "finished" / "metrics.json").read_bytes()
    done = run_cli("train", dataset, run, *FOREST, "--folds", "0,1", "--resume")
    assert done.exit_code == 0, done.output
    assert (run / "fold-01" / "metrics.json").read_bytes() == metrics
    assert names(run) == ["config.json", "fold-00", "fold-01", "folds.csv", "report.html"]


def test_a_finished_fold_whose_name_was_taken_is_kept(run, dataset, monkeypatch):
    """Somebody copies the fold from another machine while it is trained here."""
    write = fold_module.write_json

    def copied(path, content):
        write(path, content)
        if path.name == "metrics.json":
            (run / "fold-02").mkdir()

    monkeypatch.setattr(fold_module, "write_json", copied)
    done = run_cli("train", dataset, run, *FOREST, "--folds", 2, "--resume")
    assert done.exit_code == 2
    assert "the finished work is in" in done.stderr
    assert names(run / "fold-02.finished") == names(run / "fold-01")
    assert names(run / "fold-02") == []


@pytest.mark.parametrize("command", ["train", "search-lr"])
def test_force_does_not_delete_the_dataset_that_it_learns_from(dataset, tmp_path, command):
    """A dataset that was in memory lies in its run."""
    marker, kind = ("config.json", "run") if command == "train" else ("search.json", "learning-rate search")
    inside = tmp_path / "run" / ("dataset" if command == "train" else "rate-0.001/dataset")
    shutil.copytree(dataset, inside)
    (tmp_path / "run" / marker).write_text(json.dumps({"kind": kind}), encoding="utf-8")
    done = run_cli(command, inside, tmp_path / "run", "--model", "mayo-alvd", "--n-folds", 5, "--force")
    assert done.exit_code == 2
    assert "would be deleted with it" in done.stderr
    assert load_dataset(inside).simulated


def test_a_run_that_is_replaced_while_a_worker_loads_is_not_mixed(run, dataset, monkeypatch):
    load = cross_validation._load

    def load_slowly(*arguments):
        loaded = load(*arguments)
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        (run / "config.json").write_text(json.dumps(config | {"seed": 9}), encoding="utf-8")
        return loaded

    monkeypatch.setattr(cross_validation, "_load", load_slowly)
    done = run_cli("train", dataset, run, *FOREST, "--folds", 2, "--resume")
    assert done.exit_code == 2
    assert "was replaced by another run" in done.stderr
    assert not (run / "fold-02").exists()


def test_a_fold_of_another_run_is_refused(run, dataset, tmp_path):
    other = tmp_path / "other"
    assert run_cli("train", dataset, other, *FOREST, "--folds", 0, "--seed", 1).exit_code == 0
    shutil.copytree(other / "fold-00", run / "fold-02")
    with pytest.raises(InputError, match="fold-02 belongs to a run of other settings"):
        load_run(run)
    for done in (
        run_cli("train", dataset, run, *FOREST, "--folds", 2, "--resume"),
        run_cli("evaluate", run, tmp_path / "report"),
    ):
        assert done.exit_code == 2
        assert "fold-02 belongs to a run of other settings" in done.stderr
    # A run of omi-keras 0.1.0 does not say.
    metrics = json.loads((run / "fold-02" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics.pop("run")
    (run / "fold-02" / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    assert len(load_run(run).results) == 3


def test_a_run_without_the_younger_settings_is_the_same_run(run):
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    old = {name: value for name, value in config.items() if name not in ("backend", "precision", "threads")}
    assert run_id(old) == run_id(config)
    assert run_id(config | {"seed": 5}) != run_id(config)
    network = config | {"model": "mayo-alvd", "backend": "tensorflow"}
    assert run_id({name: value for name, value in network.items() if name != "backend"}) == run_id(network)
    assert run_id(network | {"backend": "jax"}) != run_id(network)


def test_folds_that_were_divided_otherwise_are_refused(run, dataset):
    text = (run / "folds.csv").read_text(encoding="utf-8").splitlines()
    (run / "folds.csv").write_text("\n".join([text[0], *reversed(text[1:])]) + "\n", encoding="utf-8")
    done = run_cli("train", dataset, run, *FOREST, "--folds", 2, "--resume")
    assert done.exit_code == 2
    assert "divides the ECGs otherwise" in done.stderr


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads Linux' account of a process")
def test_features_are_closed_when_they_are_removed(dataset, tmp_path, monkeypatch):
    """Other systems remove no file that is open."""
    unlink, seen = Path.unlink, []

    def watched(path, *arguments, **options):
        if path.name == ".features.npy" and path.exists():
            seen.append(".features.npy" in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace"))
        return unlink(path, *arguments, **options)

    monkeypatch.setattr(Path, "unlink", watched)
    assert run_cli("train", dataset, tmp_path / "run", *FOREST, "--folds", "0,1").exit_code == 0
    assert seen == [False]


def test_a_full_disk_is_told_with_the_folder(dataset, tmp_path, monkeypatch):
    import errno

    from omi_keras.training import fold

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fold, "write_table", full)
    done = run_cli("train", dataset, tmp_path / "run", *FOREST, "--folds", 0)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == f"omi-keras: {partial_folder(tmp_path / 'run', 0)}: No space left on device"
    assert names(tmp_path / "run") == ["config.json", "folds.csv"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows ends processes without asking")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_scheduler_that_ends_training_finds_nothing_left_but_what_resumes_it(jobs, easy_dataset, tmp_path):
    """While it trains, --force is refused; SIGTERM ends its children too, and the exit code says so."""
    run = tmp_path / "run"
    command = ["train", easy_dataset, run, "--model", "mayo-alvd", "--folds", "0,1", "--n-folds", 5]
    command += ["--epochs", 500, "--jobs", jobs]
    call = [sys.executable, "-c", "import sys; from omi_keras.cli import main; main(sys.argv[1:])"]
    process = subprocess.Popen([*call, *map(str, command)], stderr=subprocess.PIPE, text=True, encoding="utf-8")
    wanted = [partial_folder(run, fold) / "checkpoint.npz" for fold in range(jobs)]
    while not any(path.exists() for path in wanted) and process.poll() is None:
        time.sleep(0.02)
    children = children_of(process.pid)
    assert busy(run_cli(*command, "--seed", 3, "--force"))
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 143, told
    assert "Traceback" not in told
    assert told.splitlines()[-1].startswith("omi-keras: stopped; continue with the same command and --resume")
    # multiprocessing's own helper ends when it sees that its parent has.
    deadline = time.monotonic() + 20
    while (alive := [pid for pid in children if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive
    # A fold that had finished no epoch has nothing to resume.
    partials = [path.name for path in run.glob(".fold-*.partial")]
    assert partials
    assert names(run) == sorted([*partials, "config.json", "folds.csv"])
    for partial in partials:
        assert names(run / partial) == ["checkpoint.npz", "history.csv"]
    assert names(tmp_path) == ["run"]
    if jobs == 1:
        # A checkpoint says whose it is.
        with np.load(wanted[0]) as arrays:
            state = json.loads(arrays["state"].tobytes())
        assert state["run"] == run_id(json.loads((run / "config.json").read_text(encoding="utf-8")))
        other = tmp_path / "other"
        command[2] = other
        with started_run(
            load_dataset(easy_dataset), other, protocol_of(run, seed=3), folds=[0], split=Split(5)
        ):  # started, not trained
            pass
        shutil.copytree(run / partials[0], other / partials[0])
        done = run_cli(*command, "--seed", 3, "--resume")
        assert done.exit_code == 2
        assert "is a checkpoint of another run" in done.stderr


def protocol_of(run, **changes):
    from dataclasses import fields

    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    return Protocol(**({field.name: config[field.name] for field in fields(Protocol)} | changes))


def children_of(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return path.read_text(encoding="ascii").split() if path.exists() else []
