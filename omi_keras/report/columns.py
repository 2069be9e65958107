"""What the columns of a dataset are to a validation: subgroups, and what somebody else said of each ECG."""

from __future__ import annotations

import numpy as np
import pandas as pd

from omi_keras.data.dataset import BEAT_COLUMNS
from omi_keras.evaluation.subgroups import age_bands
from omi_keras.recordings.errors import InputError

# A column makes subgroups when it has 2 to so many different cells, and on average so many ECGs for each.
MOST_CELLS, FEWEST_ECGS = 24, 5
# Columns that name, measure or label an ECG.
NO_GROUPS = ("ecg_id", "patient_id", "omi", "age", *(name for name in BEAT_COLUMNS if name != "flags"))
_ANSWERS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "false": 0.0, "true": 1.0, "": np.nan}


def subgroups_of(ecgs: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the columns that make subgroups, and bands of age: name → (n,) text, empty where not known.

    Every column but names, labels and numbers of beats that has 2 to :data:`MOST_CELLS` different cells, an empty one
    counted, and on average at least :data:`FEWEST_ECGS` ECGs for each.
    """
    found = {}
    for name in ecgs.columns:
        cells = ecgs[name].astype(str).to_numpy(str)
        different = np.unique(cells).size
        if name not in NO_GROUPS and 2 <= different <= min(MOST_CELLS, len(ecgs) / FEWEST_ECGS):
            found[str(name)] = cells
    return found | {"age": age_bands(ecgs["age"].to_numpy(float))}


def stated(ecgs: pd.DataFrame, column: str) -> np.ndarray:
    """Return what a column states of the presence of OMI: (n,) 1, 0, or NaN where it is empty.

    Raises
    ------
    InputError
        When there is no such column, it holds anything else, or nothing.
    """
    if column not in ecgs.columns:
        there = ", ".join(str(name) for name in ecgs.columns)
        raise InputError(f"the dataset has no column {column or repr(column)}; it has {there}", "column")
    if column == "omi":
        raise InputError("omi is the label that everything is compared with; name another --comparator", "column")
    cells = ["" if pd.isna(cell) else str(cell).strip() for cell in ecgs[column]]
    if wrong := [cell for cell in cells if cell.lower() not in _ANSWERS]:
        shown = wrong[0] if len(wrong[0]) <= 40 else f"{wrong[0][:37]}..."
        raise InputError(
            f"column {column} must be 1 where it says OMI, 0 where it does not, or empty; found {shown!r} in "
            f"{len(wrong)} of {len(cells)} ECGs",
            "bad_comparator",
        )
    found = np.array([_ANSWERS[cell.lower()] for cell in cells])
    if np.isnan(found).all():
        raise InputError(f"column {column} is empty for all ECGs that are judged; name another --comparator", "column")
    return found
