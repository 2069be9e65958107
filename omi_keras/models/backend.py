"""Import Keras and its backend without their start-up chatter."""

from __future__ import annotations

from omi_keras.chatter import filter_command, without_chatter


def load_backend() -> None:
    """Import Keras; its backend tells of missing GPUs on standard error, which helps nobody here."""
    filter_command()
    with without_chatter():
        import keras  # noqa: F401
