"""Recordings and labels, or a simulated cohort → a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from omi_keras.data.artifacts import new_folder, refuse_existing, sha256
from omi_keras.data.dataset import BEAT_COLUMNS, COLUMNS, DatasetWriter
from omi_keras.data.labels import read_labels
from omi_keras.signal.errors import InputError
from omi_keras.signal.median_beat import MedianBeat, median_beat
from omi_keras.signal.readers import find_record, read_record
from omi_keras.simulate.cohort import SimulatedECG

Tick = Callable[[int, int], None]  # done, total


def prepare_records(
    records: Path,
    labels: Path,
    out: Path,
    *,
    label_column: str = "omi",
    jobs: int = 1,
    force: bool = False,
    tick: Tick = lambda done, total: None,
) -> dict[str, Any]:
    """Read every recording of a labels file and write a dataset; return ``dataset.json``'s content.

    Rejected recordings are listed in ``rejected.csv`` and never stop the others. The result does not depend on
    ``jobs``.

    Raises
    ------
    InputError
        When the folder or the labels file is bad, or when no recording at all was accepted.
    """
    # joblib comes with scikit-learn; imported here because the simulated path does not need it.
    from joblib import Parallel, delayed

    refuse_existing(out, "dataset.json", force)
    if not records.is_dir():
        raise InputError(f"{records} is not a folder of recordings", "not_found")
    table = read_labels(labels, label_column)
    own = {*COLUMNS, *BEAT_COLUMNS, "record"}
    carried = tuple(column for column in table.columns if column not in own)
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    with new_folder(out, "dataset.json", force=force) as folder, DatasetWriter(folder, carried) as writer:
        beats = Parallel(n_jobs=jobs, return_as="generator")(
            delayed(_read_beat)(records, row["record"]) for row in rows
        )
        first: InputError | None = None
        for row, result in zip(rows, beats, strict=True):
            if isinstance(result, InputError):
                writer.reject(row["record"], result)
                first = first or result
            else:
                beat, source = result
                writer.add(beat, _facts(row, source) | {column: row[column] for column in carried})
            tick(writer.count + writer.rejections, len(rows))
        if writer.count == 0:
            raise InputError(
                f"none of the {len(rows)} recordings of {labels} was accepted; the first was refused because {first}",
                "empty",
            )
        return writer.finish(
            label_column=label_column, seed=None, inputs={"labels": labels.name, "sha256": sha256(labels)}
        )


def prepare_cohort(
    cohort: Iterable[SimulatedECG],
    out: Path,
    *,
    config: dict[str, Any],
    force: bool = False,
    tick: Tick = lambda done, total: None,
) -> dict[str, Any]:
    """Send simulated recordings through the same signal code, in memory; return ``dataset.json``'s content."""
    with (
        new_folder(out, "dataset.json", force=force) as folder,
        DatasetWriter(folder, ("artery", "rhythm", "mimic")) as writer,
    ):
        for ecg in cohort:
            plan = ecg.plan
            try:
                beat = median_beat(ecg.record)
            except InputError as error:
                writer.reject(plan.ecg_id, error)
            else:
                facts = {
                    "ecg_id": plan.ecg_id,
                    "patient_id": plan.patient_id,
                    "omi": plan.omi,
                    "site": plan.site,
                    "age": plan.age,
                    "sex": plan.sex,
                    "source": ecg.record.source,
                    "simulated": True,
                }
                truth = {"artery": plan.artery, "rhythm": ecg.truth.rhythm, "mimic": ecg.truth.mimic}
                writer.add(beat, facts | truth)
            tick(writer.count + writer.rejections, config["ecgs"])
        return writer.finish(label_column="omi", seed=config["seed"], inputs={"simulation": config})


def _read_beat(records: Path, record: str) -> tuple[MedianBeat, str] | InputError:
    """One recording → its median beat and source, or why not."""
    try:
        found = read_record(_locate(records, record), ecg_id=record)
        return median_beat(found), found.source
    except InputError as error:
        return error
    except OSError as error:
        return InputError(f"{record} cannot be read: {error.strerror or error}", "unreadable")


def _locate(records: Path, record: str) -> Path:
    """The file of a labels row, which must stay below the data folder."""
    path = records / record
    inside = records.resolve()
    if Path(record).is_absolute() or not path.resolve().is_relative_to(inside):
        raise InputError(f"{record}: record must stay below the data folder {records}", "outside")
    found = find_record(path)
    if not found.resolve().is_relative_to(inside):
        raise InputError(f"{record}: record must stay below the data folder {records}", "outside")
    if not found.exists():
        raise InputError(f"{record} not found in {records}", "not_found")
    return found


def _facts(row: dict[str, Any], source: str) -> dict[str, Any]:
    simulated = row.get("simulated", "").lower() in ("1", "true", "yes")
    return {
        "ecg_id": row["ecg_id"],
        "patient_id": row["patient_id"],
        "omi": None if pd.isna(row["omi"]) else int(row["omi"]),
        "site": row["site"],
        "age": None if pd.isna(row["age"]) else row["age"],
        "sex": row["sex"],
        "source": row.get("source") or ("simulated" if simulated else source),
        "simulated": simulated,
    }
