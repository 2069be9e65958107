"""Grow random forests on one fold and keep the one with the best validation score."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from omi_keras.evaluation.metrics import ranking_metrics
from omi_keras.models.random_forest import RandomForest, grow_forest

TREES = 200
# Smallest leaf and fraction of features per split. Leaves of one ECG rank best when classes are easy to tell apart,
# larger ones when labels are noisy; 0.05 of the features is about their square root.
CANDIDATES = ((1, 0.05), (5, 0.05), (15, 0.05), (5, 0.1))

CandidateDone = Callable[[dict[str, float]], None]


def fit_forest(
    features: np.ndarray,
    omi: np.ndarray,
    training: np.ndarray,
    validation: np.ndarray,
    *,
    seed: int,
    epoch_done: CandidateDone = lambda row: None,
    step_done: Callable[[int, int], None] = lambda step, steps: None,
) -> tuple[RandomForest, list[dict[str, float]], int]:
    """Grow a forest for each of :data:`CANDIDATES` on ``training``, choose by the score on ``validation``.

    Parameters
    ----------
    features, omi
        (n_ecgs, n_features) and (n_ecgs,) of the whole dataset.
    training, validation
        Rows of the two parts.

    Returns
    -------
    The chosen forest; one row per candidate with the columns of ``history.csv`` (``epoch`` counts candidates, ``loss``
    is out of bag, ``learning_rate`` is not a number) and its hyper-parameters; the number of the chosen one. Of equal
    scores, the first.
    """
    best: tuple[float, RandomForest, int] | None = None
    history = []
    for number, (leaf, fraction) in enumerate(CANDIDATES, start=1):
        forest = grow_forest(
            features[training],
            omi[training],
            trees=TREES,
            min_samples_leaf=leaf,
            max_features=fraction,
            seed=seed,
            jobs=-1,
        )
        step_done(number, len(CANDIDATES))
        probability = forest.probability(features[validation])
        found = ranking_metrics(omi[validation], probability)
        row = {
            "epoch": number,
            "loss": _cross_entropy(omi[training], forest.forest.oob_decision_function_[:, 1]),
            "val_loss": _cross_entropy(omi[validation], probability),
            **{f"val_{name}": found[name] for name in ("auc", "ap", "score")},
            "learning_rate": float("nan"),
            "trees": TREES,
            "min_samples_leaf": leaf,
            "max_features": fraction,
        }
        history.append(row)
        epoch_done(row)
        if best is None or found["score"] > best[0]:
            best = found["score"], forest, number
    assert best is not None
    return best[1], history, best[2]


def _cross_entropy(omi: np.ndarray, probability: np.ndarray) -> float:
    """Mean cross-entropy; a forest may be wrong with certainty, which counts as one vote of all trees."""
    p = np.clip(probability, 1 / TREES, 1 - 1 / TREES)
    return float(-np.mean(np.where(omi == 1, np.log(p), np.log1p(-p))))
