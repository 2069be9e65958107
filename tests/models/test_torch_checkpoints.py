"""Files that PyTorch wrote: state dicts in every wrapping, and what is none."""

import numpy as np
import pytest
from helpers import run_cli, torch_original

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

from omi_keras.model import load_model  # noqa: E402


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
    network = torch_original("mayo-alvd")
    torch.save(wrap(network.state_dict()), tmp_path / "weights.pt")
    done = run_cli("import-torch", tmp_path / "weights.pt", tmp_path / "model", "--model", "mayo-alvd")
    assert done.exit_code == 0, done.output
    kernel = load_model(tmp_path / "model").network.get_layer("fc1").kernel
    np.testing.assert_allclose(np.asarray(kernel).T, network.fc1.weight.detach().numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("script", [False, True], ids=["pickled", "TorchScript"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_whole_module_is_refused_with_the_two_lines_that_help(script, tmp_path):
    path = tmp_path / "whole.pt"
    network = torch_original("mayo-alvd")
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
