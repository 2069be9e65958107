"""A pickle read as data: nothing that it names is imported, and nothing is called.

A pickle is a program for a small stack machine. This one runs the part that builds lists, dicts, text and numbers; each
class or function is a name, and each call of one a record of what would have been called, unless the caller says what
stands in its place. Opcodes are told apart by the standard library's :mod:`pickletools`, which runs none of them.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

# A checkpoint of this project's largest network with Adam's moments has 10,000 opcodes in 100 kB.
MOST_OPCODES = 500_000
MOST_BYTES = 32 * 2**20
# No index of a list is that large; a dict of larger ones could be made to collide.
_LARGEST_KEY = 2**31
_MOST_ARGUMENTS = 16


class NoPickle(ValueError):
    """What was read is not a pickle, is damaged, or is larger than any honest one."""


class Readable(Protocol):
    """A binary file. Whatever length is asked for, it must not give or allocate more than it has."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self) -> bytes: ...
    def tell(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Name:
    """A class or a function that a pickle names."""

    dotted: str


@dataclass(eq=False, slots=True)
class Placeholder:
    """What would have been made: which class or function, its arguments, and the state that it was given."""

    made_by: Any
    arguments: Any = ()
    state: list[Any] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)


def read_pickle(
    file: Readable,
    stand_ins: Mapping[str, Callable[..., Any]] | None = None,
    persistent: Callable[[Any], Any] = Placeholder,
) -> Any:
    """Read one pickle from where ``file`` stands.

    Parameters
    ----------
    file
        Left behind the pickle's end.
    stand_ins
        ``{"module.function": what is called in its place}``. It gets what the file says and has to distrust it.
    persistent
        Persistent id → what it stands for.

    Returns
    -------
    Numbers, text, bytes, lists, tuples, dicts (an ``OrderedDict`` is one), and :class:`Name` and :class:`Placeholder`.
    A set is a placeholder; a key of a dict that is neither text nor a small number becomes an object of its own.

    Raises
    ------
    NoPickle
        When it is damaged, or longer than 32 MiB or 500,000 opcodes.
    """
    machine = _Machine(stand_ins or {}, persistent)
    start = file.tell()
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(file)):  # type: ignore[arg-type]
            if count > MOST_OPCODES or (position or 0) - start > MOST_BYTES:
                raise NoPickle("longer than that of any checkpoint")
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.run(opcode.name, argument)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise NoPickle(str(error)) from None
    raise NoPickle("it has no end")


def _key(key: Any) -> Any:
    """A key whose hash costs nothing: that of nested tuples can take for ever."""
    small = isinstance(key, int) and -_LARGEST_KEY < key < _LARGEST_KEY
    return key if isinstance(key, str) or key is None or small else object()


class _Machine:
    def __init__(self, stand_ins: Mapping[str, Callable[..., Any]], persistent: Callable[[Any], Any]) -> None:
        self.stand_ins = {"collections.OrderedDict": self._ordered_dict, **stand_ins}
        self.persistent = persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        # Not a list: a file that names the last place of a large one would have it allocated.
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def run(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE", "PUT"):
            place = len(self.memo) if argument is None else int(argument)
            if not 0 <= place < _LARGEST_KEY:
                raise NoPickle("a place in the memo that cannot be")
            self.memo[place] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[int(argument)])
        elif name not in _IGNORED:
            operation = getattr(self, f"_{name.lower()}", None)
            if operation is None:  # buffers out of band, which no checkpoint has
                raise NoPickle(f"{name} is not known")
            operation() if argument is None else operation(argument)

    def _above_mark(self) -> list[Any]:
        mark = self.marks.pop()
        taken = self.stack[mark:]
        del self.stack[mark:]
        return taken

    def _take(self, count: int) -> list[Any]:
        taken = self.stack[len(self.stack) - count :]
        if len(taken) != count:
            raise NoPickle("an empty stack")
        del self.stack[len(self.stack) - count :]
        return taken

    # The stack itself.
    def _mark(self) -> None:
        self.marks.append(len(self.stack))

    def _pop(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def _pop_mark(self) -> None:
        self._above_mark()

    def _dup(self) -> None:
        self.stack.append(self.stack[-1])

    # Containers.
    def _empty_list(self) -> None:
        self.stack.append([])

    def _empty_dict(self) -> None:
        self.stack.append({})

    def _empty_set(self) -> None:
        self.stack.append(Placeholder(Name("builtins.set")))

    def _list(self) -> None:
        self.stack.append(self._above_mark())

    def _tuple(self) -> None:
        self.stack.append(tuple(self._above_mark()))

    def _tuple1(self) -> None:
        self.stack.append(tuple(self._take(1)))

    def _tuple2(self) -> None:
        self.stack.append(tuple(self._take(2)))

    def _tuple3(self) -> None:
        self.stack.append(tuple(self._take(3)))

    def _frozenset(self) -> None:
        self.stack.append(Placeholder(Name("builtins.frozenset"), (self._above_mark(),)))

    def _dict(self) -> None:
        values = self._above_mark()
        self.stack.append({})
        self._set(values)

    def _append(self) -> None:
        self._extend(self._take(1))

    def _appends(self) -> None:
        self._extend(self._above_mark())

    _additems = _appends

    def _setitem(self) -> None:
        self._set(self._take(2))

    def _setitems(self) -> None:
        self._set(self._above_mark())

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        target = target.items if isinstance(target, Placeholder) else target
        if not isinstance(target, list):
            raise NoPickle("appends to what is no list")
        target.extend(values)

    def _set(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Placeholder):
            target.items.extend(values)
        elif isinstance(target, dict):
            target.update(zip(map(_key, values[::2]), values[1::2], strict=True))
        else:
            raise NoPickle("sets items of what is no dict")

    # Classes, functions and what they would make.
    def _global(self, names: str) -> None:
        self.stack.append(Name(names.replace(" ", ".", 1)))

    def _stack_global(self) -> None:
        module, name = self._take(2)
        if not (isinstance(module, str) and isinstance(name, str)):
            raise NoPickle("a class whose name is no text")
        self.stack.append(Name(f"{module}.{name}"))

    def _ext1(self, code: int) -> None:
        self.stack.append(Name(f"copyreg.extension.{code & 0xFFFFFFFF}"))

    _ext2 = _ext4 = _ext1

    def _reduce(self) -> None:
        function, arguments = self._take(2)
        self._make(function, arguments)

    _newobj = _reduce

    def _newobj_ex(self) -> None:
        kind, arguments, named = self._take(3)
        self.stack.append(Placeholder(kind, (arguments, named)))

    def _inst(self, names: str) -> None:
        self._make(Name(names.replace(" ", ".", 1)), tuple(self._above_mark()))

    def _obj(self) -> None:
        kind, *arguments = self._above_mark()
        self._make(kind, tuple(arguments))

    def _make(self, function: Any, arguments: Any) -> None:
        stand_in = self.stand_ins.get(function.dotted) if isinstance(function, Name) else None
        if stand_in is None:
            self.stack.append(Placeholder(function, arguments))
        elif isinstance(arguments, tuple) and len(arguments) <= _MOST_ARGUMENTS:
            self.stack.append(stand_in(*arguments))
        else:
            raise NoPickle("arguments that are no tuple, or too many")

    def _ordered_dict(self, pairs: Any = ()) -> dict[Any, Any]:
        """Python 2 wrote its pairs as an argument, and a file can name the same long list again and again."""
        self.copied += len(pairs)
        if self.copied > MOST_OPCODES:
            raise NoPickle("longer than that of any checkpoint")
        return {_key(key): value for key, value in pairs}

    def _build(self) -> None:
        (state,) = self._take(1)
        # Attributes of an OrderedDict or a tensor are of no use here.
        if isinstance(self.stack[-1], Placeholder):
            self.stack[-1].state.append(state)

    def _persid(self, key: str) -> None:
        self.stack.append(self.persistent(key))

    def _binpersid(self) -> None:
        (key,) = self._take(1)
        self.stack.append(self.persistent(key))


_IGNORED = {"PROTO", "FRAME"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
