"""What a model looks at in one ECG after the other, for their pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from omi_keras.model import Model
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.recordings.errors import InputError
from omi_keras.saliency.contributions import lead_contribution, windows

# Median beat (12, 600) mV → saliency in windows of 40 ms (12, 20), and the share of each lead (12,).
Explain = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def explainer(model: Model) -> Explain:
    """A function that gives the gradient's map of a median beat, as the paper draws it.

    Raises
    ------
    InputError
        When the model is a random forest, or Keras runs on another backend than TensorFlow.
    """
    if model.name == RANDOM_FOREST:
        raise InputError("a random forest has no gradient; its features have importances", "no_gradient")
    from omi_keras.saliency.maps import inputs_of, map_function

    gradient = map_function(model.network, "gradient")

    def explain(beat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = inputs_of(np.asarray(beat)[None], model.contract)
        maps = gradient(x[..., None], ())
        return windows(maps)[0], lead_contribution(maps)[0]

    return explain
