"""Training that goes on from a finished model (fine-tuning): may it, does it know who will be tested, and its weights.

The model is copied into the run, as ``run/start``: whoever trains a fold, here or on a cluster, finds it there, and
what it was trained on is known to the models that come of the run.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from omi_keras.data.artifacts import sha256
from omi_keras.data.beat_sums import are_among
from omi_keras.data.dataset import Dataset
from omi_keras.data.identities import one_form
from omi_keras.model import Model
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.models.known_ecgs import BEAT, known_ecgs, known_sums
from omi_keras.models.model_folder import load_weights, read_model_folder
from omi_keras.recordings.errors import InputError
from omi_keras.training.protocol import Protocol
from omi_keras.training.splits import Split

# Puts parameters into a new network (a keras.Model).
Start = Callable[[Any], None]
START_FOLDER = "start"
_NAMED = 3


def open_start(start: str | Path | Model) -> Model:
    """The model that training goes on from; its network is not built before somebody asks for it.

    Raises
    ------
    InputError
        When it is no model folder, or something in it is missing or altered.
    """
    if isinstance(start, Model):
        return start
    info, folds, weights = read_model_folder(Path(start))
    return Model(info, folds, weights=weights, path=Path(start))


def refuse_start(start: Model, model: str, contract: str, imagenet_weights: Path | None) -> None:
    """Raise InputError when training of ``model`` on this input contract cannot go on from ``start``."""
    if model == RANDOM_FOREST:
        raise InputError("a random forest grows anew and cannot go on from a model; leave --start out", "start")
    if start.name != model:
        raise InputError(
            f"{start} is a {start.name}, and a {model} cannot go on from it; train a {start.name}, or give another "
            "--start",
            "start",
        )
    if start.members > 1:
        raise InputError(
            f"{start} is an ensemble of {start.members} networks, and one network is trained; go on from one of its "
            "folds (select without --ensemble)",
            "start",
        )
    if start.contract != contract:
        raise InputError(
            f"{start} takes {start.contract}, and was not made for the input contract {contract}; train with "
            f"{start.contract}, or give another --start",
            "start",
        )
    if imagenet_weights is not None:
        raise InputError("training starts from ImageNet weights or from a model; give one of the two", "start")


def refuse_known(
    start: Model, dataset: Dataset, folds: pd.DataFrame, split: Split, rounds: Sequence[int], *, other_patients: bool
) -> None:
    """Raise InputError when ``start`` was trained or validated on who validates or is tested in one of the rounds.

    Parameters
    ----------
    folds, split
        The run's ``folds.csv``, which has the labelled ECGs of ``dataset`` in their order, and how it is divided.
    other_patients
        Equal ids name other people, unless ``start`` is of the same dataset. Equal median beats are equal all the same.
    """
    if start.folds is None:
        return
    same = start.info["provenance"].get("dataset_sha256") == dataset.fingerprint()
    parts = [split.parts(folds, number) for number in rounds]
    judged = np.any([part[name] for part in parts for name in ("validation", "test")], axis=0)
    found, rows = folds[judged], dataset.labelled()[judged]
    by_name = same or not other_patients
    known = known_ecgs(start.info, start.folds)
    people = {one_form(str(name)) for name in known["patient_id"]} if by_name else set()
    sums, _ = known_sums(start.info, start.folds)
    signs = {
        "patient_id": found["patient_id"].map(lambda name: one_form(str(name)) in people).to_numpy(bool),
        "ecg_id": found["ecg_id"].isin(set(known["ecg_id"]) if by_name else ()).to_numpy(bool),
        "median beat": are_among((dataset.beats[row] for row in rows), sums),
    }
    for sign, of in signs.items():
        if not of.any():
            continue
        what, column = ("patient", "patient_id") if sign == "patient_id" else ("ECG", "ecg_id")
        names = list(dict.fromkeys(found.loc[of, column].astype(str)))
        shown = ", ".join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")
        flag = "" if same or sign == "median beat" else ", or, if equal ids name other people, add --other-patients"
        raise InputError(
            f"{len(names)} {what}{'s' * (len(names) > 1)} of the validation or test part ({shown}), known by the "
            f"{sign}, trained or validated {start}: its successor would be judged on what it has learned; divide the "
            f"ECGs so that they train (--split-column), or give another --start{flag}",
            "known_ecgs",
        )


def keep_start(start: Model, run: Path) -> None:
    """Copy the model into a run that is being made."""
    # Its own place stays the one that the user knows.
    copy.copy(start).save(run / START_FOLDER)


def start_of(run: Path, protocol: Protocol) -> Start:
    """What puts the weights that a run goes on from into a new network.

    Raises
    ------
    InputError
        When the model in the run is missing or another one.
    """
    _, _, weights = read_model_folder(run / START_FOLDER)
    if sha256(weights) != protocol.start_sha256:
        raise InputError(
            f"{run / START_FOLDER} is not the model that {run} was started from; start another run", "other_settings"
        )
    values = load_weights(protocol.model, weights, protocol.input).get_weights()
    return lambda network: network.set_weights(values)


def with_known(folds: pd.DataFrame, run: Path) -> pd.DataFrame:
    """``folds.csv`` of a model, and in a fold of their own the ECGs that trained or validated what it started from.

    Who judges the model later learns from them whom it knows.
    """
    if not (run / START_FOLDER).is_dir():
        return folds
    info, before, weights = read_model_folder(run / START_FOLDER)
    if before is None:
        return folds
    known = known_ecgs(info, before)
    signs = [name for name in ("ecg_id", "patient_id", BEAT) if name in folds and name in known]
    same = pd.MultiIndex.from_frame(known[signs]).isin(pd.MultiIndex.from_frame(folds[signs]))
    # An ECG that has the id of another one is named by its model, too.
    free = ~known["ecg_id"].isin(set(folds["ecg_id"]))
    names = known["ecg_id"].where(free, known["ecg_id"] + f"@{sha256(weights)[:12]}")
    known = known.assign(ecg_id=names, fold=folds["fold"].max() + 1)[~same]
    # Of the other columns those that are the run's, too.
    found = pd.concat([folds, known], ignore_index=True)[list(folds.columns)]
    return found.fillna(dict.fromkeys(found.columns.difference(["fold"]), ""))
