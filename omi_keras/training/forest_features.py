"""The features that the random forests of a run grow on."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from omi_keras.data.dataset import Dataset
from omi_keras.models.archive import errors_name
from omi_keras.training.locks import in_turn
from omi_keras.training.run import FEATURES_FILE, FEATURES_LOCK, PARTIAL_FEATURES_FILE


def features_of(dataset: Dataset, run: Path) -> np.ndarray:
    """Features of all median beats, computed once for all folds."""
    from omi_keras.measures.features import beat_features

    path, partial = run / FEATURES_FILE, run / PARTIAL_FEATURES_FILE
    busy = f"the features of {dataset.path} are being computed by another process; continue later with --resume"
    while True:
        # Another process that finishes the run removes them.
        with contextlib.suppress(FileNotFoundError):
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with in_turn(run / FEATURES_LOCK, busy, patience=3600):
            if path.exists():
                continue
            try:
                with errors_name(partial):
                    np.save(partial, beat_features(dataset.beats))
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
