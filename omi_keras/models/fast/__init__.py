"""The same functions in an order that is fast."""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from omi_keras.models.fast.memory import keep_freed_memory as keep_freed_memory

_HOME = {
    "keep_freed_memory": "omi_keras.models.fast.memory",
}
__all__ = [*_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
