"""The run folder: what cross-validation leaves behind, and reading it back.

run/
  config.json  model, protocol, dataset (its path, and its path from the run), how it is divided, seed, versions
  folds.csv    ecg_id, patient_id, fold; of runs that a column divides its value (:mod:`omi_keras.training.splits`)
  fold-00/ …   model.keras, history.csv, predictions.csv, metrics.json; of a random forest model.skops and
               importances.csv
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from omi_keras.data import tables
from omi_keras.data.artifacts import FieldKind, read_json, write_bytes
from omi_keras.data.tables import read_table
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.numbers import is_count, is_number, is_probability
from omi_keras.training.config import read_config, run_id
from omi_keras.training.splits import Split

if TYPE_CHECKING:
    from omi_keras.model import Model
    from omi_keras.report.findings import Findings

FORMAT_VERSION = 1
METRICS_FIELDS: dict[str, FieldKind] = {
    "validation.score": is_number,
    "test.score": is_number,
    "threshold": is_probability,
    "best_epoch": is_count,
}
# Features of all beats while the forests of a run grow.
FEATURES_FILE, PARTIAL_FEATURES_FILE, FEATURES_LOCK = ".features.npy", ".features.partial.npy", ".features.lock"
HISTORY_COLUMNS = ("epoch", "loss", "val_loss", "val_auc", "val_ap", "val_score", "learning_rate")


def where_dataset_is(dataset: Path, run: Path) -> dict[str, str | None]:
    """The dataset's place for ``config.json``: its path, and its path from ``run`` where there is one."""
    try:
        beside = os.path.relpath(dataset.absolute(), run.absolute())
    except ValueError:  # on another drive
        beside = None
    return {"dataset": str(dataset.absolute()), "dataset_from_run": beside}


def dataset_path(run: Path, config: dict[str, Any]) -> Path:
    """Where the dataset of a run is now: where it was, or where it is if both were moved together.

    Parameters
    ----------
    run
        The run's folder.
    config
        Its ``config.json``. Runs of omi-keras 0.1.0 have the path as it was typed.

    Returns
    -------
    The place with the run's own dataset; without one, the place where it was.
    """
    was = Path(str(config.get("dataset", "")))
    beside = config.get("dataset_from_run")
    # A path that was typed, beside the run, is most often right as well.
    places = [was, *(run.absolute() / beside, run.resolve() / beside)] if isinstance(beside, str) else [was]
    if not isinstance(beside, str) and not was.is_absolute():
        places.append(run.absolute().parent / was)
    places = [Path(os.path.normpath(place)) for place in places]
    return next((place for place in places if _is_dataset(place, config)), places[0])


def _is_dataset(place: Path, config: dict[str, Any]) -> bool:
    try:
        sums = json.loads((place / "dataset.json").read_text(encoding="utf-8"))["sha256"]
        return all(sums[name] == value for name, value in config["dataset_sha256"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def wanted_folds(config: dict[str, Any]) -> list[int]:
    """The folds that somebody has asked for (``--folds``), from ``config.json``; all of them where it does not say."""
    every, noted = list(Split.of(config).rounds), config.get("folds")
    return [fold for fold in every if fold in noted] if isinstance(noted, list) and noted else every


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
    """A run folder with at least one finished fold.

    Attributes
    ----------
    path
        The folder.
    config
        Content of ``config.json``.
    folds
        ``ecg_id, patient_id, fold`` of every labelled ECG, and what :mod:`omi_keras.training.splits` adds.
    results
        The finished folds, ascending.

    Examples
    --------
    >>> import omi_keras as omi
    >>> run = omi.load_run(run_folder)
    >>> best = run.best("validation")
    >>> run.select().threshold == best.metrics["threshold"]
    True
    >>> run.evaluate().tables["table5"]["split"].tolist()
    ['validation', 'test']
    """

    path: Path
    config: dict[str, Any]
    folds: pd.DataFrame
    results: list[FoldResult]

    @property
    def model(self) -> str:
        """Name of the model that was trained."""
        return str(self.config["model"])

    @property
    def split(self) -> Split:
        """How its ECGs are divided."""
        return Split.of(self.config)

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

    def select(self, by: Literal["validation", "test"] = "validation") -> Model:
        """The model of its best fold (:func:`omi_keras.training.select_model`)."""
        from omi_keras.training.select import select_model

        return select_model(self, by)

    def ensemble(self) -> Model:
        """All its folds as one model (:func:`omi_keras.training.ensemble_model`)."""
        from omi_keras.training.ensemble import ensemble_model

        return ensemble_model(self)

    def evaluate(
        self,
        out: str | Path | None = None,
        *,
        seed: int = 0,
        force: bool = False,
        pictures: int = 10,
        records: str | Path | None = None,
    ) -> Findings:
        """The paper's tables and figures with intervals over patients; ``out`` makes a report folder of them.

        ``.tables`` are DataFrames, ``.pages()`` matplotlib figures, ``.html(title)`` the page, which draws ``pictures``
        missed OMI and as many false alarms, with their recordings where these are in the folder ``records``.
        """
        from omi_keras.report.findings import Findings
        from omi_keras.report.write import write_report

        folder = None if records is None else Path(records)
        if out is not None:
            write_report([self.path], Path(out), pictures=pictures, records=folder, seed=seed, force=force)
        return Findings([self], seed, pictures=pictures, records=folder)

    def _repr_html_(self) -> str:
        from omi_keras.report.notebook import run_html

        return run_html(self)

    def patient_ids(self, ecg_ids: pd.Series) -> pd.Series:
        """Patient of each ECG."""
        return ecg_ids.map(self.folds.set_index("ecg_id")["patient_id"])


def load_run(path: str | Path) -> Run:
    """Read a run folder, which ``omi-keras train`` or :func:`omi_keras.cross_validate` made.

    Raises
    ------
    InputError
        When it is not a run, a fold of it belongs to another run, or none is finished.

    Examples
    --------
    >>> import omi_keras as omi
    >>> omi.load_run(run_folder).results[0].history.columns[0]
    'epoch'
    """
    path = Path(path)
    config = read_config(path)
    results = [_load_fold(folder) for folder in sorted(path.glob("fold-[0-9][0-9]"))]
    for result in results:
        refuse_foreign(result.path, result.metrics, config)
    if not results:
        raise InputError(f"{path} has no finished fold yet; continue it with: omi-keras train ... --resume", "empty")
    folds = read_folds(path / "folds.csv", Split.of(config))
    fold = max(int(folds["fold"].max()) if len(folds) else 0, results[-1].fold)
    if fold >= config["n_folds"]:
        raise InputError(
            f"{path} has a fold {fold} and {config['n_folds']} folds; it was altered, train again", "altered"
        )
    return Run(path, config, folds, results)


def refuse_foreign(fold: Path, metrics: dict[str, Any], config: dict[str, Any]) -> None:
    """Raise InputError when a finished fold says that it belongs to another run than ``config`` is of."""
    if metrics.get("run", run_id(config)) != run_id(config):
        raise InputError(
            f"{fold} belongs to a run of other settings or another dataset than {fold.parent / 'config.json'}; move it "
            f"away, and train this fold again with: omi-keras train ... --resume",
            "another_run",
        )


def read_folds(path: Path, split: Split) -> pd.DataFrame:
    """Read ``folds.csv``."""
    folds = read_table(path, split.kinds(), "train again")
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
