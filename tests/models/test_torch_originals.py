"""Side by side with PyTorch: fresh weights and beats, not those of any stored reference."""

import numpy as np
import pytest
from helpers import run_cli

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

import keras  # noqa: E402
import torch_originals  # noqa: E402

from omi_keras.model import load_model  # noqa: E402
from omi_keras.models.catalogue import NETWORKS, build  # noqa: E402
from omi_keras.models.weights.torch_weights import load_torch_parameters  # noqa: E402
from omi_keras.training.optimizer import TorchAdam  # noqa: E402


@pytest.fixture
def x():
    """Smooth beats of 6 ECGs, (6, 12, 400)."""
    rng = np.random.default_rng(11)
    x = np.cumsum(rng.standard_normal((6, 12, 400)), axis=2)
    return ((x - x.mean(2, keepdims=True)) / x.std(2, keepdims=True)).astype(np.float32)


def original(name, seed=0):
    """A PyTorch network whose batch normalisation has seen data."""
    torch.manual_seed(seed)
    network = torch_originals.build(name)
    for module in network.modules():
        if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d)):
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.bias, 0, 0.2)
            torch.nn.init.normal_(module.running_mean, 0, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_an_imported_network_is_the_same_function(name, x, tmp_path):
    network = original(name)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    done = run_cli("import-torch", tmp_path / "weights.pt", tmp_path / "model", "--model", name)
    assert done.exit_code == 0, done.output
    with torch.no_grad():
        expected = network.double()(torch.from_numpy(x[:, None]).double()).numpy()
    found = load_model(tmp_path / "model").network.predict(x[..., None], verbose=0)
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_training_takes_the_same_steps(name, x):
    network = original(name).train()
    model = build(name)
    load_torch_parameters(model, {key: value.numpy() for key, value in network.state_dict().items()})
    model.compile(TorchAdam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    y = np.arange(len(x)) % 2
    expected = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(torch.from_numpy(x[:, None])), torch.from_numpy(y))
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    found = [float(model.train_on_batch(x[..., None], y)) for _ in range(3)]
    # Adam's first steps follow the sign of gradients, also of those that are rounding errors.
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected[0])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {}},
        lambda state: {"module." + name: value for name, value in state.items()},
        lambda state: {"model." + name: value for name, value in state.items()},
        lambda state: {"state_dict": {"model.module." + name: value for name, value in state.items()}},
        lambda state: {"model_state_dict": {"_orig_mod." + name: value for name, value in state.items()}},
        lambda state: {name: value.half() for name, value in state.items()},
    ],
    ids=["state_dict", "model", "module.", "model.", "lightning", "compiled", "half"],
)
def test_wrapped_state_dicts(wrap, tmp_path):
    network = original("mayo-alvd")
    torch.save(wrap(network.state_dict()), tmp_path / "weights.pt")
    done = run_cli("import-torch", tmp_path / "weights.pt", tmp_path / "model", "--model", "mayo-alvd")
    assert done.exit_code == 0, done.output
    kernel = load_model(tmp_path / "model").network.get_layer("fc1").kernel
    np.testing.assert_allclose(np.asarray(kernel).T, network.fc1.weight.detach().numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("script", [False, True], ids=["pickled", "TorchScript"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_whole_module_is_refused_with_the_two_lines_that_help(script, tmp_path):
    path = tmp_path / "whole.pt"
    network = original("mayo-alvd")
    if script:
        torch.jit.trace(network, torch.zeros(1, 1, 12, 400)).save(path)
    else:
        torch.save(network, path)
    done = run_cli("import-torch", path, tmp_path / "model", "--model", "mayo-alvd")
    assert done.exit_code == 2
    load = "torch.jit.load('whole.pt')" if script else "torch.load('whole.pt', weights_only=False)"
    assert f"  model = {load}\n  torch.save(model.state_dict()" in done.stderr
    assert not (tmp_path / "model").exists()


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return print, ("executed",)

    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pt")
    done = run_cli("import-torch", tmp_path / "bomb.pt", tmp_path / "model", "--model", "mayo-alvd")
    assert done.exit_code == 2
    assert "executed" not in done.output


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"state_dict": [1]}, {"state_dict": {}}])
def test_what_holds_no_state_dict_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "other.pt")
    done = run_cli("import-torch", tmp_path / "other.pt", tmp_path / "model", "--model", "mayo-alvd")
    assert done.exit_code == 2
    assert "other.pt" in done.stderr
