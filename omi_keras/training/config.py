"""``config.json`` of a run: what its results depend on, and what tells it from other runs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from omi_keras.data.artifacts import FieldKind, plain, read_json
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.numbers import is_count
from omi_keras.training.protocol import Protocol, younger_defaults
from omi_keras.training.splits import Split, good_folds

# 1 is of before a column could divide a run.
CONFIG_VERSION = 2
CONFIG_FIELDS: dict[str, FieldKind] = {"model": str, "simulated": bool, "n_folds": is_count, "dataset_sha256": dict}
# What decides besides the protocol.
_OF_DATA = ("n_folds", "dataset_sha256", "split_column", "leave_out", "first_ecg_only")
# What a forest's result depends on; the other settings are those of networks.
_OF_FORESTS = ("model", "seed", "training_fraction", *_OF_DATA)
# What a run may be too old to have written down, and what it was.
DEFAULTS = younger_defaults() | {name: value for name, value in Split().settings().items() if name != "n_folds"}


def read_config(run: Path) -> dict[str, Any]:
    """``config.json`` of a run.

    Raises
    ------
    InputError
        When it is missing, altered or of a newer format version.
    """
    config = read_json(run / "config.json", "a run", CONFIG_VERSION, CONFIG_FIELDS)
    if not good_folds(config):
        which = "n_folds, or of the column that divides the ECGs"
        raise InputError(f"{run / 'config.json'} lacks a good value of {which}; make a run again", "altered")
    return config


def deciding(config: dict[str, Any]) -> dict[str, Any]:
    """What a fold's result depends on, from ``config.json``. A setting that is younger than the run had its default."""
    names = [*(field.name for field in fields(Protocol)), *_OF_DATA]
    given = DEFAULTS | config
    return {
        name: given[name]
        for name in names
        if name in given and (config.get("model") != RANDOM_FOREST or name in _OF_FORESTS)
    }


def run_id(config: dict[str, Any]) -> str:
    """What tells a run's checkpoints and folds from another run's: the SHA-256 of all that decides its results."""
    # Without defaults, so that a setting of a later version leaves the names of older runs as they are.
    decides = {name: value for name, value in deciding(config).items() if value != DEFAULTS.get(name, MISSING)}
    return hashlib.sha256(json.dumps(plain(decides), sort_keys=True).encode()).hexdigest()
