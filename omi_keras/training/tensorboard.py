"""Epochs for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras


class EpochsForTensorBoard(keras.callbacks.Callback):
    """Writes each epoch's row of ``history.csv`` as scalars into a folder; needs TensorFlow.

    Keras' own ``TensorBoard`` writes graphs of a ``fit`` that is not called here, and into folders ``train`` and
    ``validation``.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open the file of events."""
        import tensorflow as tf

        self._writer = tf.summary.create_file_writer(str(self._folder))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write one row; steps are epochs from 1, as in ``history.csv``."""
        import tensorflow as tf

        # What tf.summary.scalar writes, which asks for TensorBoard itself to be installed here.
        kind = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        scalar = tf.compat.v1.SummaryMetadata(plugin_data=kind, data_class="DATA_CLASS_SCALAR")
        with self._writer.as_default(step=epoch + 1):
            for name, value in (logs or {}).items():
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=scalar)
        self._writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close it."""
        self._writer.close()
