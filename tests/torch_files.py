"""Files as ``torch.save`` writes them, made without PyTorch, opcode by opcode, so that they may say anything.

>>> save(path, {"weight": tensor(array)})
"""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

STORAGES = {"<f8": "DoubleStorage", "<f4": "FloatStorage", "<f2": "HalfStorage", "<i8": "LongStorage"}


@dataclass
class Raw:
    """Opcodes as they are."""

    opcodes: bytes


@dataclass
class Call:
    """REDUCE: what ``module.function`` would return."""

    name: str
    arguments: Any = ()


@dataclass
class Instance:
    """NEWOBJ and BUILD: an object of class ``module.Class`` with this state."""

    name: str
    state: Any


@dataclass
class Persistent:
    """BINPERSID."""

    key: Any


@dataclass
class Global:
    """A class or function by name."""

    name: str

    @property
    def opcodes(self) -> bytes:
        module, _, name = self.name.rpartition(".")
        return f"c{module}\n{name}\n".encode()


class Stored(dict):
    """What lies beside the pickle: ``{key: bytes}``."""

    def tensor(self, array: np.ndarray) -> Call:
        """A tensor as PyTorch writes it; its numbers are stored here."""
        array = np.asarray(array)
        key = str(len(self))
        self[key] = array.astype(array.dtype.newbyteorder("<")).tobytes()
        strides = tuple(step // array.itemsize for step in np.ascontiguousarray(array).strides) if array.ndim else ()
        return tensor(key, STORAGES[array.dtype.str], array.size, 0, array.shape, strides)

    def parameter(self, array: np.ndarray) -> Call:
        return Call("torch._utils._rebuild_parameter", (self.tensor(array), True, Call("collections.OrderedDict")))

    def module(self, state: dict[str, np.ndarray], kind: str = "of_a_lab.nets.Network", **attributes: Any) -> Instance:
        """A whole module, and modules inside it, from names such as ``layer1.0.weight``."""
        parameters, buffers, children = {}, {}, {}
        for name, value in state.items():
            child, dot, rest = name.partition(".")
            if dot:
                children.setdefault(child, {})[rest] = value
            elif child.startswith(("running", "num_batches")):
                buffers[name] = self.tensor(value)
            else:
                parameters[name] = self.parameter(value)
        modules = {name: self.module(inside, "of_a_lab.nets.Part") for name, inside in children.items()}
        own = {"training": True, "_parameters": parameters, "_buffers": buffers, "_modules": modules}
        return Instance(kind, own | {"_non_persistent_buffers_set": Call("__builtin__.set", ([],))} | attributes)


def tensor(key: Any, storage: str, count: Any, offset: Any, shape: Any, strides: Any) -> Call:
    """A tensor that says what it is told to say."""
    held = Persistent(("storage", Global(f"torch.{storage}"), key, "cpu", count))
    return Call(
        "torch._utils._rebuild_tensor_v2", (held, offset, shape, strides, False, Call("collections.OrderedDict"))
    )


def pickled(value: Any) -> bytes:
    """A pickle of protocol 2."""
    return b"\x80\x02" + opcodes(value) + b"."


def save(path: Any, content: Any, stored: dict[str, bytes] | None = None, compression: int = 0, **more: bytes) -> Any:
    """Write the zip of ``torch.save``; ``more`` are further members, ``byteorder`` among them."""
    data = content if isinstance(content, bytes) else pickled(content)
    with zipfile.ZipFile(path, "w", compression or zipfile.ZIP_STORED) as file:
        file.writestr("archive/data.pkl", data)
        for name, value in {"byteorder": b"little", "version": b"3\n", **more}.items():
            file.writestr(f"archive/{name}", value)
        for key, value in (stored or {}).items():
            file.writestr(f"archive/data/{key}", value)
    return path


def opcodes(value: Any) -> bytes:
    """What puts a value on the stack."""
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int() if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        case int():
            size = value.bit_length() // 8 + 1
            return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            text = value.encode()
            return b"X" + struct.pack("<I", len(text)) + text
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case tuple():
            return b"(" + b"".join(map(opcodes, value)) + b"t"
        case list():
            return b"](" + b"".join(map(opcodes, value)) + b"e"
        case dict():
            return b"}(" + b"".join(opcodes(part) for pair in value.items() for part in pair) + b"u"
        case Raw() | Global():
            return value.opcodes
        case Call():
            return Global(value.name).opcodes + opcodes(value.arguments) + b"R"
        case Instance():
            return Global(value.name).opcodes + b")\x81" + opcodes(value.state) + b"b"
        case Persistent():
            return opcodes(value.key) + b"Q"
    raise TypeError(f"{type(value).__name__} is not written here")
