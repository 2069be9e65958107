"""PyTorch's tensors without PyTorch: what a checkpoint says of them, and their values as NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from omi_keras.models.weights.restricted_pickle import Name, NoPickle

# NumPy has no bfloat16: the upper half of a float32.
BFLOAT16 = "bfloat16"
_DTYPES = {
    **{"float64": "f8", "float32": "f4", "float16": "f2", BFLOAT16: "u2", "complex64": "c8", "complex128": "c16"},
    **{"int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1", "uint8": "u1", "bool": "?"},
    **{"uint16": "u2", "uint32": "u4", "uint64": "u8"},
}
_STORAGES = {
    **{"DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": BFLOAT16},
    **{"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8"},
    **{"ByteStorage": "uint8", "BoolStorage": "bool", "UntypedStorage": "uint8"},
    **{"ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128"},
}
_MOST_AXES, _MOST_PARTS = 8, 6
_LARGEST = 2**40


@dataclass(frozen=True)
class Storage:
    """A run of ``count`` numbers of one type, which lies in the file under ``key``."""

    dtype: str
    key: str
    count: int

    @property
    def nbytes(self) -> int:
        """Its length in the file."""
        return self.count * np.dtype(_DTYPES[self.dtype]).itemsize


@dataclass(frozen=True)
class Tensor:
    """A window on a storage; offset and strides in numbers."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes its array will have."""
        return self.size * self._result.itemsize

    @property
    def _result(self) -> np.dtype:
        return np.dtype(np.float32 if self.dtype in (BFLOAT16, "float16") else _DTYPES[self.dtype])

    def array(self, content: bytes, byte_order: str = "little") -> np.ndarray:
        """Its values from its storage's bytes: an array of its own; 16-bit floating point is widened to float32.

        Raises
        ------
        NoPickle
            When it reaches beyond its storage.
        """
        kind = np.dtype(_DTYPES[self.dtype])
        try:
            numbers = np.frombuffer(content, kind.newbyteorder(">" if byte_order == "big" else "<"))
            if not self.size:
                return np.empty(self.shape, self._result)
        except ValueError:
            raise NoPickle("a storage that is no run of such numbers") from None
        steps = [step * kind.itemsize for step in self.strides]
        if self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True)) >= len(numbers):
            raise NoPickle("a tensor reaches beyond its storage")
        window = np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, steps, writeable=False)
        if self.dtype == BFLOAT16:
            return (window.astype(np.uint32, order="C") << 16).view(np.float32)
        return window.astype(self._result, order="C")


def storage(key: Any) -> Any:
    """What a persistent id of a checkpoint stands for: ``("storage", type, key, device, count)``."""
    match key if isinstance(key, tuple) and len(key) <= _MOST_PARTS else None:
        case ("storage", Name(dotted), str(name), _, int(count), *view) if 0 <= count < _LARGEST:
            dtype = _STORAGES.get(dotted.rpartition(".")[2])
            if dtype is not None and view in ([], [None]):
                return Storage(dtype, name, count)
        case ("module", kind, *_):  # PyTorch before 0.4 … 1.6: a class with its source
            return kind
    raise NoPickle("a storage that is none")


def _tensor(held: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    return _checked(held, held.dtype, offset, shape, strides)


def _tensor_v3(
    held: Any, offset: Any, shape: Any, strides: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> Tensor:
    return _checked(held, dtype.dotted.removeprefix("torch."), offset, shape, strides)


def _checked(held: Any, dtype: str, offset: Any, shape: Any, strides: Any) -> Tensor:
    if not isinstance(held, Storage) or dtype not in _DTYPES:
        raise NoPickle("a tensor of a kind that is not known")
    for axes in (shape, strides):
        if not isinstance(axes, tuple) or len(axes) != len(shape) or len(axes) > _MOST_AXES:
            raise NoPickle("a tensor of a shape that cannot be")
    numbers = (offset, *shape, *strides)
    if not all(type(number) is int and 0 <= number < _LARGEST for number in numbers):
        raise NoPickle("a tensor of a shape that cannot be")
    return Tensor(held, dtype, offset, shape, strides)


def _first(value: Any, *_: Any) -> Any:
    """A parameter is its tensor; gradients and hooks are of no use here."""
    return value


def _of_a_type(function: Any, _kind: Any, arguments: Any, *_: Any) -> Any:
    """A subclass of tensor, or one with attributes: the tensor alone."""
    if function.dotted not in _TENSORS:
        raise NoPickle("a tensor of a kind that is not known")
    return _TENSORS[function.dotted](*arguments[:8])


# What PyTorch itself writes for a tensor or a parameter, in torch/_utils.py and torch/_tensor.py.
_TENSORS: Mapping[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
}
STAND_INS = {**_TENSORS, "torch._tensor._rebuild_from_type_v2": _of_a_type}
