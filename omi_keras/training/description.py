"""What a model folder tells of the data that it was made of, and how sure its numbers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from omi_keras.data.dataset import Dataset
from omi_keras.data.identities import one_form
from omi_keras.evaluation.bootstrap import patient_bootstrap
from omi_keras.evaluation.comparison import FoldTest
from omi_keras.evaluation.subgroups import age_bands, subgroup_table
from omi_keras.training.beat_column import dataset_at_hand

if TYPE_CHECKING:
    from omi_keras.training.run import Run

RESAMPLES = 2000
# Columns of the subgroups, and of the years that a dataset may have.
GROUPS, YEAR = ("site", "sex"), "year"
_MOST_VALUES = 12


def described(
    run: Run,
    judged: Mapping[str, Sequence[FoldTest]],
    tested: str,
    threshold: float,
    counts: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """``data``, ``intervals`` and ``subgroups`` of ``model.json``; without subgroups where the dataset is not at hand.

    Parameters
    ----------
    judged
        Name of a part in ``metrics`` → the ECGs of each of its folds.
    tested
        The part whose subgroups are told.
    threshold
        The operating point of the model.
    counts
        ``metrics.json`` of the one fold, which says how many ECGs were in which part.
    """
    dataset = dataset_at_hand(run.path, run.config)
    intervals = {}
    for part, folds in judged.items():
        omi, probability, patient = (
            np.concatenate([getattr(fold, name) for fold in folds]) for name in ("omi", "probability", "patient_id")
        )
        intervals[part] = patient_bootstrap(omi, probability, patient, threshold, RESAMPLES)
    found: dict[str, Any] = {"data": _data(run, dataset, counts), "intervals": intervals}
    if dataset is not None:
        facts = dataset.ecgs.set_index("ecg_id")
        of_fold = [facts.reindex(fold.ecg_id) for fold in judged[tested]]
        groups = {name: [part[name].fillna("").to_numpy(str) for part in of_fold] for name in GROUPS if name in facts}
        groups["age"] = [age_bands(part["age"].to_numpy(float)) for part in of_fold]
        rows = subgroup_table(judged[tested], groups, RESAMPLES, 0, run.simulated)
        found["subgroups"] = rows.to_dict("records")
    return found


def _data(run: Run, dataset: Dataset | None, counts: dict[str, Any] | None) -> dict[str, Any]:
    patients = run.folds["patient_id"].map(lambda name: one_form(str(name)))
    found: dict[str, Any] = {"ecgs": len(run.folds), "patients": int(patients.nunique()), "simulated": run.simulated}
    if counts and all(isinstance(counts.get(name), dict) for name in ("ecgs", "omi")):
        found["parts"] = {
            part: {name: counts[name].get(part) for name in ("ecgs", "omi")}
            for part in ("training", "validation", "test")
        }
    if dataset is None:
        return found
    ecgs = dataset.ecgs.set_index("ecg_id").reindex(run.folds["ecg_id"])
    omi = int((ecgs["omi"] == 1).sum())
    age = ecgs["age"].to_numpy(float)
    known = age[~np.isnan(age)]
    quartiles = np.percentile(known, (25, 50, 75)) if known.size else [None] * 3
    return found | {
        "omi": omi,
        "prevalence": omi / len(ecgs),
        "sites": _counted(ecgs, "site"),
        "years": _counted(ecgs, YEAR),
        "sex": _counted(ecgs, "sex"),
        "age": dict(zip(("q1", "median", "q3"), quartiles, strict=True)) | {"unknown": int(np.isnan(age).sum())},
    }


def _counted(ecgs: pd.DataFrame, column: str) -> dict[str, int]:
    """ECGs of each value, the most frequent first, the rarest together; empty where nothing is recorded."""
    if column not in ecgs:
        return {}
    cells = ecgs[column].fillna("").astype(str)
    counts = cells[cells != ""].value_counts()
    counts = counts.iloc[np.lexsort((counts.index, -counts.to_numpy()))]
    found = {str(value): int(count) for value, count in counts.iloc[:_MOST_VALUES].items()}
    if rest := int(counts.iloc[_MOST_VALUES:].sum()):
        found[f"{len(counts) - _MOST_VALUES} others"] = rest
    if found and (unknown := int((cells == "").sum())):
        found["not recorded"] = unknown
    return found
