"""Calls that several tests make."""

import numpy as np
from click.testing import CliRunner, Result


def run_cli(*arguments: object) -> Result:
    """Call ``omi-keras`` as a user does; exceptions that the command line lets through fail the test."""
    from omi_keras.cli import main

    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def random_state(name: str, seed: int) -> dict[str, np.ndarray]:
    """A full PyTorch state dict of random values for a network, well scaled: ``{parameter: array}``."""
    from omi_keras.models.catalogue import build
    from omi_keras.models.weights.torch_weights import to_torch, torch_names

    rng = np.random.default_rng(seed)
    state = {}
    for key, variable in torch_names(build(name)).items():
        shape = to_torch(np.empty(variable.shape)).shape
        scale = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
        state[key] = (scale * rng.standard_normal(shape)).astype(np.float32)
        if key.endswith("running_var") or ("bn" in key and key.endswith("weight")):
            state[key] = np.exp(state[key])
    return state


def torch_original(name: str, seed: int = 0):
    """A PyTorch network whose batch normalisation has seen data; needs the torch extra."""
    import torch
    import torch_originals

    torch.manual_seed(seed)
    network = torch_originals.build(name)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.bias, 0, 0.2)
            torch.nn.init.normal_(module.running_mean, 0, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()
