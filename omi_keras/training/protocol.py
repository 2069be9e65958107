"""What decides a fold's training besides its data."""

from __future__ import annotations

from dataclasses import dataclass

from omi_keras.data.batches import Balance
from omi_keras.models.catalogue import Precision


@dataclass(frozen=True)
class Protocol:
    """The settings of a run, written to ``config.json``; a run is resumed with the same ones only.

    A random forest takes ``model`` and ``seed``; it has no epochs, batches or learning rate, and no backend.
    """

    model: str
    epochs: int
    batch_size: int
    learning_rate: float
    balance: Balance
    seed: int
    precision: Precision = "float32"
    # SHA-256 of the ImageNet weights that a ResNet-18 starts from.
    imagenet_sha256: str | None = None
    # Threads of a training process: sums over a batch are divided among them, so that another number rounds otherwise.
    threads: int = 0
    # Keras' backend: another one rounds otherwise, and draws other initial weights. None: no network.
    backend: str | None = "tensorflow"
    # Devices that share each batch, whose sums are then divided among them.
    devices: int = 1
