"""A PyTorch checkpoint file → parameters by name, without PyTorch and without running code that a file may hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omi_keras.models.weights.restricted_pickle import NoPickle
from omi_keras.models.weights.torch_file import Checkpoint, Compressed, TorchScript, open_checkpoint, read_torch_file
from omi_keras.models.weights.torch_modules import state_dict
from omi_keras.models.weights.torch_tensors import Tensor
from omi_keras.recordings.errors import InputError

# What wrappers put before the names.
_PREFIXES = ("module.", "model.", "_orig_mod.")
# ResNet-18, the largest network here, has 45 MB in float32.
MOST_BYTES, MOST_TENSORS = 160 * 2**20, 5000
_LONGEST_NAME, _MOST_TOLD, _LONGEST_TOLD = 1000, 10, 60


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Read a state dict or the parameters of a whole module: ``.safetensors``, or what ``torch.save`` wrote.

    Either may be what was saved, or lie under ``state_dict``, ``model_state_dict`` or ``model``; a ``module.``,
    ``model.`` or ``_orig_mod.`` before every name is taken off. PyTorch is not needed, and whatever else the file
    holds, classes among it, is passed over: nothing of it is imported or called.

    Returns
    -------
    ``{"layer1.0.conv1.weight": array, ...}``, PyTorch's layout; 16-bit floating point of ``torch.save`` as float32.

    Raises
    ------
    InputError
        When the file is missing, unreadable, a TorchScript program, or holds something else than named tensors.
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
    with open_checkpoint(path) as file:
        try:
            return _arrays(path, read_torch_file(file))
        except TorchScript:
            raise _program(path) from None
        except Compressed:
            raise InputError(
                f"{path} was compressed, as torch.save never does; unpack it, and give what torch.save wrote",
                "compressed",
            ) from None
        except NoPickle:
            raise _unreadable(path) from None


def _arrays(path: Path, checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    try:
        state = state_dict(checkpoint.content)
    except InputError as error:
        raise InputError(f"{path}: {error}", error.reason) from None
    if not state:
        raise InputError(f"{path} holds no state dict: no names of tensors", "no_state_dict")
    tensors = {
        name: value for name, value in state.items() if isinstance(name, str | int) and isinstance(value, Tensor)
    }
    if len(tensors) < len(state):
        other = [
            str(name)[:_LONGEST_TOLD] if isinstance(name, str | int) else "?" for name in state if name not in tensors
        ]
        more = f" and {len(other) - _MOST_TOLD} more" if len(other) > _MOST_TOLD else ""
        raise InputError(
            f"{path}: not tensors: {', '.join(other[:_MOST_TOLD])}{more}; save model.state_dict() alone",
            "no_state_dict",
        )
    storages = {tensor.storage for tensor in tensors.values()}
    needed = max(sum(tensor.nbytes for tensor in tensors.values()), sum(held.nbytes for held in storages))
    if needed > MOST_BYTES or len(tensors) > MOST_TENSORS:
        raise InputError(
            f"{path} holds more than {MOST_BYTES >> 20} MiB or {MOST_TENSORS} tensors, as no network here does; give a "
            "checkpoint of one of them",
            "too_large",
        )
    if any(len(name) > _LONGEST_NAME for name in map(str, tensors)):
        raise NoPickle("a name that no parameter has")
    content = {held: checkpoint.bytes_of(held) for held in storages}
    return {str(name): value.array(content[value.storage], checkpoint.byte_order) for name, value in tensors.items()}


def _program(path: Path) -> InputError:
    return InputError(
        f"{path} is not a state dict but a whole pickled object, which could run code when it is opened; where it was "
        "trained, turn it into a state dict:",
        "pickled_module",
        (f"model = torch.jit.load({path.name!r})", 'torch.save(model.state_dict(), "state_dict.pt")'),
    )


def _unreadable(path: Path) -> InputError:
    return InputError(
        f"{path} is not a PyTorch checkpoint, or is damaged; give what torch.save(model.state_dict(), ...) wrote",
        "unreadable",
    )
