"""A finished model for the patients of another hospital: what ``omi-keras recalibrate`` makes.

The model itself is left as it is. Platt scaling moves its probabilities in the order that they have; the map is folded
into the network's read-out layer (:mod:`omi_keras.models.read_out`), and of a random forest applied to its answer.
Threshold and bands are chosen anew (:mod:`omi_keras.evaluation.cross_fitting`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from omi_keras.data.artifacts import sha256
from omi_keras.data.beat_sums import are_among, beat_sums
from omi_keras.data.dataset import Dataset
from omi_keras.data.identities import one_form
from omi_keras.evaluation.bands import RULE_IN_PPV, RULE_OUT_SENSITIVITY
from omi_keras.evaluation.cross_fitting import cannot_know, recalibration
from omi_keras.models.answers import log_odds
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.models.known_ecgs import BEAT, known_ecgs, known_sums
from omi_keras.models.read_out import folded, kept_read_outs
from omi_keras.recordings.errors import InputError

# Fewest patients of either class: one to be judged by what the other decided.
FEWEST_PATIENTS = 2
_NAMED = 3


def recalibrated(
    model: Any,
    dataset: Dataset,
    *,
    sensitivity: float = RULE_OUT_SENSITIVITY,
    ppv: float = RULE_IN_PPV,
    guaranteed: bool = False,
    other_patients: bool = False,
    seed: int = 0,
) -> tuple[dict[str, Any], pd.DataFrame, Any]:
    """``model.json``, ``folds.csv`` and the network or forest of a model for the patients of a dataset.

    Parameters
    ----------
    model
        The :class:`omi_keras.Model` as it is; it may have been recalibrated before, elsewhere.
    dataset
        Local ECGs; those without a label are left out.
    sensitivity, ppv, guaranteed
        Targets of the bands, as :func:`omi_keras.evaluation.bands.find_bands`.
    other_patients
        Equal ids name other people and other ECGs than those that the model was made with, as two hospitals' own
        numbers do.
    seed
        Divides the patients for cross-fitting.

    Raises
    ------
    InputError
        When ECGs of the dataset, or others of their patients, trained or validated the model; when one class has fewer
        than two patients; when the model gives OMI no higher probabilities than the others have.
    """
    info, before = model.info, model.info.get("calibration")
    rows = _local_ecgs(model, dataset, other_patients)
    ecgs, fingerprint = dataset.ecgs.iloc[rows], dataset.fingerprint()
    odds = log_odds(model.name, model.as_trained, dataset.beats, model.contract, rows)
    if not np.isfinite(odds).all():
        raise InputError(f"{model} gives no probability for some of the ECGs: its weights are damaged", "not_finite")
    # What is fitted is what the model as it is says too much or too little.
    said = odds if before is None else before["slope"] * odds + before["intercept"]
    found = recalibration(
        ecgs["omi"].to_numpy(int), said, ecgs["patient_id"].to_numpy(str),
        sensitivity=sensitivity, ppv=ppv, guaranteed=guaranteed, seed=seed,
    )  # fmt: skip
    simulated = {"trained_on_simulated": model.simulated, "local_simulated": dataset.simulated}
    calibration = found["calibration"]
    if before is not None:
        calibration["intercept"] += calibration["slope"] * before["intercept"]
        calibration["slope"] *= before["slope"]
    calibration |= {
        "simulated": dataset.simulated,
        "dataset": str(dataset.path or ""),
        "dataset_sha256": fingerprint,
        "before": _before(model),
        "cannot_know": cannot_know(found, **simulated),
    }
    network = model.as_trained
    if model.name != RANDOM_FOREST:
        calibration["read_out"] = kept_read_outs(network)
        network = folded(network, calibration["slope"], calibration["intercept"])
    local = ecgs[["ecg_id", "patient_id"]].assign(**{BEAT: beat_sums(dataset.beats[row] for row in rows)})
    folds, number = _with_local(model.folds, local, fingerprint["ecgs.csv"])
    # What was measured at the old threshold.
    kept = {name: value for name, value in info.items() if name not in ("intervals", "subgroups", "judged")}
    new = {**kept, **found, "simulated": any(simulated.values())}
    new["recalibration_folds"] = [*info.get("recalibration_folds", ()), number]
    return new, folds, network


def _before(model: Any) -> dict[str, Any]:
    """What the model was, for the one that comes of it."""
    found = {name: model.info.get(name) for name in ("threshold", "bands", "metrics")}
    if (calibration := model.info.get("calibration")) is not None:
        found["calibration"] = {name: value for name, value in calibration.items() if name != "read_out"}
    if model.path is not None:
        found["model_json_sha256"] = sha256(Path(model.path) / "model.json")
        found["weights_sha256"] = sha256(model.weights)
    return found


def _local_ecgs(model: Any, dataset: Dataset, other_patients: bool) -> np.ndarray:
    """Rows of ``dataset`` that have a label, once it is certain that they did not make the model."""
    rows = dataset.labelled()
    ecgs = dataset.ecgs.iloc[rows]
    place = str(dataset.path or "the dataset")
    if model.folds is not None:
        known = known_ecgs(model.info, model.folds)
        people = np.array([one_form(str(name)) for name in ecgs["patient_id"]], dtype=str)
        # Equal beats are one ECG, whatever their ids are.
        same = are_among((dataset.beats[row] for row in rows), known_sums(model.info, model.folds)[0])
        if not other_patients:
            same = same | ecgs["ecg_id"].isin(set(known["ecg_id"])).to_numpy()
            same = same | np.isin(people, [one_form(str(name)) for name in known["patient_id"]])
        same = same | np.isin(people, people[same])
        if same.any():
            names = ", ".join(ecgs["ecg_id"][same][:_NAMED]) + (" ..." if same.sum() > _NAMED else "")
            other = "" if other_patients else ", or, if equal ids name other people, add --other-patients"
            raise InputError(
                f"{model} was trained or validated on {same.sum()} of the {len(rows)} labelled ECGs of {place}, or on "
                f"other ECGs of their patients ({names}): its probabilities are too good on these; leave them out"
                f"{other}",
                "known_ecgs",
            )
    omi = ecgs["omi"].to_numpy(int)
    patients = [ecgs["patient_id"][omi == label].map(lambda name: one_form(str(name))).nunique() for label in (0, 1)]
    if min(patients) < FEWEST_PATIENTS:
        raise InputError(
            f"{place} has {patients[1]} patients with OMI and {patients[0]} without, and recalibrating takes at least "
            f"{FEWEST_PATIENTS} of each; add recordings",
            "one_class",
        )
    return rows


def _with_local(folds: pd.DataFrame | None, local: pd.DataFrame, sha256: str) -> tuple[pd.DataFrame, int]:
    """``folds.csv`` with the local ECGs in a fold of their own, and its number: they must not judge the model later.

    A local ECG that has the id of another one is named by its dataset, too.
    """
    if folds is None:
        return local.assign(fold=0)[["ecg_id", "patient_id", "fold", BEAT]].reset_index(drop=True), 0
    number = int(folds["fold"].max()) + 1
    taken = set(folds["ecg_id"])
    names = local["ecg_id"].where(~local["ecg_id"].isin(taken), local["ecg_id"] + f"@{sha256[:12]}")
    local = local.assign(ecg_id=names, fold=number)[~names.isin(taken)]
    before = folds if BEAT in folds else folds.assign(**{BEAT: ""})
    both = pd.concat([before, local], ignore_index=True)
    # Columns that only a run has say nothing of local ECGs.
    others = [name for name in before.columns if name not in local]
    both[others] = both[others].fillna("")
    return both, number
