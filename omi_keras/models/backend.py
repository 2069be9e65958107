"""Import Keras and its backend without their start-up chatter."""

from __future__ import annotations

import os

from omi_keras.chatter import filter_command, without_chatter
from omi_keras.recordings.errors import InputError

BACKENDS = ("tensorflow", "jax")


def load_backend() -> str:
    """Import Keras and return its backend's name.

    The backend tells of missing GPUs on standard error, which helps nobody here.

    Raises
    ------
    InputError
        As :func:`check_backend`.
    """
    check_backend()
    filter_command()
    with without_chatter():
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
