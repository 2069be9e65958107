"""ImageNet weights for the residual blocks of ResNet-18 (paper section II.A).

The first convolution (three colour channels) and the read-out (1000 classes) are not taken over: as in the paper, a new
stem for one channel and a new read-out for two classes keep their random weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omi_keras.models.weights.torch_checkpoint import read_checkpoint
from omi_keras.recordings.errors import InputError

if TYPE_CHECKING:
    import keras

REPLACED = ("conv1.weight", "fc.weight", "fc.bias")
WHERE = (
    "get torchvision's resnet18 state dict, on a machine with torchvision: torch.save(torchvision.models.resnet18("
    "weights='IMAGENET1K_V1').state_dict(), 'resnet18.pt'), or give the folder of KerasHub's preset resnet_18_imagenet"
)
_PRESET_WEIGHTS = "model.weights.h5"


def weights_file(path: Path) -> Path:
    """The file that ``--imagenet-weights PATH`` means: the state dict, or the weights in a preset's folder.

    Raises
    ------
    InputError
        When it is not there, with where to get it.
    """
    file = path / _PRESET_WEIGHTS if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{file} not found; {WHERE}", "not_found")
    return file


def read_imagenet_weights(path: Path) -> dict[str, np.ndarray]:
    """Parameters of torchvision's ResNet-18 by name, less those that are replaced.

    Parameters
    ----------
    path
        torchvision's state dict (``.pt``, ``.pth``, ``.safetensors``), or the folder of KerasHub's preset
        ``resnet_18_imagenet``. Nothing is downloaded.

    Raises
    ------
    InputError
        When the file is missing or not what it should be.
    """
    file = weights_file(path)
    parameters = _keras_hub(file) if path.is_dir() else read_checkpoint(file)
    return {name: value for name, value in parameters.items() if name not in REPLACED}


def start_from_imagenet(model: keras.Model, parameters: Mapping[str, np.ndarray]) -> None:
    """Put :func:`read_imagenet_weights`' parameters into a new ResNet-18; stem and read-out keep theirs.

    Raises
    ------
    InputError
        When the parameters are not those of a ResNet-18; all that do not fit are listed.
    """
    from omi_keras.models.weights.torch_weights import load_torch_parameters, to_torch, torch_names

    own = {name: to_torch(np.asarray(torch_names(model)[name])) for name in REPLACED}
    load_torch_parameters(model, {**parameters, **own})


def _keras_hub(file: Path) -> dict[str, np.ndarray]:
    """KerasHub's names (``stack1_block0_0_conv``) → torchvision's (``layer2.0.downsample.0``)."""
    import keras_hub

    from omi_keras.models.weights.torch_weights import to_torch

    # Built here from numbers and not from the preset's config.json, which can name any class.
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[2, 2, 2, 2],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
    )
    try:
        backbone.load_weights(file)
    except Exception as error:  # Keras raises whatever its HDF5 reader raises
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{file} does not hold KerasHub's resnet_18_imagenet: {first}", "unreadable") from None
    parameters = {}
    kinds = {"kernel": "weight", "gamma": "weight", "beta": "bias"}
    kinds |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    for layer in backbone.layers:
        for variable in layer.weights:
            parameters[f"{_torchvision_module(layer.name)}.{kinds[variable.name]}"] = to_torch(np.asarray(variable))
    return parameters


def _torchvision_module(layer: str) -> str:
    block = re.fullmatch(r"stack(\d)_block(\d)_(\d)_(conv|bn)", layer)
    if block is None:
        return {"conv1_conv": "conv1", "conv1_bn": "bn1"}[layer]
    stack, half, place, kind = block.groups()
    where = f"layer{int(stack) + 1}.{half}"
    return f"{where}.downsample.{0 if kind == 'conv' else 1}" if place == "0" else f"{where}.{kind}{place}"
