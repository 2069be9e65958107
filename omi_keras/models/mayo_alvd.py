"""The Mayo Clinic's network for asymptomatic left ventricular dysfunction (ALVD), as the paper compares it.

Attia et al. 2019, "Screening for cardiac contractile dysfunction using an artificial intelligence-enabled
electrocardiogram", Nature Medicine 25 (the paper's reference [25]); paper section II.A and Figure 3 D.
"""

from __future__ import annotations

from typing import Any

import keras

from omi_keras.models.layers import BATCH_NORM, conv_bn, dense, logits, max_pool, relu

# Filters, kernel and pooling in time of temporal blocks 1 to 6.
TEMPORAL_BLOCKS = ((16, 5, 2), (16, 5, 2), (32, 5, 4), (32, 3, 2), (64, 3, 2), (64, 3, 4))


def mayo_alvd(samples: int = 400) -> keras.Model:
    """Six temporal blocks, one convolution across the leads, three linear layers; 135,378 trainable parameters.

    Input (batch, 12, samples, 1): median beats by the model's input contract, leads × time.
    Output (batch, 2): logits of no OMI and OMI; P(OMI) = softmax[1].
    Initial weights are PyTorch's defaults (uniform ±1/√fan_in), batch normalisation at one and zero.
    """
    beat = keras.Input((12, samples, 1), name="beat")
    x = beat
    for number, (filters, size, pool) in enumerate(TEMPORAL_BLOCKS, start=1):
        name = f"temporal{number}"
        x = _conv_block(x, filters, (1, size), name, padding=(0, size // 2))
        x = max_pool(x, (1, pool), (1, pool), name=f"{name}_pool")
    x = _conv_block(x, 128, (12, 1), "spatial")
    x = keras.layers.Flatten(name="flatten")(x)
    x = _dense_block(x, 64, "1")
    x = _dense_block(x, 32, "2")
    return keras.Model(beat, logits(x, "out"), name="mayo_alvd")


def _conv_block(x: Any, filters: int, kernel: tuple[int, int], name: str, padding: tuple[int, int] = (0, 0)) -> Any:
    x = conv_bn(x, filters, kernel, conv=f"{name}_conv", bn=f"{name}_bn", padding=padding, bias=True)
    return relu(x, f"{name}_relu")


def _dense_block(x: Any, units: int, number: str) -> Any:
    x = dense(x, units, f"fc{number}")
    x = keras.layers.BatchNormalization(**BATCH_NORM, name=f"fc{number}_bn")(x)
    return relu(x, f"fc{number}_relu")
