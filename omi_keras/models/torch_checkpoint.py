"""A PyTorch checkpoint file → parameters by name, without running code that a file may hold."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from omi_keras.signal.errors import InputError

# Where training scripts put the state dict in what they save, and what wrappers put before its names.
_NESTED = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "model.", "_orig_mod.")


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Read a state dict: ``.safetensors`` (needs no PyTorch), anything else as ``torch.save`` wrote it.

    The state dict may be what was saved, or lie under ``state_dict``, ``model_state_dict`` or ``model``; a
    ``module.``, ``model.`` or ``_orig_mod.`` before every name is taken off.

    Returns
    -------
    ``{"layer1.0.conv1.weight": array, ...}``, PyTorch's layout.

    Raises
    ------
    InputError
        When the file is missing, unreadable, or holds something else than named tensors.
    ModuleNotFoundError
        When the package that reads the format is not installed.
    """
    if not path.is_file():
        what = "is a folder; name the checkpoint in it" if path.is_dir() else "not found"
        raise InputError(f"{path} {what}", "not_found")
    parameters = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    while parameters and (prefix := next((p for p in _PREFIXES if all(k.startswith(p) for k in parameters)), None)):
        parameters = {name.removeprefix(prefix): value for name, value in parameters.items()}
    return parameters


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except Exception as error:  # its reader, written in Rust, has exceptions of its own
        raise InputError(f"{path} is not a safetensors file: {error}", "unreadable") from None


def _torch(path: Path) -> dict[str, np.ndarray]:
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "persistent" in str(error):
            raise _whole_module(path, f"torch.load({path.name!r}, weights_only=False)") from None
        raise _unreadable(path) from None
    except Exception as error:  # zip, tar and pickle readers, each in its own way
        if "TorchScript" in str(error):
            raise _whole_module(path, f"torch.jit.load({path.name!r})") from None
        raise _unreadable(path) from None
    state = _state_dict(content)
    if state is None:
        raise InputError(f"{path} holds no state dict: no names of tensors", "no_state_dict")
    other = [str(name) for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if other:
        raise InputError(f"{path}: not tensors: {', '.join(other)}; save model.state_dict() alone", "no_state_dict")
    half = (torch.bfloat16, torch.float16)  # NumPy has no bfloat16
    return {
        str(name): (value.float() if value.dtype in half else value).detach().numpy() for name, value in state.items()
    }


def _state_dict(content: Any) -> Mapping[Any, Any] | None:
    while isinstance(content, Mapping):
        inner = next((content[name] for name in _NESTED if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            return content
        content = inner
    return None


def _whole_module(path: Path, load: str) -> InputError:
    return InputError(
        f"{path} is not a state dict but a whole pickled object, which could run code when it is opened; where it was "
        "trained, turn it into a state dict:",
        "pickled_module",
        (f"model = {load}", 'torch.save(model.state_dict(), "state_dict.pt")'),
    )


def _unreadable(path: Path) -> InputError:
    return InputError(
        f"{path} is not a PyTorch checkpoint, or is damaged; give what torch.save(model.state_dict(), ...) wrote",
        "unreadable",
    )
