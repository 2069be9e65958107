"""What a lab has in memory → a dataset, checked as a labels file is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from omi_keras.data.dataset import BEAT_COLUMNS, BEAT_SHAPE, COLUMNS, Dataset
from omi_keras.data.identities import nobody, one_form
from omi_keras.recordings.errors import InputError

SEXES = {"female": "female", "f": "female", "male": "male", "m": "male", "": "", "nan": "", "none": ""}
# A beat that swings further than this in its middle lead is in other units than millivolts.
MOST_MV = 20.0


def dataset_of_arrays(beats: Any, omi: Any, patient_id: Any, simulated: bool, columns: Mapping[str, Any]) -> Dataset:
    """See :meth:`omi_keras.data.dataset.Dataset.from_arrays`."""
    beats = _checked_beats(beats)
    n = len(beats)
    given = {"omi": omi, "patient_id": patient_id, **columns}
    if ours := set(given) & {"simulated", *BEAT_COLUMNS}:
        raise InputError(f"{', '.join(sorted(ours))}: the name of a column of omi-keras' own; choose another", "column")
    for name, values in given.items():
        if np.ndim(values) != 1 or len(values) != n:
            raise InputError(f"{name}: expected {n} values, one for each beat, received {np.shape(values)}", "shape")
    people = [one_form(str(name)) for name in given["patient_id"]]
    if "" in people:
        raise InputError("patient_id is empty for some ECGs; each has a patient", "bad_labels")
    if found := nobody(people):
        name, count = found.most_common(1)[0]
        raise InputError(f"patient_id {name!r} stands for nobody and has {count} ECGs; give each its own", "bad_labels")
    text = {name: [one_form(_text(value)) for value in values] for name, values in columns.items()}
    names = text.get("ecg_id") or [f"{k:0{len(str(n - 1))}d}" for k in range(n)]
    if len(set(names)) < n or "" in names:
        raise InputError("ecg_id: every ECG has a name of its own", "bad_labels")
    table = pd.DataFrame({
        "ecg_id": names,
        "patient_id": people,
        "omi": pd.array(_labels(omi), dtype="Int64"),
        "site": text.get("site", [""] * n),
        "age": _ages(columns.get("age"), n),
        "sex": [_sex(value) for value in text.get("sex", [""] * n)],
        "source": text.get("source", ["simulated" if simulated else "arrays"] * n),
        "simulated": [str(simulated).lower()] * n,
        **dict.fromkeys(BEAT_COLUMNS, ""),
        **{name: values for name, values in text.items() if name not in COLUMNS},
    })  # fmt: skip
    return Dataset(None, beats, table, {"simulated": simulated})


def part_of(dataset: Dataset, rows: Sequence[int] | np.ndarray | None, values: Mapping[str, Any]) -> Dataset:
    """See :meth:`omi_keras.data.dataset.Dataset.part`."""
    wanted = np.arange(len(dataset.ecgs))
    if rows is not None:
        wanted = wanted[np.asarray(rows)]
    for name, value in values.items():
        if name not in dataset.ecgs.columns:
            there = ", ".join(map(str, dataset.ecgs.columns))
            raise InputError(f"the dataset has no column {name}; it has {there}", "column")
        column = dataset.ecgs[name].to_numpy()[wanted]
        same = [not pd.isna(cell) and (cell == value or str(cell) == str(value)) for cell in column]
        wanted = wanted[np.array(same, bool)]
    if not len(wanted):
        raise InputError(f"no ECG of the dataset is in this part {dict(values) or ''}".rstrip(), "empty")
    ecgs = dataset.ecgs.iloc[wanted].reset_index(drop=True)
    beats = dataset.beats[wanted]
    beats.flags.writeable = False
    return Dataset(None, beats, ecgs, {"simulated": bool((ecgs["simulated"] == "true").any())})


def _checked_beats(beats: Any) -> np.ndarray:
    beats = np.asarray(beats)
    if beats.ndim != 3 or beats.shape[1:] != BEAT_SHAPE or not len(beats):
        raise InputError(
            f"beats: expected median beats of shape (n, 12, 600), received {beats.shape}; omi_keras.median_beat "
            "makes them of recordings",
            "wrong_shape",
        )
    if beats.dtype.kind != "f":
        raise InputError(f"beats: expected millivolts as floating point, received {beats.dtype}", "wrong_dtype")
    beats = beats.astype(np.float32)
    bad = ~np.isfinite(beats).all(axis=(1, 2))
    if bad.any():
        raise InputError(f"beats: {bad.sum()} have missing or infinite values, first {np.argmax(bad)}", "not_finite")
    swing = np.median(np.ptp(beats, axis=2), axis=1)
    if (swing > MOST_MV).any():
        raise InputError(
            f"beats: number {np.argmax(swing)} swings {swing.max():.4g} mV peak to peak, which no ECG does; hand them "
            "over in millivolts",
            "implausible_amplitude",
        )
    beats.flags.writeable = False
    return beats


def _labels(omi: Any) -> list[int | None]:
    found = [None if pd.isna(value) else value for value in omi]
    if wrong := [value for value in found if value is not None and value not in (0, 1)]:
        raise InputError(f"omi: expected 0 or 1, None where it is not known, received {wrong[0]!r}", "bad_labels")
    return [None if value is None else int(value) for value in found]


def _ages(values: Any, n: int) -> np.ndarray:
    if values is None:
        return np.full(n, np.nan)
    ages = pd.to_numeric(pd.Series(list(values)), errors="coerce").to_numpy(float)
    if (ages < 0).any() or np.isinf(ages).any():
        raise InputError("age: expected years, None where it is not known", "bad_labels")
    from omi_keras.recordings.formats.recording import MAX_AGE

    return np.where(ages > MAX_AGE, np.nan, ages)


def _sex(value: str) -> str:
    if value.lower() not in SEXES:
        raise InputError(f"sex: expected female or male, received {value!r}", "bad_labels")
    return SEXES[value.lower()]


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
