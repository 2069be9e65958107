"""The run folder: what cross-validation leaves behind, and reading it back.

run/
  config.json  model, protocol, dataset, seed, versions
  folds.csv    ecg_id, patient_id, fold
  fold-00/ …   model.keras, history.csv, predictions.csv, metrics.json; of a random forest model.skops and
               importances.csv
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from omi_keras.data import tables
from omi_keras.data.artifacts import FieldKind, read_json, write_bytes
from omi_keras.data.folds import FEWEST_FOLDS
from omi_keras.data.tables import read_table
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.numbers import is_count, is_number, is_probability

FORMAT_VERSION = 1
MOST_FOLDS = 100  # two digits in the names of their folders
CONFIG_FIELDS: dict[str, FieldKind] = {
    "model": str,
    "simulated": bool,
    "n_folds": lambda value: is_count(value) and FEWEST_FOLDS <= value <= MOST_FOLDS,
    "dataset_sha256": dict,
}
METRICS_FIELDS: dict[str, FieldKind] = {
    "validation.score": is_number,
    "test.score": is_number,
    "threshold": is_probability,
    "best_epoch": is_count,
}
# Features of all beats while the forests of a run grow.
FEATURES_FILE = ".features.npy"
HISTORY_COLUMNS = ("epoch", "loss", "val_loss", "val_auc", "val_ap", "val_score", "learning_rate")


def fold_folder(run: Path, fold: int) -> Path:
    """``run/fold-03`` for fold 3."""
    return run / f"fold-{fold:02d}"


def partial_folder(run: Path, fold: int) -> Path:
    """Where an unfinished fold lives; its last act is to take the name of a finished one."""
    return run / f".fold-{fold:02d}.partial"


def write_history(folder: Path, rows: list[dict[str, float]]) -> None:
    """Write ``history.csv``: the fixed columns first, whatever else a model has to tell after them."""
    history = pd.DataFrame(rows)
    further = [column for column in history.columns if column not in HISTORY_COLUMNS]
    write_table(folder / "history.csv", history[[*HISTORY_COLUMNS, *further]])


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file, the same bytes on every system."""
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


@dataclass(frozen=True)
class FoldResult:
    """One finished fold of a run."""

    fold: int
    path: Path
    metrics: dict[str, Any]
    history: pd.DataFrame
    predictions: pd.DataFrame

    def split(self, name: str) -> pd.DataFrame:
        """Predictions of ``validation`` or ``test``: ecg_id, split, omi, probability."""
        return self.predictions[self.predictions["split"] == name]

    def score(self, split: str) -> float:
        """⅔ AUC + ⅓ AP on ``validation`` or ``test``."""
        return float(self.metrics[split]["score"])


@dataclass(frozen=True)
class Run:
    """A run folder with at least one finished fold."""

    path: Path
    config: dict[str, Any]
    folds: pd.DataFrame
    results: list[FoldResult]

    @property
    def model(self) -> str:
        """Name of the model that was trained."""
        return str(self.config["model"])

    @property
    def has_epochs(self) -> bool:
        """Whether ``history.csv`` counts epochs (networks) and not candidates (random forest)."""
        return self.model != RANDOM_FOREST

    @property
    def simulated(self) -> bool:
        """Whether the ECGs were simulated."""
        return bool(self.config["simulated"])

    def best(self, split: str) -> FoldResult:
        """The fold with the highest score on ``validation`` or ``test``; of equals, the first."""
        return max(self.results, key=lambda result: result.score(split))

    def patient_ids(self, ecg_ids: pd.Series) -> pd.Series:
        """Patient of each ECG."""
        return ecg_ids.map(self.folds.set_index("ecg_id")["patient_id"])


def load_run(path: Path) -> Run:
    """Read a run folder.

    Raises
    ------
    InputError
        When it is not a run, or no fold of it is finished.
    """
    config = read_json(path / "config.json", "a run", FORMAT_VERSION, CONFIG_FIELDS)
    results = [_load_fold(folder) for folder in sorted(path.glob("fold-[0-9][0-9]"))]
    if not results:
        raise InputError(f"{path} has no finished fold yet; continue it with: omi-keras train ... --resume", "empty")
    folds = read_folds(path / "folds.csv")
    fold = max(int(folds["fold"].max()) if len(folds) else 0, results[-1].fold)
    if fold >= config["n_folds"]:
        raise InputError(
            f"{path} has a fold {fold} and {config['n_folds']} folds; it was altered, train again", "altered"
        )
    return Run(path, config, folds, results)


def read_folds(path: Path) -> pd.DataFrame:
    """Read ``folds.csv``."""
    folds = read_table(path, {"ecg_id": tables.name, "patient_id": tables.name, "fold": tables.whole}, "train again")
    if folds["ecg_id"].duplicated().any():
        raise InputError(f"{path} names an ECG twice; it was altered, train again", "altered")
    return folds


def _load_fold(folder: Path) -> FoldResult:
    metrics = read_json(folder / "metrics.json", "a finished fold", FORMAT_VERSION, METRICS_FIELDS)
    again = "train this fold again"
    history = read_table(folder / "history.csv", {"epoch": tables.whole}, again, rest=tables.number)
    kinds = {"ecg_id": tables.name, "split": tables.split, "omi": tables.label}
    kinds |= {"probability": tables.probability}
    predictions = read_table(folder / "predictions.csv", kinds, again)
    if predictions.duplicated(["ecg_id", "split"]).any():
        raise InputError(f"{folder / 'predictions.csv'} names an ECG twice; it was altered, {again}", "altered")
    return FoldResult(int(folder.name[-2:]), folder, metrics, history, predictions)
