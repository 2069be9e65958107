"""Keras model → TFLite file, in float or with 8-bit integers. What needs TensorFlow: see :mod:`edge.conversion`."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edge.float_layers import AFTER, BEFORE, with_float_layers
from edge.graph import device_graph, in_float32
from edge.minimal_filtering import minimal_filtering
from edge.network import SIGNATURE, Network, fitted, interpreter_class
from omi_keras.beats.contracts import CONTRACT
from omi_keras.beats.model_inputs import BEAT_SAMPLES
from omi_keras.chatter import without_chatter
from omi_keras.models.ensemble import MEAN, in_all_members, read_outs
from omi_keras.models.inference import predict_logits

if TYPE_CHECKING:
    import keras

Quantization = Literal["float32", "float16", "dynamic", "int8"]
QUANTIZATIONS: tuple[Quantization, ...] = ("float32", "float16", "dynamic", "int8")

# Layers that int8 leaves in float, tried one after the other until the parity gate is passed. The stem and the first
# stage see the beat's full range, where one step of 8 bits is a tenth of a standard deviation, and the read-out decides
# on small differences: in float they halve the error of the logit for 2 % of the file's size. The second and third
# stage cost 7 % and 36 % more, and are needed when many ECGs lie near the threshold.
_RESIDUAL = (
    ("conv1", "relu1", "maxpool", "layer1", "fc"),
    ("conv1", "relu1", "maxpool", "layer1", "layer2", "fc"),
    ("conv1", "relu1", "maxpool", "layer1", "layer2", "layer3", "fc"),
)
FLOAT_LAYERS = {
    "ecg_smart_net": _RESIDUAL,
    "temporal_resnet18": _RESIDUAL,
    "resnet18": _RESIDUAL,
    "mayo_alvd": (
        ("temporal1", "out"),
        ("temporal1", "temporal2", "temporal3", "fc2", "out"),
        ("temporal", "fc2", "out"),
    ),
}

# The same for rounded weights (float16, dynamic), after the choice of none. The error comes from all layers alike.
_WEIGHTS = (("conv1", "layer1"), ("conv1", "layer1", "layer2"), ("conv1", "layer1", "layer2", "layer3"))
FLOAT_WEIGHTS = {
    "ecg_smart_net": _WEIGHTS,
    "temporal_resnet18": _WEIGHTS,
    "resnet18": _WEIGHTS,
    "mayo_alvd": (("temporal",), ("temporal", "fc")),
}

# A converter that loses the weights writes 70 KB and says nothing; int8 needs at least a byte per parameter.
BYTES_PER_PARAMETER = {"float32": 4.0, "float16": 2.0, "dynamic": 1.0, "int8": 1.0}


@dataclass(frozen=True)
class Converted:
    """A TFLite model and the layers that its quantisation left in float."""

    content: bytes
    float_layers: tuple[str, ...] = ()


def convert(
    model: keras.Model,
    quantization: Quantization,
    calibration: np.ndarray,
    samples: int = BEAT_SAMPLES,
    contract: str = CONTRACT,
) -> Iterator[Converted]:
    """Convert a network to TFLite models with built-in operators only, the smallest first.

    All formats but float32 have several candidates: each leaves more layers in float32 than the one before.

    The models are :func:`edge.graph.device_graph`'s, behind the signature ``detect``.

    Parameters
    ----------
    model
        Input (batch, 12, 400, 1) float32, or as the contract has it, output (batch, 2) logits; trained in any
        precision.
    quantization
        ``float32``; ``float16`` weights; ``dynamic``: 8-bit weights; ``int8``: 8-bit weights and activations,
        but for one set of :data:`FLOAT_LAYERS` (int8) or :data:`FLOAT_WEIGHTS` after the other. Input and output are
        float32 in all of them.
    calibration
        (n, 12, 600) median beats in mV, from training ECGs, whose ranges int8 takes as its own.
    samples
        Length of the beats that the graph takes, 600 or 400.
    contract
        Input contract of the model, one of :data:`omi_keras.beats.CONTRACTS`.

    Raises
    ------
    RuntimeError
        When the converter made a file without the weights or with operators that a plain LiteRT lacks.
    """
    import tensorflow as tf

    model = in_float32(model, contract)
    graph = device_graph(minimal_filtering(model) if quantization == "float32" else model, samples, contract)
    with tempfile.TemporaryDirectory() as scratch:
        with _quiet():
            _save(tf, graph, scratch)
            converter = tf.lite.TFLiteConverter.from_saved_model(scratch, signature_keys=[SIGNATURE])
        for candidate in _candidates(tf, converter, model, quantization, calibration, samples, contract):
            _check(candidate.content, model, quantization)
            yield candidate


@contextmanager
def _quiet() -> Iterator[None]:
    """The converter tells of itself, and that the interpreter which it uses inside is deprecated."""
    with without_chatter(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated")
        yield


def _save(tf: Any, graph: keras.Model, folder: str) -> None:
    import keras

    archive = keras.export.ExportArchive()
    archive.track(graph)
    signature = [tf.TensorSpec(graph.input_shape, tf.float32, "beat")]
    archive.add_endpoint(SIGNATURE, lambda beat: graph(beat, training=False), input_signature=signature)
    archive.write_out(folder, verbose=False)


def _candidates(
    tf: Any,
    converter: Any,
    model: keras.Model,
    quantization: Quantization,
    calibration: np.ndarray,
    samples: int,
    contract: str,
) -> Iterator[Converted]:
    if quantization == "int8":
        yield from _int8(tf, converter, model, calibration, samples, contract)
        return
    with _quiet():
        floats = converter.convert()
        if quantization == "float32":
            yield Converted(floats)
            return
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantization == "float16":
            converter.target_spec.supported_types = [tf.float16]
        rounded = converter.convert()
    for layers in ((), *FLOAT_WEIGHTS[model.name]):
        # What stands before the network may have weights of its own, which are no matter of rounding.
        content = with_float_layers(rounded, floats, (BEFORE, *in_all_members(model, layers)))
        yield Converted(_centred(content, model, calibration, contract), layers)


def _int8(
    tf: Any, converter: Any, model: keras.Model, calibration: np.ndarray, samples: int, contract: str
) -> Iterator[Converted]:
    def beats() -> Iterator[list[np.ndarray]]:
        for beat in calibration:
            yield [fitted(beat, samples)]

    options = tf.lite.experimental.QuantizationDebugOptions
    with _quiet():
        interpreter = interpreter_class()(model_content=converter.convert())
        names = [tensor["name"] for tensor in interpreter.get_tensor_details()]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = beats
        # Its calibrated model serves every choice of layers, so only the first costs time.
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=beats, debug_options=options()
        )
    for layers in FLOAT_LAYERS[model.name]:
        with _quiet():
            debugger.options = options(denylisted_nodes=_nodes(names, (MEAN, *in_all_members(model, layers))))
            content = bytes(debugger.get_nondebug_quantized_model())
            centred = _centred(content, model, calibration, contract)
        yield Converted(centred, layers)


def _centred(content: bytes, model: keras.Model, calibration: np.ndarray, contract: str) -> bytes:
    """Take the mean error of the logits on the calibration beats out, through the bias of the read-out.

    Rounding weights to 8 bits shifts the mean of what a layer gives on; summed over the layers the shift is as large
    as the spread of the error (bias correction: Nagel et al. 2019, Data-Free Quantization, section 4.2). The bias is
    in float, so it stands in the file as it is in the model. An ensemble's members are all shifted alike.
    """
    biases = [np.asarray(layer.bias, "<f4") for layer in read_outs(model)]
    if any(content.count(bias.tobytes()) != 1 for bias in biases):
        return content
    network = Network(content)
    found = np.array([network.judge(beat)[1] for beat in calibration])
    shift = predict_logits(model, calibration, contract=contract).mean(0) - found.mean(0)
    for bias in biases:
        content = content.replace(bias.tobytes(), (bias + shift).astype("<f4").tobytes())
    return content


def _nodes(names: list[str], layers: tuple[str, ...]) -> list[str]:
    """Tensors made by some layers: ``device/ecg_smart_net/layer1_0_relu1/Relu;…`` is named after the last one fused in.

    What stands before and after the network is always among them.
    """
    inside = "|".join(layers)
    found = [name for name in names if re.match(rf"[^/;]+/(?:{BEFORE}|{AFTER}|[^/;]+/(?:{inside}))", name)]
    # The output tensor of the network has lost its layer's name.
    return found + [name for name in names if name.startswith("StatefulPartitionedCall")]


def _check(content: bytes, model: keras.Model, quantization: Quantization) -> None:
    smallest = 0.9 * BYTES_PER_PARAMETER[quantization] * model.count_params()
    if len(content) < smallest:
        raise RuntimeError(f"conversion lost weights: {len(content)} bytes for {model.count_params()} parameters")
    with _quiet():
        operators = {op["op_name"] for op in interpreter_class()(model_content=content)._get_ops_details()}
    foreign = sorted(name for name in operators if name.startswith("Flex") or name == "CUSTOM")
    if foreign:
        raise RuntimeError(f"conversion needs operators that LiteRT on a device lacks: {', '.join(foreign)}")
