"""Training in mixed precision: which form a machine and a run take; what is judged and saved is float32."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
from helpers import run_cli

from omi_keras.cli.display import Display
from omi_keras.data.dataset import load_dataset
from omi_keras.models.catalogue import build
from omi_keras.models.inference import cross_entropy, predict_logits
from omi_keras.training import runtime, settings
from omi_keras.training.fit import fit_fold
from omi_keras.training.optimizer import TorchAdam
from omi_keras.training.protocol import Protocol


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).standard_normal((4, 12, 400, 1)).astype(np.float32)


def test_a_step_scales_the_loss_and_moves_the_weights(x):
    keras.utils.set_random_seed(0)
    model = build("mayo-alvd", "mixed_float16")
    model.compile(TorchAdam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    before = model.get_weights()
    y = np.arange(4) % 2
    losses = [float(model.train_on_batch(x, y)) for _ in range(8)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"])
def machine(request, monkeypatch):
    """The 16-bit form that --mixed-precision takes, whatever processor the tests run on."""
    monkeypatch.setattr(runtime, "mixed_precision", lambda: request.param)
    return request.param


@pytest.mark.parametrize(
    ("gpu", "flags", "expected"),
    [
        (True, "avx512_bf16", "mixed_float16"),
        (False, "fpu avx512_bf16 sse", "mixed_bfloat16"),
        (False, "fpu amx_bf16", "mixed_bfloat16"),
        (False, "fpu avx2 avx512f", "mixed_float16"),
        (False, None, "mixed_float16"),
    ],
)
def test_the_form_that_a_machine_is_made_for(gpu, flags, expected, monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "has_gpu", lambda: gpu)
    monkeypatch.setattr(runtime, "CPU", tmp_path / "cpuinfo")
    if flags is not None:
        (tmp_path / "cpuinfo").write_bytes(b"model name\t: \xe9\nflags\t\t: " + flags.encode() + b"\n")
    assert runtime.mixed_precision() == expected


@pytest.mark.parametrize(
    ("wanted", "started", "gpu", "expected"),
    [
        (None, {}, False, "float32"),
        (None, {}, True, "mixed_float16"),
        (True, {}, False, "mixed_bfloat16"),
        (False, {}, True, "float32"),
        # Resumed: what the run has satisfies the flag, whatever this machine is made for.
        (None, {"precision": "mixed_float16"}, False, "mixed_float16"),
        (True, {"precision": "mixed_float16"}, False, "mixed_float16"),
        (True, {"precision": "mixed_bfloat16"}, True, "mixed_bfloat16"),
        (None, {"precision": "float32"}, True, "float32"),
        (False, {"precision": "float32"}, True, "float32"),
        (None, {"model": "of 0.1.0"}, True, "float32"),
        # What it does not have is asked for, and refused further on.
        (False, {"precision": "mixed_float16"}, False, "float32"),
        (True, {"precision": "float32"}, False, "mixed_bfloat16"),
    ],
)
def test_the_precision_of_a_run(wanted, started, gpu, expected, monkeypatch):
    monkeypatch.setattr(runtime, "has_gpu", lambda: gpu)
    monkeypatch.setattr(runtime, "_cpu_has_bfloat16", lambda: True)
    assert settings._precision(wanted, started) == expected


@pytest.mark.parametrize(
    ("precision", "gpu", "flags", "told"),
    [
        ("mixed_bfloat16", False, "avx512_bf16", "in bfloat16: this processor has instructions for it"),
        (
            "mixed_float16",
            False,
            "avx2",
            "in float16 with loss scaling: this processor has no instructions",
        ),
        ("mixed_float16", True, "avx2", "in float16 with loss scaling: GPUs are made for it"),
        ("mixed_float16", False, "avx512_bf16", "in float16 with loss scaling, as the run was started"),
        ("mixed_bfloat16", True, "avx2", "in bfloat16, as the run was started"),
    ],
)
def test_the_form_and_its_reason_are_told(precision, gpu, flags, told, monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "has_gpu", lambda: gpu)
    monkeypatch.setattr(runtime, "CPU", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n", encoding="ascii")
    assert told in runtime.precision_sentence(precision)


def test_trained_in_mixed_precision_interrupted_resumed_and_exported(machine, easy_dataset, tmp_path, monkeypatch):
    options = ("--model", "mayo-alvd", "--folds", 0, "--n-folds", 5, "--batch-size", 32, "--epochs", 2)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    done = run_cli("train", easy_dataset, whole, *options, "--mixed-precision", "--json")
    assert done.exit_code == 0
    assert "computing in " + {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}[machine] in done.stderr
    assert json.loads(done.stdout)["precision"] == machine

    class Killed(BaseException):
        pass

    def kill(self, label, row):
        if row["epoch"] == 1:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Display, "epoch", kill)
        with pytest.raises(Killed):
            run_cli("train", easy_dataset, resumed, *options, "--mixed-precision")
    with np.load(resumed / ".fold-00.partial" / "checkpoint.npz") as arrays:
        slots = [arrays[name] for name in arrays.files if name.startswith("optimizer/")]
    scaled = any(slot.shape == () and slot >= 1024 for slot in slots)
    assert scaled == (machine == "mixed_float16"), "bfloat16 has the range of float32: its loss is not scaled"
    # Resumed where the machine is made for the other form: the run keeps its own.
    other = {"mixed_float16": "mixed_bfloat16", "mixed_bfloat16": "mixed_float16"}[machine]
    monkeypatch.setattr(runtime, "mixed_precision", lambda: other)
    refused = run_cli("train", easy_dataset, resumed, *options, "--no-mixed-precision", "--resume")
    assert refused.exit_code == 2
    assert f"was started with precision {machine}, not float32" in refused.stderr
    assert run_cli("train", easy_dataset, resumed, *options, "--mixed-precision", "--resume").exit_code == 0
    assert json.loads((resumed / "config.json").read_text(encoding="utf-8"))["precision"] == machine
    for name in ("history.csv", "predictions.csv", "model.keras"):
        assert (resumed / "fold-00" / name).read_bytes() == (whole / "fold-00" / name).read_bytes()
    assert_judged_as_saved(whole / "fold-00")
    model = tmp_path / "model"
    assert run_cli("select", whole, model).exit_code == 0
    done = run_cli("export-tflite", model, tmp_path / "bundle", "--dataset", easy_dataset, "--quantize", "float32")
    assert done.exit_code == 0, done.output


def assert_judged_as_saved(fold):
    """The epoch was chosen by the very number that the saved network has."""
    metrics = json.loads((fold / "metrics.json").read_text(encoding="utf-8"))
    history = pd.read_csv(fold / "history.csv").set_index("epoch")
    for name in ("auc", "ap", "score"):
        assert history.loc[metrics["best_epoch"], f"val_{name}"] == pytest.approx(
            metrics["validation"][name], abs=1e-12
        )


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_the_network_that_is_saved_is_the_one_that_is_judged(precision, easy_dataset, tmp_path):
    """To the digit, in every epoch: ranks alone may agree by chance."""
    dataset = load_dataset(easy_dataset)
    omi, rows = dataset.ecgs["omi"].to_numpy(int), np.arange(len(dataset.ecgs))
    protocol = Protocol("mayo-alvd", 1, 32, 1e-3, "batch", 0, precision)
    model, progress = fit_fold(protocol, 0, dataset.beats, omi, rows[:100], rows[100:], tmp_path / "checkpoint.npz")
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert progress.history[0]["val_loss"] == cross_entropy(predict_logits(model, dataset.beats, rows[100:]), omi[100:])
