"""Parameters named and laid out as PyTorch has them → the weights of a Keras model."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from omi_keras.recordings.errors import InputError

# PyTorch's parameter of a module → Keras' variable of the layer of the same name.
_BATCH_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_KERNEL = {"weight": "kernel", "bias": "bias"}


def load_torch_parameters(model: keras.Model, parameters: Mapping[str, np.ndarray]) -> None:
    """Put a PyTorch state dict into ``model``, in place, all of it or nothing.

    Parameters
    ----------
    model
        A network of this package.
    parameters
        ``{"layer1.0.conv1.weight": array, ...}``; convolution (out, in, leads, time), linear (out, in).
        ``num_batches_tracked`` is ignored.

    Raises
    ------
    InputError
        When parameters are missing, unexpected or of another shape; all of them are listed.
    """
    targets = torch_names(model)
    given = {name: np.asarray(value) for name, value in parameters.items() if not name.endswith("num_batches_tracked")}
    wrong = {
        "missing": [name for name in targets if name not in given],
        "unexpected": [name for name in given if name not in targets],
        "of another shape": [],
        "not of floating point": [],
        "not finite": [],
    }
    values = {}
    for name in targets.keys() & given.keys():
        expected = _torch_shape(targets[name])
        # The kind of bfloat16, which NumPy knows from another package, is V.
        if given[name].dtype.kind not in "fV":
            wrong["not of floating point"].append(f"{name} {given[name].dtype}")
            continue
        values[name] = _to_keras(given[name])
        if given[name].shape != expected:
            wrong["of another shape"].append(f"{name} {given[name].shape} instead of {expected}")
        elif not np.isfinite(values[name]).all():
            wrong["not finite"].append(name)
    if any(wrong.values()):
        listed = "; ".join(f"{what}: {', '.join(sorted(names))}" for what, names in wrong.items() if names)
        raise InputError(f"parameters do not fit {model.name}: {listed}", "wrong_parameters")
    for name, variable in targets.items():
        variable.assign(values[name])


def torch_names(model: keras.Model) -> dict[str, keras.Variable]:
    """{PyTorch parameter name: Keras variable} for every weight of the model."""
    targets = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        names = _BATCH_NORM if isinstance(layer, keras.layers.BatchNormalization) else _KERNEL
        module = _torch_module(layer.name)
        by_name = {variable.name: variable for variable in layer.weights}
        for torch_name, keras_name in names.items():
            if keras_name in by_name:
                targets[f"{module}.{torch_name}"] = by_name[keras_name]
    return targets


def _torch_module(layer_name: str) -> str:
    """``layer2_0_shortcut_1`` → ``layer2.0.shortcut.1``, ``temporal1_conv`` as it is.

    Only the residual layers are modules inside modules.
    """
    return layer_name.replace("_", ".") if layer_name.startswith("layer") else layer_name


def _to_keras(value: np.ndarray) -> np.ndarray:
    """Convolution (out, in, leads, time) → (leads, time, in, out), linear (out, in) → (in, out), float32."""
    if value.ndim == 4:
        value = value.transpose(2, 3, 1, 0)
    elif value.ndim == 2:
        value = value.T
    return value.astype(np.float32)


def to_torch(value: np.ndarray) -> np.ndarray:
    """The way back: (leads, time, in, out) → (out, in, leads, time), (in, out) → (out, in)."""
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T


def _torch_shape(variable: keras.Variable) -> tuple[int, ...]:
    shape = tuple(variable.shape)
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]
