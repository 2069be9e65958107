"""What decides a fold's training besides its data."""

from __future__ import annotations

from dataclasses import dataclass

from omi_keras.data.batches import Balance


@dataclass(frozen=True)
class Protocol:
    """The settings of a run, written to ``config.json``; a run is resumed with the same ones only.

    A random forest takes ``model`` and ``seed``; it has no epochs, batches or learning rate.
    """

    model: str
    epochs: int
    batch_size: int
    learning_rate: float
    balance: Balance
    seed: int
    mixed_precision: bool = False
    # SHA-256 of the ImageNet weights that a ResNet-18 starts from.
    imagenet_sha256: str | None = None
