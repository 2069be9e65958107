"""The random forest on engineered features of the median beat that the paper compares with.

Paper section II.A and Table 4; Al-Zaiti et al. 2023 (the paper's reference [11]).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from omi_keras.data.artifacts import write_bytes
from omi_keras.measures.features import FEATURES, MEASURES
from omi_keras.models.archive import errors_name, same_forest_bytes
from omi_keras.recordings.errors import InputError

# skops does not trust it, because its arrays are used unchecked; _is_sound checks them.
_TREE = "sklearn.tree._tree.Tree"


@dataclass(frozen=True)
class RandomForest:
    """A forest and the features that it was grown on, by name."""

    forest: RandomForestClassifier
    features: tuple[str, ...] = FEATURES

    def probability(self, features: np.ndarray) -> np.ndarray:
        """P(OMI) of features (n, len(features)), (n,) float64; NaN is a feature that is not defined."""
        return np.asarray(self.forest.predict_proba(features)[:, 1])

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """Log odds of (T p + ½) / (T + 1) for probability p of T trees, (n,) float64: in the order of p, and finite.

        All trees agree about some ECGs; that is the word of T trees and no certainty.
        """
        trees = len(self.forest.estimators_)
        found = (trees * self.probability(features) + 0.5) / (trees + 1)
        return np.asarray(np.log(found) - np.log1p(-found))

    @property
    def importances(self) -> np.ndarray:
        """Mean decrease in impurity by each feature, (len(features),), sum 1."""
        return np.asarray(self.forest.feature_importances_)


def grow_forest(
    features: np.ndarray,
    omi: np.ndarray,
    *,
    trees: int,
    min_samples_leaf: int,
    max_features: float,
    seed: int,
    jobs: int | None = None,
) -> RandomForest:
    """Grow a forest on features (n, len(FEATURES)) and labels (n,) of 0 and 1.

    Both classes weigh the same within each tree's bootstrap sample, as they do in each batch of the networks.
    ``max_features`` is the fraction of features that a split may choose from. The result does not depend on ``jobs``.
    """
    forest = RandomForestClassifier(
        n_estimators=trees,
        min_samples_leaf=min_samples_leaf,
        max_features=max_features,
        class_weight="balanced_subsample",
        oob_score=True,
        random_state=seed,
        n_jobs=jobs,
    )
    return RandomForest(forest.fit(features, omi))


def save_forest(path: Path, forest: RandomForest) -> None:
    """Write a ``.skops`` file: trees, features and how they are measured, importances, no pickle.

    Equal forests give equal bytes.
    """
    from skops.io import dumps

    content = {
        "forest": forest.forest,
        "features": list(forest.features),
        "measures": MEASURES,
        "importances": forest.importances,
    }
    with errors_name(path):
        write_bytes(path, same_forest_bytes(dumps(content)))


def load_forest(path: Path) -> RandomForest:
    """Read a ``.skops`` file.

    Raises
    ------
    InputError
        When it is missing or damaged, holds anything but a forest, or a forest of other features than this version
        of the package computes, or of features that it measures otherwise.
    """
    from skops.io import get_untrusted_types, load

    if not path.is_file():
        raise InputError(f"{path} not found", "not_found")
    try:
        foreign = sorted(set(get_untrusted_types(file=path)) - {_TREE})
        content: Any = None if foreign else load(path, trusted=[_TREE])
    except Exception as error:  # zip and JSON readers, and skops on what it does not know
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} does not hold a random forest: {first}", "unreadable") from None
    if foreign:
        raise InputError(f"{path} holds what no random forest needs, so it was not opened: {', '.join(foreign)}")
    forest = content.get("forest") if isinstance(content, dict) else None
    if not isinstance(forest, RandomForestClassifier):
        raise InputError(f"{path} does not hold a random forest", "unreadable")
    if tuple(content.get("features", ())) != FEATURES:
        raise InputError(f"{path} was grown on other features than this version computes; train it again", "features")
    measures = content.get("measures", 1)  # omi-keras 0.1.0 did not say
    if not isinstance(measures, int) or measures != MEASURES:
        raise InputError(
            f"{path} was grown by another version, which measured the same features otherwise: its probabilities would "
            "not be those of its evaluation; train it again",
            "features",
        )
    if not _is_sound(forest):
        raise InputError(f"{path} was altered: its trees do not hold together; train it again", "altered")
    # One ECG or a few thousand: waking threads costs more than they save.
    return RandomForest(forest.set_params(n_jobs=1))


def _is_sound(forest: RandomForestClassifier) -> bool:
    """Whether following the trees ends, and stays inside the arrays: scikit-learn does not look."""
    if forest.n_features_in_ != len(FEATURES) or list(forest.classes_) != [0, 1]:
        return False
    for tree in (estimator.tree_ for estimator in forest.estimators_):
        left, right, feature = tree.children_left, tree.children_right, tree.feature
        if tree.n_features != len(FEATURES) or tree.n_outputs != 1 or list(tree.n_classes) != [2]:
            return False
        # A leaf has no left child. Children stand after their parent, so no path turns back.
        node = np.flatnonzero(left != -1)
        for child in (left[node], right[node]):
            if not ((child > node) & (child < tree.node_count)).all():
                return False
        if not ((feature[node] >= 0) & (feature[node] < len(FEATURES))).all():
            return False
    return True
