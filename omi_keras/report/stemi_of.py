"""The STEMI criteria of a dataset's ECGs, what every OMI detector is compared with."""

from __future__ import annotations

import numpy as np

from omi_keras.data.dataset import Dataset
from omi_keras.measures.stemi import stemi_criteria


def meets_stemi_criteria(data: Dataset) -> np.ndarray:
    """Whether each ECG meets the STEMI criteria, (n_ecgs,) bool, by what the dataset says of age and sex."""
    # What a dataset may say of sex besides, the criteria take for unknown.
    sex = data.ecgs["sex"].where(data.ecgs["sex"].isin(("female", "male")), "")
    return stemi_criteria(data.beats, data.ecgs["age"].to_numpy(float), sex.to_numpy(str))
