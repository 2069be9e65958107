"""Median beats that patients share: one recording under two identifiers, or a copied file.

Folds keep the ECGs of a patient together; of a patient with two identifiers they cannot. What trains the model then
also tests it. Nothing is left out here: which of the two is the patient, only the labels' owner knows.

Equal means equal to :data:`SAME_MV`, a hundredth of what the finest recorders resolve: one recording read from two
formats differs by the rounding of floats, two recordings differ by their noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from omi_keras.data.dataset import Dataset

#: Beats that nowhere differ by more, in mV, are one.
SAME_MV = 1e-5
#: Groups that ``dataset.json`` lists; all are counted.
MOST_GROUPS = 100
#: ECGs of a group that it lists.
MOST_ECGS = 20
# Groups that a sentence names.
_NAMED = 3
#: Samples of all leads by which beats are looked up before they are compared whole.
PROBES = (250, 300, 400)
# Itself and the nearest others.
_NEIGHBOURS = 9


def shared_beats(beats: np.ndarray, ecg_ids: Iterable[str], patient_ids: Iterable[str]) -> dict[str, Any]:
    """Return which ECGs of different patients have the same median beat.

    Equal beats of one patient are nobody's leak and do not count.

    Parameters
    ----------
    beats
        (n, 12, 600) mV; may be a memory map, one beat is held at a time.
    ecg_ids, patient_ids
        n texts each.

    Returns
    -------
    dict
        ``count``: how many beats several patients share; ``ecgs``: how many ECGs have one of them; ``groups``: the
        first :data:`MOST_GROUPS`, each ``{"ecg_ids": [...], "patient_ids": [...]}`` with up to :data:`MOST_ECGS` ECGs,
        one of each patient before the second of any.
    """
    ecgs, patients = list(ecg_ids), list(patient_ids)
    groups = [rows for rows in _equal(beats) if len({patients[row] for row in rows}) > 1]
    return {
        "count": len(groups),
        "ecgs": sum(map(len, groups)),
        "groups": [_listed(rows, ecgs, patients) for rows in groups[:MOST_GROUPS]],
    }


def shared_beats_in(folder: Path) -> dict[str, Any]:
    """Return :func:`shared_beats` of a dataset whose ``dataset.json`` is not yet written."""
    ids = pd.read_csv(folder / "ecgs.csv", usecols=["ecg_id", "patient_id"], dtype=str, keep_default_na=False)
    if not len(ids):  # a file without rows cannot be mapped
        return shared_beats(np.zeros((0, 12, 600), np.float32), [], [])
    beats = np.load(folder / "beats.npy", mmap_mode="r", allow_pickle=False)
    return shared_beats(beats, ids["ecg_id"], ids["patient_id"])


def duplicates_of(data: Dataset) -> dict[str, Any]:
    """Return what ``dataset.json`` says of shared beats; of a dataset from before it said so, what the beats say."""
    told = data.info.get("duplicate_beats")
    if isinstance(told, dict) and {"count", "ecgs", "groups"} <= set(told):
        return told
    return shared_beats(data.beats, data.ecgs["ecg_id"], data.ecgs["patient_id"])


def duplicates_sentence(found: Mapping[str, Any]) -> str:
    """Return what a reader has to know of :func:`shared_beats`; nothing where there is none."""
    if not found["count"]:
        return ""
    named = "; ".join(
        " = ".join(
            f"{ecg} of {patient}" for ecg, patient in zip(group["ecg_ids"][:3], group["patient_ids"][:3], strict=True)
        )
        for group in found["groups"][:_NAMED]
    )
    more = "; ..." if found["count"] > _NAMED else ""
    beats = "1 median beat is" if found["count"] == 1 else f"{found['count']} median beats are"
    return (
        f"{beats} the same under different patients ({found['ecgs']} ECGs: {named}{more}), so folds may train on an "
        "ECG and test on its copy; give one person one patient_id, and leave copies out"
    )


def _equal(beats: np.ndarray) -> list[list[int]]:
    """Rows of equal beats, two or more each, in the order of their first."""
    first: dict[bytes, int] = {}
    group = np.arange(len(beats))
    probes = np.empty((len(beats), beats.shape[1] * len(PROBES)))
    for row in range(len(beats)):
        # Adding 0 makes −0 and 0 the same bytes.
        beat = np.asarray(beats[row], "<f4") + np.float32(0)
        group[row] = first.setdefault(hashlib.blake2b(beat.tobytes(), digest_size=16).digest(), row)
        probes[row] = np.nan_to_num(beat[:, PROBES]).ravel()
    distinct = np.array(sorted(first.values()), int)
    if distinct.size > 1:
        # A little further than SAME_MV, whose own rounding must not lose a pair; the nearest few, because of a heap of
        # nearly equal beats each need not be compared with all others to be found.
        found = cKDTree(probes[distinct]).query(
            probes[distinct], k=min(_NEIGHBOURS, distinct.size), p=np.inf, distance_upper_bound=2 * SAME_MV
        )[1]
        for a, others in zip(distinct, found, strict=True):
            for b in distinct[others[others < distinct.size]]:
                if group[a] != group[b] and _same(beats[a], beats[b]):
                    low, high = sorted((group[a], group[b]))
                    group[group == high] = low
    rows: dict[int, list[int]] = {}
    for row, name in enumerate(group.tolist()):
        rows.setdefault(name, []).append(row)
    return [found for found in rows.values() if len(found) > 1]


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    difference = np.abs(np.asarray(first, np.float64) - np.asarray(second, np.float64))
    return bool(np.nan_to_num(difference).max() <= SAME_MV)


def _listed(rows: list[int], ecgs: list[str], patients: list[str]) -> dict[str, list[str]]:
    seen: set[str] = set()
    again = []
    for row in rows:
        again.append(patients[row] in seen)
        seen.add(patients[row])
    shown = [row for _, row in sorted(zip(again, rows, strict=True))][:MOST_ECGS]
    return {"ecg_ids": [ecgs[row] for row in shown], "patient_ids": [patients[row] for row in shown]}
