"""Parameters named and laid out as PyTorch has them → the weights of a Keras model."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from omi_keras.signal.errors import InputError

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
        A model of this package: its layer names are PyTorch's module names with ``.`` written ``_``.
    parameters
        ``{"layer1.0.conv1.weight": array, ...}``; convolution (out, in, leads, time), linear (out, in).
        ``num_batches_tracked`` is ignored.

    Raises
    ------
    InputError
        When parameters are missing, unexpected or of another shape; all of them are listed.
    """
    targets = _targets(model)
    given = {name: np.asarray(value) for name, value in parameters.items() if not name.endswith("num_batches_tracked")}
    wrong = [f"missing {name}" for name in sorted(targets.keys() - given.keys())]
    wrong += [f"unexpected {name}" for name in sorted(given.keys() - targets.keys())]
    values = {}
    for name in targets.keys() & given.keys():
        values[name] = _to_keras(given[name])
        if values[name].shape != tuple(targets[name].shape):
            wrong.append(f"{name} has shape {given[name].shape}")
    if wrong:
        raise InputError(f"parameters do not fit {model.name}: {'; '.join(wrong)}", "wrong_parameters")
    for name, variable in targets.items():
        variable.assign(values[name])


def _targets(model: keras.Model) -> dict[str, keras.Variable]:
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
    """``layer2_0_shortcut_1`` → ``layer2.0.shortcut.1``: every underscore in a layer name stands for a dot."""
    return layer_name.replace("_", ".")


def _to_keras(value: np.ndarray) -> np.ndarray:
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    if value.ndim == 2:
        return value.T
    return value
