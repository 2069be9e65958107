"""The models by name. Importing this loads no framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

# Initial learning rates of the paper, section II.B.
LEARNING_RATES = {"ecg-smart-net": 1e-5}


def build(name: str) -> keras.Model:
    """A new model of one of the names in :data:`LEARNING_RATES`, random weights from Keras' global seed."""
    from omi_keras.models.ecg_smart_net import ecg_smart_net

    builders = {"ecg-smart-net": ecg_smart_net}
    return builders[name]()
