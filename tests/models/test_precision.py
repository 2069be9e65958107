"""Mixed precision: 16-bit layers, float32 variables and logits; what is saved is float32."""

import keras
import numpy as np
import pytest
from helpers import random_state, run_cli

from omi_keras.cli.display import Display
from omi_keras.model import load_weights
from omi_keras.models.catalogue import NETWORKS, build
from omi_keras.models.weights.torch_weights import load_torch_parameters
from omi_keras.training.optimizer import TorchAdam


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).standard_normal((4, 12, 400, 1)).astype(np.float32)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_logits_and_variables_stay_float32(name, precision, x, tmp_path):
    model = build(name, precision)
    assert keras.config.dtype_policy().name == "float32", "the choice is the model's, not the process's"
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.layers[1].compute_dtype == precision.removeprefix("mixed_")
    assert model.outputs[0].dtype == "float32"
    load_torch_parameters(model, random_state(name, 1))
    logits = model.predict_on_batch(x)
    assert logits.dtype == np.float32
    model.save(tmp_path / "model.keras")
    plain = load_weights(name, tmp_path / "model.keras")
    assert {layer.compute_dtype for layer in plain.layers} == {"float32"}
    expected = plain.predict_on_batch(x)
    # 11 and 8 bits of mantissa.
    tolerance = 0.02 if precision == "mixed_float16" else 0.1
    assert 0 < np.abs(logits - expected).max() <= tolerance * np.abs(expected).max()


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


def test_trained_in_mixed_precision_interrupted_resumed_and_exported(easy_dataset, tmp_path):
    options = ("--model", "mayo-alvd", "--mixed-precision", "--folds", 0, "--n-folds", 5, "--batch-size", 32)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    assert run_cli("train", easy_dataset, whole, *options, "--epochs", 2).exit_code == 0

    class Killed(BaseException):
        pass

    def kill(self, label, row):
        if row["epoch"] == 1:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Display, "epoch", kill)
        with pytest.raises(Killed):
            run_cli("train", easy_dataset, resumed, *options, "--epochs", 2)
    with np.load(resumed / ".fold-00.partial" / "checkpoint.npz") as arrays:
        slots = [arrays[name] for name in arrays.files if name.startswith("optimizer/")]
    assert any(slot.shape == () and slot >= 1024 for slot in slots), "the scale of the loss"
    assert run_cli("train", easy_dataset, resumed, *options, "--epochs", 2, "--resume").exit_code == 0
    for name in ("history.csv", "predictions.csv"):
        assert (resumed / "fold-00" / name).read_bytes() == (whole / "fold-00" / name).read_bytes()
    model = tmp_path / "model"
    assert run_cli("select", whole, model).exit_code == 0
    done = run_cli("export-tflite", model, tmp_path / "bundle", "--dataset", easy_dataset, "--quantize", "float32")
    assert done.exit_code == 0, done.output
