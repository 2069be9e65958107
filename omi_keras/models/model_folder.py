"""A model folder: weights, what they are, what goes in and comes out, and how well it did.

    model/
      model.keras  weights of a network, or model.skops: a random forest
      model.json   architecture, input contract, threshold, metrics, provenance
      folds.csv    ecg_id, patient_id, fold, beat (a checksum): which ECGs it was trained, validated and tested
                   on, and recalibrated by; an imported model has none
      MODEL_CARD.md  the same for people, written from model.json; in no list of checksums, as its licence is for
                   whoever shares the model to state, there or as "licence" in model.json before it is saved again

Only weights are read from ``model.keras``: the architecture is built by this package from its name, so a model
file cannot bring code.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omi_keras.beats.contracts import CONTRACT, CONTRACTS, input_details, input_shape
from omi_keras.data import tables
from omi_keras.data.artifacts import FieldKind, plain, read_json, sha256, versions, write_bytes, write_json
from omi_keras.data.beat_sums import beat_sum
from omi_keras.data.tables import read_table
from omi_keras.models.archive import save_network, saved_layers
from omi_keras.models.backend import load_backend
from omi_keras.models.catalogue import MODELS, RANDOM_FOREST, build
from omi_keras.models.ensemble import build_ensemble, members_in
from omi_keras.models.known_ecgs import BEAT
from omi_keras.models.model_card import CARD, model_card
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.numbers import are_bands, is_count, is_number, is_probability

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from omi_keras.models.random_forest import RandomForest

# 2: the input contract is a property of the model, and there are bands. Who knows version 1 alone would hand a network
# of another contract the wrong input.
FORMAT_VERSION = 2
FIELDS: dict[str, FieldKind] = {
    "model": str,
    "simulated": bool,
    "threshold": is_probability,
    "metrics": dict,
    "provenance": dict,
    "sha256": dict,
}
# What a model that was trained here has besides.
TRAINED_FIELDS: dict[str, FieldKind] = {
    "validation_fold": is_count,
    "test_fold": is_count,
    "provenance.dataset_sha256": dict,
}
# What a model has that was recalibrated.
CALIBRATED_FIELDS: dict[str, FieldKind] = {
    "calibration.slope": lambda value: is_number(value) and value > 0,
    "calibration.intercept": is_number,
    "calibration.dataset_sha256": dict,
    "recalibration_folds": lambda value: isinstance(value, list) and all(map(is_count, value)),
}
# The same of an ensemble, whose members have seen every ECG.
ENSEMBLE_FIELDS: dict[str, FieldKind] = {"provenance.dataset_sha256": dict}
# As many as a run can have folds.
MOST_MEMBERS = 100
# What a model folder of version 1 does not say.
_SINCE_2: dict[str, Any] = {"input": CONTRACT, "bands": None, "calibration": None, "members": 1, "licence": None}


def weights_name(model: str) -> str:
    """``model.keras`` for a network, ``model.skops`` for a random forest."""
    return "model.skops" if model == RANDOM_FOREST else "model.keras"


def load_weights(name: str, path: Path, contract: str = CONTRACT, members: int = 1) -> keras.Model:
    """Build the model ``name`` for an input contract and read its weights from a ``.keras`` file.

    With several ``members`` it is :func:`omi_keras.models.ensemble.build_ensemble`'s.

    Raises
    ------
    InputError
        When the file is missing or does not hold this model's weights, for this contract and of so many members.
    """
    if not path.is_file():
        raise InputError(f"{path} not found", "not_found")
    _refuse_others(path, input_shape(contract), contract, members)
    model = build(name, contract=contract) if members == 1 else build_ensemble(name, members, contract)
    try:
        model.load_weights(path)
    except Exception as error:  # Keras raises whatever its zip and HDF5 readers raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} does not hold the weights of {name}: {first}", "unreadable") from None
    if not all(np.isfinite(weights).all() for weights in model.get_weights()):
        raise InputError(f"{path} holds weights that are no finite numbers; make it again", "not_finite")
    return model


def _refuse_others(path: Path, shape: tuple[int, int, int], contract: str, members: int) -> None:
    """Raise InputError when the file says that its network takes another input, or has other members.

    The weights alone do not tell: they fit any length of the input.
    """
    try:
        layers = saved_layers(path)
        inputs = [layer["config"]["batch_shape"][1:] for layer in layers if layer["class_name"] == "InputLayer"]
        found = members_in(str(layer["config"].get("name")) for layer in layers)
    except Exception as error:  # a damaged ZIP file, or JSON of anything
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} does not hold the weights of a network: {first}", "unreadable") from None
    if inputs != [list(shape)]:
        raise InputError(
            f"{path} holds a network that takes {_samples(inputs)} samples a lead, and the input contract {contract} "
            f"has {shape[1]}: one of the two was altered; make the model folder again",
            "altered",
        )
    if found != members:
        raise InputError(
            f"{path} holds {found} network{'s' * (found > 1)}, and {members} {'were' if members > 1 else 'was'} "
            "expected: one of the two was altered; make the model folder again",
            "altered",
        )


def _samples(inputs: list[Any]) -> str:
    known = len(inputs) == 1 and isinstance(inputs[0], list) and len(inputs[0]) == 3
    return str(inputs[0][1])[:10] if known else "other"


def write_weights(folder: Path, name: str, what: Path | keras.Model | RandomForest) -> Path:
    """Write the file that holds a model, of a network or forest in memory or as a copy of one; return its path."""
    file = folder / weights_name(name)
    if isinstance(what, Path):
        shutil.copyfile(what, file)
    elif name == RANDOM_FOREST:
        from omi_keras.models.random_forest import save_forest

        save_forest(file, what)
    else:
        save_network(file, what)
    return file


def write_model_info(folder: Path, info: dict[str, Any]) -> None:
    """Write ``model.json`` and ``MODEL_CARD.md`` beside the other files of a folder that is being made.

    Raises
    ------
    InputError
        When the threshold or a band is none, or the input contract is not known: what would be refused when it is read
        is not written.
    """
    info = _SINCE_2 | info
    threshold, bands = info["threshold"], info["bands"]
    if not is_probability(threshold):
        raise InputError(f"a threshold is a number from 0 to 1, found {str(threshold)[:40]}", "bad_threshold")
    if not are_bands(bands):
        raise InputError(f"bands are two numbers from 0 to 1 in order, or none, found {str(bands)[:80]}", "bad_bands")
    content = {
        **info,
        "format_version": FORMAT_VERSION,
        "kind": "model",
        "input_details": input_details(info["input"]),
        "versions": versions(),
        "sha256": {file.name: sha256(file) for file in sorted(folder.iterdir()) if file.name != CARD},
    }
    write_json(folder / "model.json", content)
    write_bytes(folder / CARD, model_card(plain(content)).encode())


def read_model_folder(path: Path) -> tuple[dict[str, Any], pd.DataFrame | None, Path]:
    """``model.json``, ``folds.csv`` if there is one, and the file that holds the model, all of them verified.

    Raises
    ------
    InputError
        When something is missing, altered, or of a newer format version.
    """
    info = read_json(path / "model.json", "a model folder", FORMAT_VERSION, FIELDS)
    if info["format_version"] == 1:
        info |= _SINCE_2
    name, sums = info["model"], info["sha256"]
    if name not in MODELS:
        raise InputError(f"{path / 'model.json'}: unknown model {name!r}", "unknown_model")
    if info.get("input") not in CONTRACTS:
        raise InputError(
            f"{path / 'model.json'}: input contract {str(info.get('input'))[:40]!r} is not known; there are "
            f"{' and '.join(CONTRACTS)}",
            "contract",
        )
    if not are_bands(info.get("bands")):
        raise InputError(f"{path / 'model.json'} has no good bands; make the model folder again", "bad_bands")
    members = info.setdefault("members", 1)
    if not (is_count(members) and 1 <= members <= MOST_MEMBERS):
        raise InputError(f"{path / 'model.json'} has no good number of members; make the model folder again", "altered")
    for file in {weights_name(name), *sums}:
        if not _is_name(file) or not (path / file).is_file() or sha256(path / file) != sums.get(file):
            raise InputError(f"{path / file} is missing or was altered; make the model folder again", "altered")
    if info.get("calibration") is not None:
        read_json(path / "model.json", "a model folder", FORMAT_VERSION, CALIBRATED_FIELDS)
    folds = None
    if "folds.csv" in sums:
        # An imported one has a folds.csv once it is recalibrated: of those ECGs alone.
        imported = "imported_from" in info["provenance"]
        if not imported:
            fields = TRAINED_FIELDS if members == 1 else ENSEMBLE_FIELDS
            read_json(path / "model.json", "a model folder", FORMAT_VERSION, fields)
        kinds = {"ecg_id": tables.name, "patient_id": tables.name, "fold": tables.whole}
        folds = read_table(path / "folds.csv", kinds, "make the model folder again")
        if folds["ecg_id"].duplicated().any():
            raise InputError(f"{path / 'folds.csv'} names an ECG twice; make the model folder again", "altered")
        if BEAT in folds and not beat_sum(folds[BEAT])[1].all():
            raise InputError(
                f"{path / 'folds.csv'}: {BEAT} must be {beat_sum.__doc__}; make the model folder again", "altered"
            )
        judged = set() if imported or members > 1 else {info["validation_fold"], info["test_fold"]}
        if not judged <= set(folds["fold"]):
            raise InputError(
                f"{path / 'folds.csv'} lacks the model's validation or test ECGs; make the model folder again",
                "altered",
            )
    return info, folds, path / weights_name(name)


def _is_name(file: str) -> bool:
    """Whether this names a file in the folder itself."""
    return file not in ("", ".", "..") and not set(file) & set("/\\\0")


def load_any(name: str, path: Path, contract: str = CONTRACT, members: int = 1) -> keras.Model | RandomForest:
    """The network, or the forest, that a file holds."""
    if name == RANDOM_FOREST:
        from omi_keras.models.random_forest import load_forest

        return load_forest(path)
    load_backend()
    return load_weights(name, path, contract, members)
