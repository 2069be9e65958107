"""State dicts and modules of PyTorch become the same function, without PyTorch; what is neither is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import random_state, run_cli
from torch_files import Stored, save

from edge.export import gate_rows
from omi_keras.data.dataset import load_dataset
from omi_keras.model import load_model
from omi_keras.models.weights.torch_checkpoint import read_checkpoint
from omi_keras.models.weights.torch_weights import to_torch, torch_names

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"


@pytest.fixture
def safetensors(tmp_path):
    from safetensors.numpy import save_file

    def save(state, name="weights.safetensors"):
        save_file(state, tmp_path / name)
        return tmp_path / name

    return save


def test_safetensors_need_no_torch(safetensors, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    state = random_state("mayo-alvd", 1)
    state["spatial_bn.num_batches_tracked"] = np.array(7)
    done = run_cli(
        "import-torch", safetensors(state), tmp_path / "model", "--model", "mayo-alvd", "--threshold", 0.25, "--json"
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["trainable_parameters"] == 135_378
    folder = load_model(tmp_path / "model")
    assert folder.threshold == 0.25
    assert folder.folds is None
    for key, variable in torch_names(folder.network).items():
        np.testing.assert_array_equal(to_torch(np.asarray(variable)), state[key])


@pytest.mark.parametrize("whole", [False, True], ids=["state dict", "module"])
def test_what_torch_save_writes_needs_no_torch(whole, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.meta_path", [_NoTorch(), *__import__("sys").meta_path])
    state, stored = random_state("mayo-alvd", 1), Stored()
    state["spatial_bn.num_batches_tracked"] = np.array(7)
    content = stored.module(state) if whole else {name: stored.tensor(value) for name, value in state.items()}
    checkpoint = save(tmp_path / "weights.pt", {"model": content, "epoch": 3, "loss": [0.5, 0.25]}, stored)
    done = run_cli("import-torch", checkpoint, tmp_path / "model", "--model", "mayo-alvd")
    assert done.exit_code == 0, done.output
    for key, variable in torch_names(load_model(tmp_path / "model").network).items():
        np.testing.assert_array_equal(to_torch(np.asarray(variable)), state[key])


class _NoTorch:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(name, name=name)


def test_a_module_that_pytorch_pickled():
    """tests/artifacts/module.pt, by PyTorch 2.13: ``python tests/artifacts/module.py``; its class is not there."""
    found = read_checkpoint(ARTIFACTS / "module.pt")
    rows = np.arange(24, dtype=np.float32).reshape(4, 6)
    expected = {
        "first.weight": rows / 7,
        "first.bias": np.arange(4, dtype=np.float32) - 1.5,
        "norm.weight": np.float32([1, 0.5, -2, 3]),
        "norm.bias": np.float32([0, 0.25, 0.5, 0.75]),
        "norm.running_mean": np.zeros(4, np.float32),
        "norm.running_var": np.ones(4, np.float32),
        "norm.num_batches_tracked": np.array(0),
        "tied.weight": rows / 7,
        "tied.bias": np.zeros(4, np.float32),
        "turned.weight": rows.T[:, 1:3],
        "turned.bias": np.ones(6, np.float32),
        "short": np.float32([0.1, 65504, -0.0]).astype(np.float16).astype(np.float32),
        "brain": np.float32([1, -2.5, 3.140625]),
        "window": np.float64([0.25, 0.5]),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
        assert found[name].dtype == value.dtype


@pytest.mark.parametrize("contract", [None, "zscore-400", "maxabs-200"])
def test_the_input_contract_is_asked_for(contract, tmp_path):
    stored = Stored()
    state = {name: stored.tensor(value) for name, value in random_state("temporal-resnet18", 1).items()}
    checkpoint = save(tmp_path / "weights.pt", state, stored)
    options = ("--input", contract) if contract else ()
    done = run_cli("import-torch", checkpoint, tmp_path / "model", "--model", "temporal-resnet18", "--json", *options)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["input"] == load_model(tmp_path / "model").contract == (contract or "zscore-400")
    note = "input zscore-400, the paper's, is assumed, as weights.pt does not say"
    assert (note in done.stderr and "maxabs-200" in done.stderr) is (contract is None)


def test_a_network_that_does_not_take_a_contract_says_so(safetensors, tmp_path):
    checkpoint = safetensors(random_state("mayo-alvd", 1))
    done = run_cli("import-torch", checkpoint, tmp_path / "m", "--model", "mayo-alvd", "--input", "maxabs-200")
    assert done.exit_code == 2 and "mayo-alvd pools 256 samples into one" in done.stderr


def test_half_precision_is_widened(safetensors, tmp_path):
    state = {key: value.astype(np.float16) for key, value in random_state("mayo-alvd", 1).items()}
    assert run_cli("import-torch", safetensors(state), tmp_path / "model", "--model", "mayo-alvd").exit_code == 0
    kernel = load_model(tmp_path / "model").network.get_layer("fc1").kernel
    np.testing.assert_array_equal(np.asarray(kernel), state["fc1.weight"].T.astype(np.float32))


def test_each_parameter_that_does_not_fit_is_listed(safetensors, tmp_path):
    state = random_state("mayo-alvd", 2)
    first, second, third, *_ = state
    state["extra.weight"] = state.pop(first)
    state[second] = np.zeros((3, 3), np.float32)
    state[third] = np.full_like(state[third], np.nan)
    done = run_cli("import-torch", safetensors(state), tmp_path / "model", "--model", "mayo-alvd")
    assert done.exit_code == 2
    for part in (f"missing: {first}", "unexpected: extra.weight", f"{second} (3, 3)", f"not finite: {third}"):
        assert part in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]


def test_numbers_of_another_kind_are_refused(safetensors, tmp_path):
    state = random_state("mayo-alvd", 1)
    state["fc1.weight"] = state["fc1.weight"].astype(np.int8)
    done = run_cli("import-torch", safetensors(state), tmp_path / "model", "--model", "mayo-alvd")
    assert done.exit_code == 2
    assert "not of floating point: fc1.weight int8" in done.stderr


def test_a_threshold_is_a_number(safetensors, tmp_path):
    checkpoint = safetensors(random_state("mayo-alvd", 1))
    for threshold in ("nan", "1.5", "x"):
        done = run_cli("import-torch", checkpoint, tmp_path / "m", "--model", "mayo-alvd", "--threshold", threshold)
        assert done.exit_code == 2
        assert not (tmp_path / "m").exists()


def test_a_checkpoint_of_another_network_is_refused(safetensors, tmp_path):
    done = run_cli(
        "import-torch",
        safetensors(random_state("temporal-resnet18", 3)),
        tmp_path / "model",
        "--model",
        "ecg-smart-net",
    )
    assert done.exit_code == 2
    assert "missing: bn2.bias, bn2.running_mean, bn2.running_var, bn2.weight, conv2.weight" in done.stderr


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"PK\x03\x04 not really", b"just text\n"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_damaged_file_is_refused(content, suffix, tmp_path):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    done = run_cli("import-torch", path, tmp_path / "model", "--model", "mayo-alvd")
    assert done.exit_code == 2
    assert str(path) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_a_file_that_is_not_there(tmp_path):
    done = run_cli("import-torch", tmp_path / "no.pt", tmp_path / "model", "--model", "mayo-alvd")
    assert done.exit_code == 2
    assert "no.pt not found" in done.stderr


def test_an_imported_network_is_calibrated_and_judged_on_other_patients(safetensors, easy_dataset, tmp_path):
    """What it was trained on is not known: some patients of the dataset calibrate, others are judged."""
    model = tmp_path / "model"
    assert (
        run_cli("import-torch", safetensors(random_state("mayo-alvd", 1)), model, "--model", "mayo-alvd").exit_code == 0
    )
    dataset = load_dataset(easy_dataset)
    rows = gate_rows(load_model(model), dataset, seed=0)
    patients = {part: set(dataset.ecgs["patient_id"].iloc[found]) for part, found in rows.items()}
    assert not patients["training"] & (patients["validation"] | patients["test"])
    assert sum(len(found) for found in rows.values()) == len(dataset.ecgs)
