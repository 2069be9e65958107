"""Import Keras and its backend without their start-up chatter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omi_keras.signal.errors import InputError

BACKENDS = ("tensorflow", "jax")


def load_backend() -> str:
    """Import Keras and return the name of its backend.

    TensorFlow's C++ code reports missing GPUs on standard error, which helps nobody here.

    Raises
    ------
    InputError
        As :func:`check_backend`.
    """
    check_backend()
    with quiet_stderr():
        import keras
    return str(keras.backend.backend())


def check_backend() -> None:
    """Refuse a backend that this package does not run on, before Keras fails on it.

    Raises
    ------
    InputError
        When ``KERAS_BACKEND`` in the environment is none of :data:`BACKENDS`.
    """
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted and wanted not in BACKENDS:
        raise InputError(
            f"KERAS_BACKEND={wanted}: omi-keras runs on {' or '.join(BACKENDS)}; set one of them", "backend"
        )


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Silence what C++ code writes to standard error past Python. Errors still arrive as exceptions."""
    try:
        saved = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with Path(os.devnull).open("w", encoding="utf-8") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
