"""Some of a dataset's ECGs, whose beats stay on the disk until they are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from omi_keras.data.dataset import Dataset
from omi_keras.measures.stemi import stemi_criteria

# 30 MB of beats at a time.
_CHUNK = 1024


@dataclass(frozen=True)
class Part:
    """Rows of a dataset, in its order.

    Attributes
    ----------
    rows
        (n,) ascending row numbers.
    """

    dataset: Dataset
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.dataset.beats[row] for row in self.rows)

    def __getitem__(self, places: slice) -> np.ndarray:
        """Median beats (k, 12, 600) in mV."""
        return self.dataset.beats[self.rows[places]]

    @property
    def ecgs(self) -> pd.DataFrame:
        """What ``ecgs.csv`` says of them."""
        return self.dataset.ecgs.iloc[self.rows].reset_index(drop=True)

    def keep(self, wanted: np.ndarray) -> Part:
        """Those of a mask (n,)."""
        return Part(self.dataset, self.rows[wanted])

    def meets_stemi_criteria(self) -> np.ndarray:
        """Whether each meets the STEMI criteria, (n,) bool, by what the dataset says of age and sex."""
        ecgs = self.ecgs
        # What a dataset may say of sex besides, the criteria take for unknown.
        sex = ecgs["sex"].where(ecgs["sex"].isin(("female", "male")), "").to_numpy(str)
        age, found = ecgs["age"].to_numpy(float), np.zeros(len(self), bool)
        for start in range(0, len(self), _CHUNK):
            places = slice(start, start + _CHUNK)
            found[places] = stemi_criteria(self[places], age[places], sex[places])
        return found
