"""Which ECGs a finished model was made with: what ``folds.csv`` says, and what must not judge the model again."""

from __future__ import annotations

from typing import Any

import pandas as pd

#: Column of a model's ``folds.csv``: the checksum of the median beat (:mod:`omi_keras.data.beat_sums`).
BEAT = "beat"


def known_ecgs(info: dict[str, Any], folds: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``folds.csv`` that trained, validated, chose or recalibrated a model.

    Its test fold did none of that, and may judge it. But all did who has been chosen by its test result, and of an
    ensemble of folds, each of whose tests trained the other members.

    Parameters
    ----------
    info
        Content of ``model.json``.
    folds
        Content of ``folds.csv``.
    """
    if info.get("members", 1) != 1 or info.get("selected_by") == "test":
        return folds
    fold = folds["fold"]
    return folds[(fold != info.get("test_fold")) | fold.isin(info.get("recalibration_folds", ()))]


def known_sums(info: dict[str, Any], folds: pd.DataFrame | None) -> tuple[frozenset[str], bool]:
    """Return the checksums of the beats of :func:`known_ecgs`, and whether these are all.

    A model from before there were checksums has none, nor has one that was trained elsewhere, or whose dataset was gone
    when it was selected; one that goes on from such a model lacks some.
    """
    if folds is None or BEAT not in folds:
        return frozenset(), False
    sums = known_ecgs(info, folds)[BEAT].fillna("")
    provenance = info.get("provenance", {})
    start = provenance.get("start")
    elsewhere = "imported_from" in provenance or (isinstance(start, dict) and start.get("complete") is False)
    return frozenset(sums[sums != ""]), not elsewhere and bool((sums != "").all())
