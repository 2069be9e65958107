"""The same networks as TensorFlow trains them fastest without XLA.

Padding that stands before a convolution copies every activation, and its gradient copies it again. Where "same" pads
what the layer before it padded (odd kernels of stride one, never stride two: there "same" is another function) the
convolution pads by itself. Batch normalisation and the convolution across the leads are given to operators that read
and write the activations fewer times.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from omi_keras.models.fast.short_images import short_conv

# From this many filters on, oneDNN takes longer over a kernel's gradient than over the same products as matrices.
MANY_FILTERS = 256


def training_form(model: keras.Model) -> keras.Model:
    """The same function of the same weights."""
    padded = {
        layer.name: model.get_layer(f"{layer.name}_pad")
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D) and _pads_itself(model, layer)
    }
    without = {pad.name for pad in padded.values()}

    def form(layer: keras.Layer) -> keras.Layer:
        if layer.name in without:
            return keras.layers.Identity(name=layer.name)
        if layer.name in padded:
            return _SamePadded(layer)
        if _normalises_images(layer):
            return _FusedNorm(layer)
        if _spans_all_rows(layer):
            return _RowsAsChannels(layer)
        return short_conv(layer)

    return keras.models.clone_model(model, clone_function=form)


def _pads_itself(model: keras.Model, conv: keras.layers.Conv2D) -> bool:
    rows, width = conv.kernel_size
    if conv.strides != (1, 1) or rows != 1 or width % 2 == 0:
        return False
    pads = [layer for layer in model.layers if layer.name == f"{conv.name}_pad"]
    return bool(pads) and pads[0].padding == ((0, 0), (width // 2, width // 2))


def _normalises_images(layer: keras.Layer) -> bool:
    if not isinstance(layer, keras.layers.BatchNormalization) or len(layer.input.shape) != 4:
        return False
    return layer.axis in (-1, 3) and layer.scale and layer.center and not layer.renorm


def _spans_all_rows(layer: keras.Layer) -> bool:
    if not isinstance(layer, keras.layers.Conv2D) or layer.strides != (1, 1):
        return False
    return layer.padding == "valid" and layer.kernel_size == (layer.input.shape[1], 1)


class _SamePadded(keras.layers.Layer):
    """A convolution of stride one whose zeros are its own."""

    def __init__(self, conv: keras.layers.Conv2D) -> None:
        super().__init__(name=conv.name, dtype=conv.dtype_policy)
        self.conv = conv

    def call(self, x: Any) -> Any:
        kernel = ops.cast(self.conv.kernel, self.compute_dtype)
        many = self.conv.filters >= MANY_FILTERS
        y = _conv_of_many_filters(x, kernel) if many else ops.conv(x, kernel, 1, "same", data_format="channels_last")
        return y if self.conv.bias is None else y + ops.cast(self.conv.bias, self.compute_dtype)


def _conv_of_many_filters(x: Any, kernel: Any) -> Any:
    """A 1×k convolution of stride one padded "same", with a gradient of its own for the kernel."""
    import tensorflow as tf

    @tf.custom_gradient
    def conv(x: Any, kernel: Any) -> Any:
        def gradient(upstream: Any) -> tuple[Any, Any]:
            to_x = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(x), filter=kernel, out_backprop=upstream, strides=[1] * 4, padding="SAME"
            )
            return to_x, _kernel_gradient(x, upstream, kernel.shape[1])

        return tf.nn.conv2d(x, kernel, 1, "SAME"), gradient

    return conv(x, kernel)


def _kernel_gradient(x: Any, upstream: Any, width: int) -> Any:
    """(1, width, channels, filters): for every place in the kernel, what it read by what its sums were worth."""
    import tensorflow as tf

    def samples(images: Any, first: int, last: int) -> Any:
        return tf.reshape(images[:, :, first:last], (-1, images.shape[-1]))

    time, products = x.shape[2], []
    for place in range(width):
        shift = place - width // 2
        # Of what stands shifted, only the samples that do not meet padding.
        read = samples(x, max(shift, 0), time + min(shift, 0))
        worth = samples(upstream, max(-shift, 0), time + min(-shift, 0))
        products.append(tf.matmul(read, worth, transpose_a=True))
    return tf.stack(products)[None]


class _FusedNorm(keras.layers.Layer):
    """Batch normalisation of images (batch, rows, time, channels) by TensorFlow's own operator and its own gradient.

    Keras writes it as a dozen operations, each of which reads and writes the activations, and so does their gradient.
    """

    def __init__(self, norm: keras.layers.BatchNormalization) -> None:
        super().__init__(name=norm.name, dtype=norm.dtype_policy)
        self.norm = norm

    def call(self, x: Any, training: bool = False, mask: Any = None) -> Any:
        import tensorflow as tf

        norm = self.norm
        if mask is not None or not (training and norm.trainable):
            return norm(x, training=training, mask=mask)
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=norm.gamma, offset=norm.beta, mean=[], variance=[], epsilon=norm.epsilon, is_training=True
        )
        # The operator's variance is the unbiased one, as PyTorch's running average takes it; Keras takes the biased.
        count = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), variance.dtype)
        variance = variance * (count - 1) / count
        for average, now in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
            average.assign(average * norm.momentum + now * (1.0 - norm.momentum))
        return y


class _RowsAsChannels(keras.layers.Layer):
    """A convolution whose kernel spans all rows of (batch, rows, time, channels) and one sample: a matrix product."""

    def __init__(self, conv: keras.layers.Conv2D) -> None:
        super().__init__(name=conv.name, dtype=conv.dtype_policy)
        self.conv = conv

    def call(self, x: Any) -> Any:
        _, rows, time, channels = x.shape
        filters = self.conv.filters
        kernel = ops.reshape(ops.cast(self.conv.kernel, self.compute_dtype), (rows * channels, filters))
        x = ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, rows * channels))
        y = ops.reshape(ops.matmul(x, kernel), (-1, 1, time, filters))
        return y if self.conv.bias is None else y + ops.cast(self.conv.bias, self.compute_dtype)
