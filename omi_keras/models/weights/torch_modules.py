"""What a checkpoint holds → its state dict: names of tensors, as PyTorch's ``Module.state_dict()`` gives them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omi_keras.models.weights.restricted_pickle import NoPickle, Placeholder
from omi_keras.recordings.errors import InputError

# Where training scripts put the state dict, or the module, in what they save.
_NESTED = ("state_dict", "model_state_dict", "model")
_MOST_MODULES, _MOST_NAMES, _DEEPEST = 10_000, 100_000, 50
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


def _attributes(module: Placeholder) -> dict[str, Any]:
    """What BUILD set: a dict, or a pair of one and the values of ``__slots__``."""
    found: dict[str, Any] = {}
    for state in module.state:
        parts = state if isinstance(state, tuple) else (state,)
        found.update(*(part for part in parts[:1] if isinstance(part, dict)))
    return found


def _is_module(value: Any) -> bool:
    if not isinstance(value, Placeholder):
        return False
    attributes = _attributes(value)
    return all(isinstance(attributes.get(name), dict) for name in ("_parameters", "_buffers", "_modules"))


def _of_module(module: Placeholder) -> Iterator[tuple[str, Any]]:
    names, todo = 0, [("", module)]
    for _ in range(_MOST_MODULES):
        if not todo:
            return
        path, part = todo.pop()
        attributes = _attributes(part)
        _refuse_epsilon(path, attributes)
        passing = _members(attributes.get("_non_persistent_buffers_set"))
        for kind in ("_parameters", "_buffers"):
            for name, value in attributes[kind].items():
                if value is not None and not (kind == "_buffers" and name in passing):
                    yield f"{path}{name}", value
        names += len(attributes["_parameters"]) + len(attributes["_buffers"])
        children = [(f"{path}{name}.", child) for name, child in attributes["_modules"].items() if _is_module(child)]
        todo += reversed(children)
        if names > _MOST_NAMES or path.count(".") > _DEEPEST or len(todo) > _MOST_MODULES:
            break
    raise NoPickle("more modules inside modules than a network has")


def _members(value: Any) -> set[str]:
    """What a set holds: it is written as a call with a list, or empty and filled."""
    if not isinstance(value, Placeholder):
        return set()
    given = value.arguments[0] if isinstance(value.arguments, tuple) and value.arguments else ()
    return {member for member in (*given, *value.items) if isinstance(member, str)}


def _refuse_epsilon(path: str, attributes: dict[str, Any]) -> None:
    found = attributes.get("eps")
    if "running_var" in attributes["_buffers"] and isinstance(found, float) and abs(found - _EPSILON) > 1e-9:
        raise InputError(
            f"its batch normalisation {path.rstrip('.')} has eps {found:g}, those of omi-keras {_EPSILON:g}, so that "
            "the network would compute something else; import a network that was trained with PyTorch's own",
            "wrong_parameters",
        )
