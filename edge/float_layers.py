"""Give layers of a quantised TFLite model their float32 weights back."""

from __future__ import annotations

import re
from typing import Any

# Operators with weights, and where those stand among the inputs.
WEIGHTS = 1
# Layers of the device's graph around the network, which every format leaves in float.
BEFORE, AFTER = "model_input", "refuse"


def with_float_layers(quantized: bytes, floats: bytes, layers: tuple[str, ...]) -> bytes:
    """Take the weights of some layers from the float32 conversion of the same network.

    The converter has no such choice for 16-bit and dynamic-range weights: it rounds all of them. An operator whose
    weights are float32 computes in float32.

    Parameters
    ----------
    quantized
        float16 or dynamic-range conversion.
    layers
        Beginnings of layers' names, in the network or before it.

    Raises
    ------
    RuntimeError
        When the two models do not have the same operators with weights.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(quantized))
    source = flatbuffer_utils.read_model_from_bytearray(bytearray(floats))
    graph, of_float = model.subgraphs[0], source.subgraphs[0]
    ours, theirs = _weighted(model, graph), _weighted(source, of_float)
    names = [_layer(of_float.tensors[operator.outputs[0]].name) for operator in theirs]
    if len(ours) != len(theirs) or not names:
        raise RuntimeError("the quantised model has other operators than the float32 model")
    made_by = {operator.outputs[0]: operator for operator in graph.operators}
    for operator, original, name in zip(ours, theirs, names, strict=True):
        if not name.startswith(layers):
            continue
        tensor = graph.tensors[operator.inputs[WEIGHTS]]
        wanted = of_float.tensors[original.inputs[WEIGHTS]]
        if list(tensor.shape) != list(wanted.shape):
            raise RuntimeError(f"the weights of {name} have another shape than in the float32 model")
        # float16: an operator in front makes float32 of them at run time, and is no longer needed.
        if (operator.inputs[WEIGHTS]) in made_by:
            graph.operators.remove(made_by[operator.inputs[WEIGHTS]])
        tensor.type, tensor.quantization = wanted.type, None
        # Buffers may be shared between tensors, so this one gets its own.
        tensor.buffer = len(model.buffers)
        model.buffers.append(source.buffers[wanted.buffer])
    _drop_unused(model, graph)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _weighted(model: Any, graph: Any) -> list[Any]:
    from ai_edge_litert import schema_py_generated as schema

    kinds = {schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED}
    return [operator for operator in graph.operators if model.operatorCodes[operator.opcodeIndex].builtinCode in kinds]


def _layer(name: bytes) -> str:
    """``device_1/ecg_smart_net_1/layer1_0_relu1_1/Relu;…`` → ``layer1_0_relu1_1``; before the network, the second."""
    text = name.decode()
    found = re.match(rf"[^/;]+/({BEFORE})", text) or re.match(r"[^/;]+/[^/;]+/([^/;]+)", text)
    return found.group(1) if found else ""


def _drop_unused(model: Any, graph: Any) -> None:
    """Empty the weights that no operator needs any more."""
    used = {int(i) for operator in graph.operators for part in (operator.inputs, operator.outputs) for i in part}
    used |= {int(i) for part in (graph.inputs, graph.outputs) for i in part}
    used.discard(-1)
    for i, tensor in enumerate(graph.tensors):
        if i not in used:
            tensor.buffer = 0
    kept = {tensor.buffer for tensor in graph.tensors}
    for i, buffer in enumerate(model.buffers):
        # What is no tensor's may be the metadata's, which are short text.
        if i not in kept and i not in {entry.buffer for entry in model.metadata or ()}:
            buffer.data = None
