"""Which ECGs a finished model was made with: what ``folds.csv`` says, and what must not judge the model again."""

from __future__ import annotations

from typing import Any

import pandas as pd

#: Column of a model's ``folds.csv``: the checksum of the median beat (:mod:`omi_keras.data.beat_sums`).
BEAT = "beat"


def known_ecgs(info: dict[str, Any], folds: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``folds.csv`` that trained, validated or chose a model.

    Its test fold did none of that, and may judge it. But all did who has been chosen by its test result, and of an
    ensemble of folds, each of whose tests trained the other members.

    Parameters
    ----------
    info
        Content of ``model.json``.
    folds
        Content of ``folds.csv``.
    """
    if "members" in info or info.get("selected_by") == "test":
        return folds
    return folds[folds["fold"] != info.get("test_fold")]


def known_sums(info: dict[str, Any], folds: pd.DataFrame | None) -> frozenset[str] | None:
    """Return the checksums of the beats of :func:`known_ecgs`; None where the model does not have all of them.

    A model from before there were checksums has none, nor has one that was trained elsewhere, or whose dataset was gone
    when it was selected.
    """
    if folds is None or BEAT not in folds:
        return None
    sums = known_ecgs(info, folds)[BEAT]
    return None if (sums == "").any() else frozenset(sums)
