"""A model folder: weights, what they are, what goes in and comes out, and how well it did.

    model/
      model.keras  weights
      model.json   architecture, input contract, threshold, metrics, provenance
      folds.csv    ecg_id, patient_id, fold: which ECGs it was trained, validated and tested on

Only weights are read from ``model.keras``: the architecture is built by this package from its name, so a model
file cannot bring code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from omi_keras.data.artifacts import read_json, sha256, versions, write_json
from omi_keras.models.catalogue import LEARNING_RATES, build
from omi_keras.signal.errors import InputError
from omi_keras.signal.record import LEADS, SAMPLING_RATE

if TYPE_CHECKING:
    import keras

FORMAT_VERSION = 1
FIELDS = {
    "model": str,
    "simulated": bool,
    "threshold": float,
    "metrics": dict,
    "validation_fold": int,
    "test_fold": int,
    "provenance.dataset_sha256": dict,
    "sha256": dict,
}
FILES = ("model.keras", "folds.csv")
INPUT_CONTRACT: dict[str, Any] = {
    "shape": [12, 400, 1],
    "dtype": "float32",
    "leads": list(LEADS),
    "sampling_rate": SAMPLING_RATE,
    "window": "samples 150 to 549 of the 600-sample median beat in mV, R peak at sample 300",
    "normalisation": "z-score per lead, a flat lead becomes zeros",
    "output": "2 logits: no OMI, OMI; P(OMI) = softmax[1]",
}


@dataclass(frozen=True)
class ModelFolder:
    """A trained model and what belongs to it."""

    path: Path
    model: keras.Model
    info: dict[str, Any]
    folds: pd.DataFrame

    @property
    def threshold(self) -> float:
        """Operating point: OMI when P(OMI) ≥ threshold."""
        return float(self.info["threshold"])


def load_weights(name: str, path: Path) -> keras.Model:
    """Build the model ``name`` and read its weights from a ``.keras`` file.

    Raises
    ------
    InputError
        When the file is missing or does not hold this model's weights.
    """
    if not path.is_file():
        raise InputError(f"{path} not found", "not_found")
    model = build(name)
    try:
        model.load_weights(path)
    except Exception as error:  # Keras raises whatever its zip and HDF5 readers raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} does not hold the weights of {name}: {first}", "unreadable") from None
    return model


def write_model_info(folder: Path, info: dict[str, Any]) -> None:
    """Write ``model.json`` beside ``model.keras`` in a folder that is being made."""
    write_json(
        folder / "model.json",
        {
            "format_version": FORMAT_VERSION,
            "kind": "model",
            **info,
            "input": INPUT_CONTRACT,
            "versions": versions(),
            "sha256": {name: sha256(folder / name) for name in FILES},
        },
    )


def load_model_folder(path: Path) -> ModelFolder:
    """Open a model folder.

    Raises
    ------
    InputError
        When something is missing, altered, or of a newer format version.
    """
    info = read_json(path / "model.json", "a model folder", FORMAT_VERSION, FIELDS)
    for name in FILES:
        if not (path / name).is_file() or sha256(path / name) != info["sha256"].get(name):
            raise InputError(f"{path / name} is missing or was altered; select the model again", "altered")
    if info.get("model") not in LEARNING_RATES:
        raise InputError(f"{path / 'model.json'}: unknown model {info.get('model')!r}", "unknown_model")
    folds = pd.read_csv(
        path / "folds.csv", dtype={"ecg_id": str, "patient_id": str, "fold": int}, keep_default_na=False
    )
    return ModelFolder(path, load_weights(info["model"], path / "model.keras"), info, folds)
