"""ResNet-18 in two forms: temporal (1×k kernels, within each lead) and on the ECG as an image (k×k kernels).

Paper section II.A and Figure 3 B, C. The temporal form is also the first part of ECG-SMART-NET (Table 1).
"""

from __future__ import annotations

from typing import Any

import keras

from omi_keras.models.layers import average_pool, conv_bn, logits, max_pool, relu, torch_uniform, torchvision_normal

# Table 1: output channels and first stride of residual blocks 1 to 4.
RESIDUAL_BLOCKS = ((64, 1), (128, 2), (256, 2), (512, 2))


def temporal_resnet18(samples: int = 400) -> keras.Model:
    """ResNet-18 with 1×k kernels, 3,844,930 trainable parameters.

    Input (batch, 12, samples, 1): median beats by the model's input contract, leads × time.
    Output (batch, 2): logits of no OMI and OMI; P(OMI) = softmax[1].
    Initial weights are PyTorch's defaults (uniform ±1/√fan_in), batch normalisation at one and zero.
    """
    beat = keras.Input((12, samples, 1), name="beat")
    x = residual_blocks(beat, temporal=True)
    return keras.Model(beat, logits(average_pool(x), "fc"), name="temporal_resnet18")


def resnet18(samples: int = 400) -> keras.Model:
    """torchvision's ResNet-18 with one input channel and two classes, 11,171,266 trainable parameters.

    Input and output as :func:`temporal_resnet18`. The paper starts it from ImageNet weights with a new stem and
    read-out (:func:`omi_keras.models.weights.imagenet.start_from_imagenet`). Without them the residual blocks start as
    torchvision's (normal, √(2/fan_out)); stem and read-out, which are ours, have PyTorch's defaults.
    """
    beat = keras.Input((12, samples, 1), name="beat")
    x = residual_blocks(beat, temporal=False)
    return keras.Model(beat, logits(average_pool(x), "fc"), name="resnet18")


def residual_blocks(beat: Any, *, temporal: bool) -> Any:
    """Table 1 from the input to residual block 4.

    (batch, 12, 400, 1) → (batch, 12, 13, 512) in the temporal form, (batch, 1, 13, 512) as an image.
    """
    x = conv_bn(beat, 64, **_window(7, 2, temporal), conv="conv1", bn="bn1")
    x = relu(x, "relu1")
    x = max_pool(x, **_window(3, 2, temporal), name="maxpool")
    for number, (filters, first_stride) in enumerate(RESIDUAL_BLOCKS, start=1):
        x = _half_block(x, filters, first_stride, f"layer{number}_0", temporal)
        x = _half_block(x, filters, 1, f"layer{number}_1", temporal)
    return x


def _half_block(x: Any, filters: int, stride: int, name: str, temporal: bool) -> Any:
    """The upper or the lower half of Table 2: two convolutions and a shortcut around them."""
    start = torch_uniform if temporal else torchvision_normal
    shortcut = x
    if stride != 1 or x.shape[-1] != filters:
        # Of the same function, but each form has its PyTorch original's name for it.
        path, window = f"{name}_shortcut" if temporal else f"{name}_downsample", _window(1, stride, temporal)
        shortcut = conv_bn(x, filters, **window, conv=f"{path}_0", bn=f"{path}_1", initializer=start())
    window = _window(3, stride, temporal)
    x = conv_bn(x, filters, **window, conv=f"{name}_conv1", bn=f"{name}_bn1", initializer=start())
    x = relu(x, f"{name}_relu1")
    window = _window(3, 1, temporal)
    x = conv_bn(x, filters, **window, conv=f"{name}_conv2", bn=f"{name}_bn2", initializer=start())
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return relu(x, f"{name}_relu2")


def _window(size: int, stride: int, temporal: bool) -> dict[str, Any]:
    """A kernel, its stride and the padding that centres it: along time only, or along leads and time."""
    if temporal:
        return {"kernel": (1, size), "stride": (1, stride), "padding": (0, size // 2)}
    return {"kernel": (size, size), "stride": (stride, stride), "padding": (size // 2, size // 2)}
