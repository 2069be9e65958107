"""What decides a run is part of it: Keras' backend, its threads, and where its dataset is."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from helpers import run_cli

from omi_keras.training.run import dataset_path, where_dataset_is

OPTIONS = ("--model", "mayo-alvd", "--folds", 0, "--n-folds", 5, "--epochs", 1, "--batch-size", 32)
needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed; pip install 'omi-keras[jax]'"
)


def config_of(run):
    return json.loads((run / "config.json").read_text(encoding="utf-8"))


def alter(run, **changes):
    config = config_of(run) | changes
    kept = {name: value for name, value in config.items() if value is not None}
    (run / "config.json").write_text(json.dumps(kept), encoding="utf-8")


def elsewhere(code, *arguments, **environment):
    """Run Python on the other backend, whose choice belongs to a process."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", **environment}
    call = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(call, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300)


def test_a_run_begun_on_one_backend_is_not_continued_on_another(easy_dataset, tmp_path):
    run = tmp_path / "run"
    assert run_cli("train", easy_dataset, run, *OPTIONS).exit_code == 0
    assert config_of(run)["backend"] == "tensorflow"
    alter(run, backend="jax")
    shutil.rmtree(run / "fold-00")
    done = run_cli("train", easy_dataset, run, *OPTIONS, "--resume")
    assert done.exit_code == 2
    assert "was started with backend jax, not tensorflow; resume with KERAS_BACKEND=jax" in done.stderr
    # Runs of omi-keras 0.1.0 do not say; TensorFlow is what nearly all of them were trained on.
    alter(run, backend=None)
    assert run_cli("train", easy_dataset, run, *OPTIONS, "--resume").exit_code == 0


@needs_jax
def test_on_jax_the_run_says_so_and_judges_what_it_saves(easy_dataset, tmp_path):
    run = tmp_path / "run"
    code = "import sys; from omi_keras.cli import main; main(sys.argv[1:])"
    done = elsewhere(code, "train", easy_dataset, run, *OPTIONS, "--mixed-precision", "--learning-rate", 1e-3)
    assert done.returncode == 0, done.stderr[-2000:]
    config = config_of(run)
    assert (config["backend"], config["precision"] != "float32") == ("jax", True)
    assert "jax" in config["versions"]
    assert "backend jax" in (run / "report.html").read_text(encoding="utf-8")
    metrics = json.loads((run / "fold-00" / "metrics.json").read_text(encoding="utf-8"))
    history = pd.read_csv(run / "fold-00" / "history.csv")
    assert history["val_score"][0] == pytest.approx(metrics["validation"]["score"], abs=1e-12)
    done = run_cli("train", easy_dataset, run, *OPTIONS, "--mixed-precision", "--learning-rate", 1e-3, "--resume")
    assert done.exit_code == 2
    assert "was started with backend jax, not tensorflow" in done.stderr


THREADS = """
import os, sys
from pathlib import Path
from omi_keras.training.runtime import has_gpu, use_threads
use_threads(int(sys.argv[1]))
assert not has_gpu()
import jax.numpy as jnp
(jnp.ones((600, 600)) @ jnp.ones((600, 600))).block_until_ready()
tasks = Path("/proc/self/task").iterdir()
print(sum((task / "comm").read_text(encoding="ascii").strip() == "tf_XLAEigen" for task in tasks))
"""


@needs_jax
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux' account of a process")
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_what_they_are_on_jax_too(threads):
    done = elsewhere(THREADS, threads)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == threads


def fake_dataset(path, **sums):
    path.mkdir(parents=True)
    (path / "dataset.json").write_text(
        json.dumps({"sha256": {"beats.npy": "0", "ecgs.csv": "1"} | sums}), encoding="utf-8"
    )
    return path


SUMS = {"dataset_sha256": {"beats.npy": "0", "ecgs.csv": "1"}}


def test_the_dataset_is_found_from_anywhere(tmp_path, monkeypatch):
    data, run = fake_dataset(tmp_path / "a" / "data"), tmp_path / "a" / "runs" / "run"
    run.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a")
    config = SUMS | where_dataset_is(data.relative_to(tmp_path / "a"), run.relative_to(tmp_path / "a"))
    assert config["dataset"] == str(data)
    monkeypatch.chdir(tmp_path)
    assert dataset_path(run, config) == data


def test_the_dataset_is_found_when_both_were_moved(tmp_path, monkeypatch):
    data, run = fake_dataset(tmp_path / "a" / "data"), tmp_path / "a" / "runs" / "run"
    run.mkdir(parents=True)
    config = SUMS | where_dataset_is(data, run)
    (tmp_path / "a").rename(tmp_path / "b")
    moved = tmp_path / "b" / "data"
    assert dataset_path(tmp_path / "b" / "runs" / "run", config) == moved
    # Also when another dataset is now where the run's was, and by a link to the run.
    fake_dataset(data, **{"ecgs.csv": "other"})
    assert dataset_path(tmp_path / "b" / "runs" / "run", config) == moved
    (tmp_path / "link").symlink_to(tmp_path / "b" / "runs" / "run")
    assert dataset_path(tmp_path / "link", config) == moved
    monkeypatch.chdir(tmp_path / "b" / "runs")
    assert dataset_path(tmp_path.joinpath("run").relative_to(tmp_path), config) == moved
    # Nowhere: where it was is what can be told.
    shutil.rmtree(moved)
    assert dataset_path(tmp_path / "b" / "runs" / "run", config) == data


def test_paths_of_older_runs_as_they_were_typed(tmp_path, monkeypatch):
    data, run = fake_dataset(tmp_path / "data"), tmp_path / "run"
    run.mkdir()
    monkeypatch.chdir(tmp_path)
    assert dataset_path(run, SUMS | {"dataset": "data"}).resolve() == data
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert dataset_path(run, SUMS | {"dataset": "data"}) == data
    for odd in ({}, {"dataset": 5}, {"dataset": "<i>gone</i>", "dataset_from_run": ["x"]}, {"dataset_sha256": []}):
        dataset_path(run, odd)


def test_a_dataset_on_another_drive(tmp_path, monkeypatch):
    def refuse(*paths):
        raise ValueError("path is on mount 'C:', start on mount 'D:'")

    monkeypatch.setattr(os.path, "relpath", refuse)
    assert where_dataset_is(tmp_path / "data", tmp_path / "run") == {
        "dataset": str(tmp_path / "data"),
        "dataset_from_run": None,
    }


def test_numbers_of_threads_reach_tensorflow():
    code = (
        "import sys; from omi_keras.training.runtime import use_threads; use_threads(3)\n"
        "import tensorflow as tf; assert tf.config.threading.get_intra_op_parallelism_threads() == 3"
    )
    done = elsewhere(code, KERAS_BACKEND="tensorflow")
    assert done.returncode == 0, done.stderr[-2000:]
