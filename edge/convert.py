"""Keras model → TFLite file, in float or with 8-bit integers. The only file of this package that needs TensorFlow."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import keras

Quantization = Literal["float32", "float16", "dynamic", "int8"]
QUANTIZATIONS: tuple[Quantization, ...] = ("float32", "float16", "dynamic", "int8")

# Layers that int8 leaves in float. The stem and the first residual stage see the beat's full range, where one
# step of 8 bits is a tenth of a standard deviation, and the read-out decides on differences of its inputs.
# Measured on a trained ECG-SMART-NET: the error of the logit falls by half, the file grows by 2 %.
FLOAT_LAYERS = ("conv1", "relu1", "maxpool", "layer1", "fc")

# A converter that loses the weights writes 70 KB and says nothing; int8 needs at least a byte per parameter.
BYTES_PER_PARAMETER = {"float32": 4.0, "float16": 2.0, "dynamic": 1.0, "int8": 1.0}


def convert(model: keras.Model, quantization: Quantization, calibration: np.ndarray) -> bytes:
    """Convert a network to a TFLite model with built-in operators only.

    Parameters
    ----------
    model
        Input (batch, 12, 400, 1) float32, output (batch, 2) logits.
    quantization
        ``float32``; ``float16`` weights; ``dynamic``: 8-bit weights; ``int8``: 8-bit weights and activations,
        but for :data:`FLOAT_LAYERS`. Input and output are float32 in all of them.
    calibration
        (n, 12, 400, 1) model inputs, from training ECGs, whose ranges int8 takes as its own.

    Raises
    ------
    RuntimeError
        When the converter made a file without the weights or with operators that a plain LiteRT lacks.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as scratch, _quiet():
        model.export(scratch, verbose=False, input_signature=[tf.TensorSpec((1, 12, 400, 1), tf.float32, "beat")])
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch)
        if quantization == "int8":
            content = _int8(tf, converter, calibration)
        else:
            if quantization != "float32":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if quantization == "float16":
                converter.target_spec.supported_types = [tf.float16]
            content = converter.convert()
    _check(tf, content, model, quantization)
    return content


def _int8(tf: Any, converter: Any, calibration: np.ndarray) -> bytes:
    names = [tensor["name"] for tensor in tf.lite.Interpreter(model_content=converter.convert()).get_tensor_details()]
    layers = "|".join(FLOAT_LAYERS)
    # "ecg_smart_net/layer1_0_relu1/Relu;ecg_smart_net/...": the node is named after the last layer fused into it.
    in_float = [name for name in names if re.match(rf"[^/;]+/(?:{layers})[^;]*", name)]
    # The output tensor of the network has lost its layer's name.
    in_float += [name for name in names if name.startswith("StatefulPartitionedCall")]

    def beats() -> Iterator[list[np.ndarray]]:
        for x in calibration:
            yield [x[None].astype(np.float32)]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = beats
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=beats,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=in_float),
    )
    return bytes(debugger.get_nondebug_quantized_model())


def _check(tf: Any, content: bytes, model: keras.Model, quantization: Quantization) -> None:
    smallest = 0.9 * BYTES_PER_PARAMETER[quantization] * model.count_params()
    if len(content) < smallest:
        raise RuntimeError(f"conversion lost weights: {len(content)} bytes for {model.count_params()} parameters")
    with _quiet():
        operators = {op["op_name"] for op in tf.lite.Interpreter(model_content=content)._get_ops_details()}
    foreign = sorted(name for name in operators if name.startswith("Flex") or name == "CUSTOM")
    if foreign:
        raise RuntimeError(f"conversion needs operators that LiteRT on a device lacks: {', '.join(foreign)}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the converter, whose C++ code writes progress to standard error past Python."""
    saved = os.dup(2)
    with Path(os.devnull).open("w") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
