"""A dataset on disk: median beats, one row of facts per ECG, and what was rejected and why.

dataset/
  beats.npy     (n_ecgs, 12, 600) float32 mV, R peak at sample 300, memory-mapped when read
  ecgs.csv      ecg_id, patient_id, omi (0, 1 or empty), site, age, sex, source, simulated, ...
  rejected.csv  record, reason, message
  dataset.json  format version, counts, units, lead order, seed, versions, SHA-256 of the other files
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from omi_keras.beats.contracts import CONTRACT
from omi_keras.data import tables
from omi_keras.data.artifacts import read_json, sha256
from omi_keras.data.batches import Balance
from omi_keras.data.tables import read_table
from omi_keras.recordings.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

    from omi_keras.data.strengths import Augment

FORMAT_VERSION = 1
MARKER = "dataset.json"
BEAT_SHAPE = (12, 600)
COLUMNS = ("ecg_id", "patient_id", "omi", "site", "age", "sex", "source", "simulated")
BEAT_COLUMNS = ("heart_rate", "beats_found", "beats_kept", "flags")
FILES = ("beats.npy", "ecgs.csv", "rejected.csv")
REJECTED_COLUMNS = ("record", "reason", "message")
# Reading 30 GB to check a sum would take longer than the work that follows.
CHECK_UP_TO_BYTES = 1 << 30


@dataclass(frozen=True)
class Dataset:
    """Median beats and their labels.

    Attributes
    ----------
    path
        The folder; None for what is in memory only.
    beats
        (n_ecgs, 12, 600) float32 mV, read-only; a memory map where it is on disk.
    ecgs
        One row per ECG, text columns but ``omi`` (Int64, missing = unlabelled) and ``age`` (float).
    info
        Content of ``dataset.json``.

    Examples
    --------
    >>> import numpy as np
    >>> import omi_keras as omi
    >>> beats = np.random.default_rng(0).normal(size=(3, 12, 600))
    >>> dataset = omi.Dataset.from_arrays(beats, [0, 1, 0], ["p1", "p2", "p2"], site=["A", "B", "B"])
    >>> dataset.beats.shape, dataset.ecgs["omi"].tolist()
    ((3, 12, 600), [0, 1, 0])
    >>> len(dataset.part(site="B").ecgs)
    2
    """

    path: Path | None
    beats: np.ndarray
    ecgs: pd.DataFrame
    info: dict[str, Any]

    @classmethod
    def from_arrays(cls, beats: Any, omi: Any, patient_id: Any, *, simulated: bool = False, **columns: Any) -> Dataset:
        """A dataset of what is in memory.

        Parameters
        ----------
        beats
            (n_ecgs, 12, 600) median beats in millivolts at 500 Hz, leads I II III aVR aVL aVF V1 … V6, the R peak at
            sample 300 (:func:`omi_keras.median_beat` makes them).
        omi
            (n_ecgs,) 1 for OMI, 0 for none, None or NaN where it is not known.
        patient_id
            (n_ecgs,) whose ECG each is: folds keep the ECGs of a patient together.
        simulated
            Whether the ECGs are.
        columns
            What else is known, (n_ecgs,) each: ``ecg_id`` (numbered without it), ``site``, ``age`` in years, ``sex``
            (``female``, ``male``), any other.

        Raises
        ------
        InputError
            When shapes do not fit, beats have missing values or are no millivolts, labels are not 0 or 1, a patient is
            a placeholder, or an ECG has the name of another.
        """
        from omi_keras.data.arrays import dataset_of_arrays

        return dataset_of_arrays(beats, omi, patient_id, simulated, columns)

    @property
    def simulated(self) -> bool:
        """Whether any ECG in it is simulated."""
        return bool(self.info["simulated"])

    def labelled(self) -> np.ndarray:
        """Rows that have a label, ascending."""
        return np.flatnonzero(self.ecgs["omi"].notna().to_numpy())

    def fingerprint(self) -> dict[str, str]:
        """SHA-256 of the files that decide numbers, for provenance; of what is in memory, as it would be written."""
        if "sha256" not in self.info:
            from omi_keras.data.writer import sums_in_memory

            self.info["sha256"] = sums_in_memory(self)
        return {name: self.info["sha256"][name] for name in ("beats.npy", "ecgs.csv")}

    def part(self, rows: Sequence[int] | np.ndarray | None = None, **values: Any) -> Dataset:
        """Some of the ECGs, in memory: ``rows`` (numbers or a mask), or those that have a value in a column.

        Raises
        ------
        InputError
            When no ECG is left, or there is no such column.
        """
        from omi_keras.data.arrays import part_of

        return part_of(self, rows, values)

    def training_data(
        self, fold: int, epoch: int = 1, *, n_folds: int = 10, seed: int = 0, batch_size: int = 128,
        balance: Balance = "batch", contract: str = CONTRACT, augment: Augment = "none",
    ) -> tf.data.Dataset:  # fmt: skip
        """The batches of one epoch of one fold's training part, as :func:`omi_keras.cross_validate` trains on them.

        Pairs of x (n, 12, 400, 1) float32, the model inputs of ``contract`` (``maxabs-200``: (n, 12, 200, 1)), and
        y (n,) int32, for ``network.fit``. Each epoch draws others; the same seed, fold and epoch draw the same. With
        ``augment`` ``"light"`` or ``"strong"`` the beats are shown as other recordings might show them.
        """
        from omi_keras.data.pipeline import training_data

        return training_data(
            self,
            fold,
            epoch,
            n_folds=n_folds,
            seed=seed,
            batch_size=batch_size,
            balance=balance,
            contract=contract,
            augment=augment,
        )

    def save(self, path: str | Path, *, force: bool = False) -> Dataset:
        """Write it into a new folder; return the dataset on disk."""
        from omi_keras.data.writer import save_dataset

        return save_dataset(self, Path(path), force=force)


def load_dataset(path: str | Path) -> Dataset:
    """Open a dataset folder, which ``omi-keras prepare`` or :meth:`Dataset.save` made.

    Raises
    ------
    InputError
        When a file is missing, altered, of another shape, or of a newer format version.

    Examples
    --------
    >>> import omi_keras as omi
    >>> dataset = omi.load_dataset(dataset_folder)
    >>> dataset.beats.shape[1:], sorted(dataset.ecgs["omi"].unique().tolist())
    ((12, 600), [0, 1])
    """
    path = Path(path)
    info = read_json(path / MARKER, "a dataset", FORMAT_VERSION, {"simulated": bool, "sha256": dict})
    for name in FILES:
        file = path / name
        if not file.is_file():
            raise InputError(f"{path} lacks {name}; make the dataset again", "not_found")
        if file.stat().st_size <= CHECK_UP_TO_BYTES and sha256(file) != info["sha256"].get(name):
            raise InputError(f"{file} was altered after the dataset was made; make it again", "altered")
    try:
        beats = np.load(path / "beats.npy", mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, OverflowError, MemoryError) as error:
        raise InputError(f"{path / 'beats.npy'} is not an array file: {error}", "unreadable") from None
    kinds = dict.fromkeys(COLUMNS, tables.text) | {"ecg_id": tables.name, "patient_id": tables.name}
    kinds |= {"omi": tables.label_or_empty, "age": tables.age}
    ecgs = read_table(path / "ecgs.csv", kinds, "make the dataset again")
    if ecgs["ecg_id"].duplicated().any():
        raise InputError(f"{path / 'ecgs.csv'} names an ECG twice; make the dataset again", "altered")
    if beats.shape != (len(ecgs), *BEAT_SHAPE) or beats.dtype != np.float32:
        raise InputError(
            f"{path / 'beats.npy'}: expected float32 of shape {(len(ecgs), *BEAT_SHAPE)}, "
            f"received {beats.dtype} of shape {beats.shape}",
            "wrong_shape",
        )
    if len(ecgs) == 0:
        raise InputError(f"{path} is empty: no ECG was accepted, see rejected.csv", "empty")
    return Dataset(path, beats, ecgs, info)
