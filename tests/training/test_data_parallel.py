"""One fold on several devices, which are parts of a CPU here: the rows, losses and bits that they must be."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from helpers import run_cli

from omi_keras.training.devices import divide_machine
from omi_keras.training.run import partial_folder

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed; pip install 'omi-keras[jax]'"
)
FOUR = {
    **os.environ,
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
TRAIN = "import sys; from omi_keras.cli import main; main(sys.argv[1:])"
OPTIONS = ("--model", "mayo-alvd", "--folds", 0, "--n-folds", 5, "--batch-size", 32, "--threads", 2)


def python(code, *arguments, **environment):
    call = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(call, env=FOUR | environment, capture_output=True, text=True, encoding="utf-8", timeout=500)


STEPS = """
import json, random, sys
import jax, keras, numpy as np
import omi_keras.training.jax_epoch as module
from omi_keras.training.optimizer import TorchAdam

def network():
    beat = keras.Input((12, 400, 1))
    x = keras.layers.Conv2D(4, (1, 3), use_bias=False)(beat)
    x = keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9)(x)
    x = keras.layers.MaxPooling2D((1, 4))(keras.layers.ReLU()(x))
    return keras.Model(beat, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))

seen = {}
make_step, fill = module._step, module._filled

def spying_step(*arguments):
    step = make_step(*arguments)
    def spy(state, x, y, counts):
        if not seen["places"]:
            seen["text"] = step.lower(state, x, y, counts).compile().as_text()
        seen["places"] += [[shard.data.shape[0] for shard in array.addressable_shards] for array in (x, y, counts)
                           if isinstance(array, jax.Array)]
        state, loss = step(state, x, y, counts)
        arrays = jax.tree.leaves(state)
        seen["whole"] = all(array.sharding.is_fully_replicated for array in arrays)
        seen["held by"] = sorted({len(array.sharding.device_set) for array in arrays})
        return state, loss
    return spy

def spying_fill(rows, grain):
    filled, counts = fill(rows, grain)
    seen["rows"].append(filled[counts > 0].tolist())
    return filled, counts

module._step, module._filled = spying_step, spying_fill
random.seed(0)  # of Keras' initializers: some first weights have gradients of rounding alone, which Adam makes large
rng = np.random.default_rng(0)
beats = rng.standard_normal((90, 12, 600)).astype(np.float32)
omi = (rng.random(90) < 0.4).astype(int)
training = np.arange(10, 90)
batches = [training[:20], training[20:57]]
start, found = network().get_weights(), {}
for devices, on_device in ((1, 90), (4, 90), (3, 0)):
    module.ON_DEVICE = on_device
    seen.update({"rows": [], "places": []})
    model, optimizer = network(), TorchAdam(1e-2)
    model.set_weights(start)
    optimizer.build(model.trainable_variables)
    epoch = module.jax_epoch(model, optimizer, beats, omi, training, devices)
    losses = [epoch(batches, lambda step, of: None) for _ in range(3)]
    text = seen.pop("text")
    found[devices] = dict(seen, losses=losses, partitions=f"num_partitions={devices}" in text,
                          reduced="all-reduce" in text,
                          weights=[weight.tolist() for weight in model.get_weights()])
found["tensorflow"] = "tensorflow" in sys.modules
print(json.dumps(found))
"""


@needs_jax
def test_a_step_is_divided_among_the_devices_and_stays_the_step_of_one():
    done = python(STEPS)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    one = found["1"]
    assert (one["partitions"], one["reduced"], one["held by"], found["tensorflow"]) == (False, False, [1], False)
    for devices, grain in ((4, 16), (3, 48)):
        several = found[str(devices)]
        assert several["rows"] == one["rows"]
        sizes = [-(-size // grain) * grain // devices for size in (20, 37)]
        assert several["places"] == [[size] * devices for size in sizes for _ in range(3)] * 3
        assert (several["whole"], several["held by"]) == (True, [devices])
        assert (several["partitions"], several["reduced"]) == (True, True)
        np.testing.assert_allclose(several["losses"], one["losses"], rtol=1e-5)
        for ours, theirs in zip(several["weights"], one["weights"], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)


FOLDS = """
import json, sys
from pathlib import Path
import numpy as np
from omi_keras.data.dataset import load_dataset
from omi_keras.training.fit import fit_fold
from omi_keras.training.protocol import Protocol

data, folder = load_dataset(Path(sys.argv[1])), Path(sys.argv[2])
omi = data.ecgs["omi"].to_numpy(int)
rows = np.arange(len(omi))

class Stop(Exception):
    pass

def stop(row):
    if row["epoch"] == 2:
        raise Stop

def train(name, devices, epoch_done=lambda row: None):
    # Adam divides by the size of a gradient: where that is rounding alone, it takes a step of the whole rate in either
    # direction. A small rate keeps those steps from what is compared.
    protocol = Protocol("mayo-alvd", 3, 64, 1e-5, "class", 0, backend="jax", devices=devices)
    (folder / name).mkdir(exist_ok=True)
    checkpoint = folder / name / "checkpoint.npz"
    model, progress = fit_fold(
        protocol, 0, data.beats, omi, rows[rows % 5 > 0], rows[rows % 5 == 0], checkpoint, epoch_done=epoch_done
    )
    return progress.history, [weight.tobytes().hex() for weight in model.get_weights()]

one, four = train("one", 1), train("four", 4)
try:
    train("again", 4, stop)
except Stop:
    again = train("again", 4)
print(json.dumps({"one": one[0], "four": four[0], "resumed": four == again, "same": one[1] == four[1]}))
"""


@needs_jax
@pytest.mark.slow
def test_four_devices_lose_what_one_loses_and_resume_to_the_bit(easy_dataset, tmp_path):
    # What is compiled once for four devices is not compiled again.
    done = python(FOLDS, easy_dataset, tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "compiled"))
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["resumed"]
    assert not found["same"], "devices that divide a sum round it otherwise: was it divided?"
    losses = [[row["loss"] for row in found[name]] for name in ("one", "four")]
    assert len(losses[0]) == 3
    assert losses[0][2] < 0.99 * losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


@needs_jax
@pytest.mark.slow
def test_a_run_on_four_devices_killed_and_resumed(easy_dataset, tmp_path):
    """Its number of devices belongs to the run."""
    options = (*OPTIONS, "--epochs", 3)
    done = python(TRAIN, "train", easy_dataset, tmp_path / "whole", *options, "--devices", 4)
    assert done.returncode == 0, done.stderr[-2000:]
    config = json.loads((tmp_path / "whole" / "config.json").read_text(encoding="utf-8"))
    assert config["devices"] == 4
    run = tmp_path / "run"
    command = [sys.executable, "-c", TRAIN, "train", str(easy_dataset), str(run), *map(str, options), "--devices", "4"]
    process = subprocess.Popen(command, env=FOUR, stderr=subprocess.DEVNULL)
    while not (partial_folder(run, 0) / "checkpoint.npz").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()
    done = python(TRAIN, "train", easy_dataset, run, *options, "--devices", 2, "--resume")
    assert done.returncode == 2
    assert "was started with devices 4, not 2" in done.stderr
    # What a run was started with is what it goes on with.
    done = python(TRAIN, "train", easy_dataset, run, *options, "--resume")
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("history.csv", "predictions.csv", "model.keras"):
        found, expected = (folder / "fold-00" / name for folder in (run, tmp_path / "whole"))
        assert found.read_bytes() == expected.read_bytes(), name
    assert len(pd.read_csv(run / "fold-00" / "history.csv")) == 3


@needs_jax
@pytest.mark.parametrize(
    ("devices", "jobs", "sentence"),
    [(5, 1, "--devices 5: this machine shows JAX 4 CPU devices"), (2, 3, "--devices 2 for each of 3 --jobs")],
)
def test_more_devices_than_there_are(easy_dataset, tmp_path, devices, jobs, sentence):
    run = tmp_path / "run"
    done = python(TRAIN, "train", easy_dataset, run, *OPTIONS, "--devices", devices, "--jobs", jobs)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["train", "search-lr"])
def test_tensorflow_says_that_jax_does_it(command, easy_dataset, tmp_path):
    done = run_cli(command, easy_dataset, tmp_path / "run", *OPTIONS, "--devices", 2)
    assert done.exit_code == 2
    assert "--devices 2 needs JAX and the backend is tensorflow; set KERAS_BACKEND=jax" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_one_device_is_what_it_always_was(easy_dataset, tmp_path):
    """A number that is out of range is bad usage; a forest has no use for it."""
    assert run_cli("train", easy_dataset, tmp_path / "run", "--devices", 0).exit_code == 2
    done = run_cli("train", easy_dataset, tmp_path / "run", "--model", "random-forest", "--folds", 0, "--devices", 3)
    assert done.exit_code == 0, done.output
    assert "random-forest has no use for --devices" in done.stderr
    assert json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))["devices"] == 1


def test_processes_share_gpus_in_groups(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5f,1,0,7")
    assert [share.gpu for share in divide_machine(8, devices=2)] == ["3,GPU-5f", "1,0"]
    assert [share.gpu for share in divide_machine(1, devices=5)] == ["3,GPU-5f,1,0,7"]
    assert [share.gpu for share in divide_machine(2)] == ["3", "GPU-5f"]


def test_gpus_are_counted_without_taking_their_memory(monkeypatch):
    import keras

    from omi_keras.recordings.errors import InputError
    from omi_keras.training.data_parallel import check_devices

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    monkeypatch.setitem(sys.modules, "jax", None)  # whoever asks for it fails
    with pytest.raises(InputError, match="--devices 2 for each of 2 --jobs: this machine shows JAX 3 GPU devices"):
        check_devices(2, processes=2)
    check_devices(1, processes=4)
    check_devices(8, processes=0)  # on other machines
