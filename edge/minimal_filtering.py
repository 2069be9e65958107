"""The same network with fewer multiplications: minimal filtering F(2, 3) of its 1×3 convolutions of stride one.

Two neighbouring outputs of a kernel of three need four products instead of six (Winograd 1980, Arithmetic Complexity
of Computations; Lavin and Gray 2016, section 4.1). Written with operators that XNNPACK computes, batch normalisation
and bias folded into the products. The sums are those of the convolution to the rounding of float32, so this is for
float32 models; the file grows by a third of the kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

# In the first stage the kernels are so small that the additions around them take what the products save.
STAGES = ("layer2_", "layer3_", "layer4_")


def minimal_filtering(network: keras.Model) -> keras.Model:
    """The same function of the same weights, to run only; a network without such convolutions stays as it is."""
    import keras

    layers = {layer.name: layer for layer in network.layers}
    chosen = {name for name, layer in layers.items() if _is_ours(layer)}
    if not chosen:
        return network

    filtering, same = _layers()

    def faster(layer: keras.Layer) -> keras.Layer:
        if layer.name in chosen:
            norm = layers[layer.name.replace("conv", "bn")]
            return filtering(layer, norm, relu=layer.name.endswith("conv1"))
        # What was folded into a convolution of ours is not done again.
        folded = layer.name.replace("relu1", "conv1").replace("bn", "conv")
        if folded in chosen and layer.name.endswith(("bn1", "bn2", "relu1")):
            return same(name=layer.name)
        return layer

    beat = keras.Input(network.input_shape[1:], batch_size=1)
    return keras.models.clone_model(network, input_tensors=beat, clone_function=faster)


def _is_ours(layer: Any) -> bool:
    import keras

    # An ensemble's layers have the name of their member in front.
    is_conv = isinstance(layer, keras.layers.Conv2D) and any(stage in layer.name for stage in STAGES)
    return is_conv and layer.kernel_size == (1, 3) and layer.strides == (1, 1)


def _layers() -> tuple[Any, Any]:
    import keras
    from keras import ops

    class MinimalFiltering(keras.layers.Layer):
        """Convolution, batch normalisation and perhaps ReLU of (1, rows, padded time, channels)."""

        def __init__(self, conv: keras.layers.Conv2D, norm: keras.layers.BatchNormalization, relu: bool) -> None:
            super().__init__(name=conv.name)
            gamma, beta, mean, variance = (np.asarray(weight, np.float64) for weight in norm.get_weights())
            scale = gamma / np.sqrt(variance + norm.epsilon)
            first, middle, last = np.asarray(conv.kernel, np.float64)[0] * scale
            products = first, (first + middle + last) / 2, (first - middle + last) / 2, last
            self.kernels = [product.astype(np.float32)[None, None] for product in products]
            self.bias = (beta - mean * scale).astype(np.float32)
            self.relu = relu

        def call(self, x: Any) -> Any:
            _, rows, width, channels = x.shape
            length = width - 2
            pairs = -(-length // 2)
            if 2 * (pairs + 1) != width:
                x = ops.pad(x, ((0, 0), (0, 0), (0, 2 * (pairs + 1) - width), (0, 0)))
            x = ops.reshape(x, (1, rows, pairs + 1, 2 * channels))
            even, odd = x[..., :channels], x[..., channels:]
            data = (
                even[:, :, :-1] - even[:, :, 1:],
                odd[:, :, :-1] + even[:, :, 1:],
                even[:, :, 1:] - odd[:, :, :-1],
                odd[:, :, :-1] - odd[:, :, 1:],
            )
            a, b, c, d = (
                ops.conv(part, ops.convert_to_tensor(kernel), 1, "valid", data_format="channels_last")
                for part, kernel in zip(data, self.kernels, strict=True)
            )
            # The biases become those of the first and the last product.
            outputs = [(a + self.bias) + b + c, b - c - (d - self.bias)]
            if self.relu:
                outputs = [ops.relu(output) for output in outputs]
            y = ops.reshape(ops.concatenate(outputs, axis=-1), (1, rows, 2 * pairs, self.bias.size))
            return y[:, :, :length]

    class Same(keras.layers.Layer):
        """Hands on what it gets; batch normalisation is called with the two other arguments."""

        def call(self, x: Any, training: bool | None = None, mask: Any = None) -> Any:
            return x

    return MinimalFiltering, Same
