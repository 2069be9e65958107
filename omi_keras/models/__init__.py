"""The networks, each readable beside the paper's table, and the random forest."""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from omi_keras.models.catalogue import LEARNING_RATES as LEARNING_RATES
    from omi_keras.models.catalogue import MODELS as MODELS
    from omi_keras.models.catalogue import NETWORKS as NETWORKS
    from omi_keras.models.catalogue import RANDOM_FOREST as RANDOM_FOREST
    from omi_keras.models.catalogue import build as build
    from omi_keras.models.inference import omi_probability as omi_probability
    from omi_keras.models.inference import predict_logits as predict_logits
    from omi_keras.models.random_forest import RandomForest as RandomForest
    from omi_keras.models.random_forest import load_forest as load_forest
    from omi_keras.models.random_forest import save_forest as save_forest

_HOME = {
    "LEARNING_RATES": "omi_keras.models.catalogue",
    "MODELS": "omi_keras.models.catalogue",
    "NETWORKS": "omi_keras.models.catalogue",
    "RANDOM_FOREST": "omi_keras.models.catalogue",
    "build": "omi_keras.models.catalogue",
    "omi_probability": "omi_keras.models.inference",
    "predict_logits": "omi_keras.models.inference",
    "RandomForest": "omi_keras.models.random_forest",
    "load_forest": "omi_keras.models.random_forest",
    "save_forest": "omi_keras.models.random_forest",
}
__all__ = [*_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
