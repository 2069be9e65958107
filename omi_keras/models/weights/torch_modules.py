"""What a checkpoint holds → its state dict: names of tensors, as PyTorch's ``Module.state_dict()`` gives them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omi_keras.models.weights.restricted_pickle import NoPickle, Placeholder
from omi_keras.recordings.errors import InputError

# Where training scripts put the state dict, or the module, in what they save.
_NESTED = ("state_dict", "model_state_dict", "model")
_MOST_NAMES, _LONGEST_NAME, _DEEPEST = 100_000, 1000, 50
# That of every batch normalisation here. A state dict does not hold it, a module does.
_EPSILON = 1e-5


def state_dict(content: Any) -> dict[Any, Any] | None:
    """``{name: value}``, whatever the values are; None when there are no names.

    Raises
    ------
    InputError
        When a whole module was saved that computes otherwise than a network of this package.
    NoPickle
        When modules hold one another in a circle, or there are more than a network has.
    """
    for _ in range(_DEEPEST):
        if isinstance(content, Placeholder):
            return dict(_of_module(content)) if _is_module(content) else None
        if not isinstance(content, dict):
            return None
        inner = (content.get(name) for name in _NESTED)
        found = next((value for value in inner if isinstance(value, dict) or _is_module(value)), None)
        if found is None:
            return content
        content = found
    raise NoPickle("dicts inside dicts without end")


def _attributes(module: Placeholder) -> dict[Any, Any]:
    """What BUILD set: a dict, or a pair of one and the values of ``__slots__``. Not copied: modules can be shared."""
    state = module.state[0] if len(module.state) == 1 else None
    first = state[0] if isinstance(state, tuple) and state else state
    return first if isinstance(first, dict) else {}


def _is_module(value: Any) -> bool:
    if not isinstance(value, Placeholder):
        return False
    attributes = _attributes(value)
    return all(isinstance(attributes.get(name), dict) for name in ("_parameters", "_buffers", "_modules"))


def _of_module(module: Placeholder) -> Iterator[tuple[str, Any]]:
    seen, todo = 0, [("", module)]
    while todo:
        path, part = todo.pop()
        attributes = _attributes(part)
        parameters, buffers, modules = (attributes[name] for name in ("_parameters", "_buffers", "_modules"))
        passing = _members(attributes.get("_non_persistent_buffers_set"))
        # Before anything is done for them: a module can stand in many places, or inside itself.
        seen += 1 + len(parameters) + len(buffers) + len(modules) + len(passing)
        if seen > _MOST_NAMES:
            raise NoPickle("more than a network has")
        _refuse_epsilon(path, attributes)
        for name, value in [*parameters.items(), *buffers.items()]:
            if value is not None and not (name in buffers and name in passing):
                yield _joined(path, name), value
        todo += [(f"{_joined(path, name)}.", child) for name, child in reversed(modules.items()) if _is_module(child)]


def _joined(path: str, name: Any) -> str:
    if not isinstance(name, str) or len(path) + len(name) > _LONGEST_NAME:
        raise NoPickle("a name that no module has")
    return path + name


def _members(value: Any) -> list[Any]:
    """What a set holds: it is written as a call with a list, or empty and filled."""
    if not isinstance(value, Placeholder):
        return []
    given = value.arguments[0] if isinstance(value.arguments, tuple) and value.arguments else None
    return given if isinstance(given, list) else value.items


def _refuse_epsilon(path: str, attributes: dict[str, Any]) -> None:
    found = attributes.get("eps")
    if "running_var" in attributes["_buffers"] and isinstance(found, float) and abs(found - _EPSILON) > 1e-9:
        raise InputError(
            f"its batch normalisation {path.rstrip('.')} has eps {found:g}, those of omi-keras {_EPSILON:g}, so that "
            "the network would compute something else; import a network that was trained with PyTorch's own",
            "wrong_parameters",
        )
