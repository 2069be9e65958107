"""A model remembers the beats that it is made with, so that nobody judges it by them under other names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from omi_keras.data.beat_sums import beat_sums
from omi_keras.data.dataset import Dataset, load_dataset
from omi_keras.models.known_ecgs import BEAT
from omi_keras.recordings.errors import InputError
from omi_keras.training.run import dataset_path


def dataset_at_hand(run: Path, config: dict[str, Any]) -> Dataset | None:
    """The dataset that a run was trained on, or None where it is gone or another one."""
    try:
        dataset = load_dataset(dataset_path(run, config))
    except InputError:
        return None
    return dataset if dataset.fingerprint() == config["dataset_sha256"] else None


def with_beat_sums(folds: pd.DataFrame, run: Path, config: dict[str, Any]) -> pd.DataFrame:
    """Return ``folds.csv`` with the checksum of each ECG's beat, or as it is where the run's dataset is not at hand.

    Parameters
    ----------
    folds
        ``ecg_id, patient_id, fold`` and whatever else; what has a checksum already keeps it.
    run, config
        The run's folder, and its ``config.json``.
    """
    if (dataset := dataset_at_hand(run, config)) is None:
        return folds
    place = dataset.ecgs["ecg_id"].reset_index().set_index("ecg_id")["index"]
    rows = folds["ecg_id"].map(place)
    there = rows.notna()
    sums = pd.Series("", folds.index) if BEAT not in folds else folds[BEAT].fillna("")
    wanted = there & (sums == "")
    sums[wanted] = beat_sums(dataset.beats[row] for row in rows[wanted].to_numpy(int))
    return folds.assign(**{BEAT: sums})
