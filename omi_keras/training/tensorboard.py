"""Epochs for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def with_tensorboard(folder: Path, callbacks: dict[str, Any]) -> dict[str, Any]:
    """The callbacks, and one that writes each epoch's row of ``history.csv`` as scalars into ``folder``."""
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(folder))
    told = callbacks.get("epoch_done", lambda row: None)

    def epoch_done(row: dict[str, float]) -> None:
        with writer.as_default(step=int(row["epoch"])):
            for name, value in row.items():
                if name != "epoch":
                    tf.summary.scalar(name, value)
        writer.flush()
        told(row)

    return {**callbacks, "epoch_done": epoch_done}
