"""ECG-SMART-NET: temporal residual blocks within each lead, then one convolution across the leads.

Paper section II.A, Tables 1 and 2, Figure 3 A.
"""

from __future__ import annotations

import keras

from omi_keras.models.layers import average_pool, conv_bn, logits, relu
from omi_keras.models.resnet18 import residual_blocks


def ecg_smart_net(samples: int = 400) -> keras.Model:
    """ECG-SMART-NET, 6,991,682 trainable parameters.

    Input (batch, 12, samples, 1): median beats by the model's input contract, leads × time.
    Output (batch, 2): logits of no OMI and OMI; P(OMI) = softmax[1].
    Initial weights are PyTorch's defaults (uniform ±1/√fan_in), batch normalisation at one and zero.
    """
    beat = keras.Input((12, samples, 1), name="beat")
    x = residual_blocks(beat, temporal=True)
    x = conv_bn(x, 512, (12, 1), conv="conv2", bn="bn2")
    x = relu(x, "relu2")
    return keras.Model(beat, logits(average_pool(x), "fc"), name="ecg_smart_net")
