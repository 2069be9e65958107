"""Import Keras and its backend without their start-up chatter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def load_backend() -> None:
    """Import Keras; TensorFlow's C++ code reports missing GPUs on standard error, which helps nobody here."""
    with quiet_stderr():
        import keras  # noqa: F401


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Silence what C++ code writes to standard error past Python. Errors still arrive as exceptions."""
    saved = os.dup(2)
    with Path(os.devnull).open("w") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
