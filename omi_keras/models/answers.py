"""What a model says of median beats, calibrated where it was recalibrated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omi_keras.evaluation.platt import probability_of
from omi_keras.models.catalogue import RANDOM_FOREST


def log_odds(name: str, model: Any, beats: np.ndarray, contract: str, rows: np.ndarray | None = None) -> np.ndarray:
    """Log odds of OMI of median beats (n, 12, 600) in mV, or of some rows of them, as the model was trained.

    Parameters
    ----------
    model
        The network whose read-out was not calibrated, or the forest.

    Returns
    -------
    ndarray
        (n,) float64: the difference of the logits, OMI minus no OMI; of a random forest, see
        :meth:`omi_keras.models.random_forest.RandomForest.log_odds`.
    """
    if name == RANDOM_FOREST:
        return np.asarray(model.log_odds(_features(beats, rows)))
    from omi_keras.models.inference import predict_logits

    logits = predict_logits(model, beats, rows, contract=contract).astype(np.float64)
    return np.asarray(logits[:, 1] - logits[:, 0])


def probability(
    name: str, model: Any, beats: np.ndarray, contract: str, calibration: Mapping[str, Any] | None
) -> np.ndarray:
    """P(OMI) of median beats (n, 12, 600) in mV, (n,) float64.

    A calibration is applied to the float64 log odds of what was trained, which keeps their order; a network that holds
    it in its float32 weights gives the same but for rounding.
    """
    if name == RANDOM_FOREST and calibration is None:
        return np.asarray(model.probability(_features(beats, None)))
    found = log_odds(name, model, beats, contract)
    return probability_of(found if calibration is None else calibration["slope"] * found + calibration["intercept"])


def _features(beats: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
    from omi_keras.measures.features import beat_features

    return beat_features(beats if rows is None else beats[rows])
