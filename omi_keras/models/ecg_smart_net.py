"""ECG-SMART-NET: temporal residual blocks within each lead, then one convolution across the leads.

Paper section II.A, Tables 1 and 2. Layer names are PyTorch's module names with ``.`` written ``_``
(``layer2_0_conv1`` is ``layer2.0.conv1``), so :mod:`omi_keras.models.torch_weights` needs no table.
"""

from __future__ import annotations

from typing import Any

import keras

from omi_keras.models.layers import conv_bn, logits, relu

# Table 1: output channels and first stride in time of residual blocks 1 to 4.
RESIDUAL_BLOCKS = ((64, 1), (128, 2), (256, 2), (512, 2))


def ecg_smart_net() -> keras.Model:
    """ECG-SMART-NET, 6,991,682 trainable parameters.

    Input (batch, 12, 400, 1): z-scored median beats, leads × time, 500 Hz.
    Output (batch, 2): logits of no OMI and OMI; P(OMI) = softmax[1].
    Initial weights are PyTorch's defaults (uniform ±1/√fan_in), batch normalisation at one and zero.
    """
    beat = keras.Input((12, 400, 1), name="beat")
    x = temporal_stem(beat)
    for number, (filters, stride) in enumerate(RESIDUAL_BLOCKS, start=1):
        x = temporal_block(x, filters, stride, f"layer{number}_0")
        x = temporal_block(x, filters, 1, f"layer{number}_1")
    x = conv_bn(x, 512, (12, 1), conv="conv2", bn="bn2")
    x = relu(x, "relu2")
    x = keras.layers.GlobalAveragePooling2D(data_format="channels_last", name="avgpool")(x)
    return keras.Model(beat, logits(x, 2, "fc"), name="ecg_smart_net")


def temporal_stem(x: Any) -> Any:
    """Table 1, rows 2 and 3: convolution 1×7 and max-pooling 1×3, both with stride 2 in time."""
    x = conv_bn(x, 64, (1, 7), conv="conv1", bn="bn1", stride=(1, 2), padding=(0, 3))
    x = relu(x, "relu1")
    # Padding with zeros equals PyTorch's padding with −∞ here, because a ReLU leaves nothing below zero.
    x = keras.layers.ZeroPadding2D((0, 1), data_format="channels_last", name="maxpool_pad")(x)
    return keras.layers.MaxPooling2D((1, 3), (1, 2), data_format="channels_last", name="maxpool")(x)


def temporal_block(x: Any, filters: int, stride: int, name: str) -> Any:
    """Half a row of Table 2: two 1×3 convolutions within each lead and a shortcut around them."""
    shortcut = x
    if stride != 1 or x.shape[-1] != filters:
        shortcut = conv_bn(x, filters, (1, 1), conv=f"{name}_shortcut_0", bn=f"{name}_shortcut_1", stride=(1, stride))
    x = conv_bn(x, filters, (1, 3), conv=f"{name}_conv1", bn=f"{name}_bn1", stride=(1, stride), padding=(0, 1))
    x = relu(x, f"{name}_relu1")
    x = conv_bn(x, filters, (1, 3), conv=f"{name}_conv2", bn=f"{name}_bn2", padding=(0, 1))
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return relu(x, f"{name}_relu2")
