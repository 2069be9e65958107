"""Recordings and labels, or a simulated cohort → a dataset."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from itertools import tee
from pathlib import Path
from typing import Any

import pandas as pd

from omi_keras.beats.median_beats import median_beat
from omi_keras.data.artifacts import is_half_written, read_json, sha256, versions, write_json
from omi_keras.data.dataset import BEAT_COLUMNS, COLUMNS, FILES, MARKER
from omi_keras.data.in_place import alone, new_folder, put_or_keep, refuse_existing, remove
from omi_keras.data.labels import read_labels
from omi_keras.data.read_beats import check_places, read_beat
from omi_keras.data.stops import undisturbed
from omi_keras.data.workers import delayed, workers
from omi_keras.data.writer import DatasetWriter
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.numbers import is_count
from omi_keras.simulate.cohort import SimulatedECG
from omi_keras.simulate.truth import TRUE_BEATS, TRUTH_COLUMNS, TrueBeats, truth_row

Tick = Callable[[int, int, int], None]  # done, total, rejected
PROGRESS, OVERVIEW = "progress.json", "overview.html"
# Beside labels and recordings, what decides the numbers of a beat.
DECIDE = ("omi-keras", "numpy", "scipy")
# Settings as the user knows them.
DECIDES = {"labels_sha256": "other labels", "label_column": "another --label-column", "records": "another RECORDS_DIR"}
# The most work that an interruption loses.
NOTE_SECONDS = 2.0


def prepare_records(
    records: Path,
    labels: Path,
    out: Path,
    *,
    label_column: str = "omi",
    jobs: int = 1,
    scheduler: str = "local",
    resume: bool = False,
    force: bool = False,
    tick: Tick = lambda done, total, rejected: None,
    tell: Callable[[str], None] = lambda note: None,
) -> dict[str, Any]:
    """Read every recording of a labels file and write a dataset; return ``dataset.json``'s content.

    Rejected recordings are listed in ``rejected.csv`` and never stop the others. The result does not depend on
    ``jobs`` or ``scheduler``, nor on interruptions: what was done lies in a hidden folder beside ``out``, and
    ``resume`` goes on from there. ``tell`` hears what a person should look at in the labels. ``overview.html`` in the
    dataset shows some of the recordings, those with flags and those that were rejected.

    Raises
    ------
    InputError
        When the folder or the labels file is bad, when no recording at all was accepted, or when an interrupted
        dataset is there and neither ``resume`` nor ``force`` is set, or was begun with other settings.
    """
    if not records.is_dir():
        raise InputError(f"{records} is not a folder of recordings", "not_found")
    table = read_labels(labels, label_column)
    for note in table.attrs["notes"]:
        tell(f"{labels}: {note}")
    check_places(table["record"], labels, records)
    settings = {
        "labels_sha256": sha256(labels),
        "label_column": label_column,
        "records": os.path.realpath(records),
        **{f"{package} version": versions().get(package, "") for package in DECIDE},
    }
    if not resume:
        refuse_existing(out, MARKER, force)
    with alone(out, "prepared") as journal:
        refuse_existing(out, MARKER, force)
        partial = out.with_name(f".{out.name}.partial")
        sizes, done = _begin(partial, out, settings, len(table), resume, force)
        try:
            if sizes is None:
                with undisturbed():
                    remove(partial)
                    partial.mkdir()
            info = _write(partial, table.iloc[done:], records, labels, settings, sizes, done, jobs, scheduler, tick)
            from omi_keras.report.overview import write_overview

            write_overview(partial, records, table, info)
            with undisturbed():
                (partial / PROGRESS).unlink(missing_ok=True)
                put_or_keep(partial, out, MARKER if force else None, journal)
        except BaseException as error:
            # What was done is kept when it can be resumed.
            useless = isinstance(error, InputError) and error.reason in ("empty", "not_read_back")
            if useless or not (partial / PROGRESS).is_file():
                with undisturbed():
                    remove(partial)
            raise
    return info


def _write(
    partial: Path,
    table: pd.DataFrame,
    records: Path,
    labels: Path,
    settings: dict[str, str],
    sizes: dict[str, int] | None,
    done: int,
    jobs: int,
    scheduler: str,
    tick: Tick,
) -> dict[str, Any]:
    """Add the rows of ``table`` to the dataset in the making, complete it and read it back."""
    columns = [str(column) for column in table.columns]
    own = {*COLUMNS, *BEAT_COLUMNS, "record"}
    carried = tuple(column for column in columns if column not in own)
    total = done + len(table)
    rows = (dict(zip(columns, values, strict=True)) for values in table.itertuples(index=False))
    first: InputError | None = None
    with DatasetWriter(partial, carried, sizes) as writer, workers(jobs, scheduler) as parallel:
        if writer.count + writer.rejections != done:
            raise InputError(f"{partial / PROGRESS} was altered; start anew with --force", "altered")
        ahead, behind = tee(rows)
        beats = parallel(delayed(read_beat)(records.absolute(), row["record"]) for row in ahead)
        noted = time.monotonic()
        for row, result in zip(behind, beats, strict=True):
            if isinstance(result, InputError):
                writer.reject(row["record"], result)
                first = first or result
            else:
                beat, source = result
                writer.add(beat, _facts(row, source) | {column: row[column] for column in carried})
            done += 1
            if time.monotonic() - noted > NOTE_SECONDS:
                _note_progress(partial, settings, done, writer)
                noted = time.monotonic()
            tick(done, total, writer.rejections)
        if writer.count == 0:
            why = f"; the first was refused because {first}" if first else ""
            raise InputError(f"none of the {total} recordings of {labels} was accepted{why}", "empty")
        return writer.finish(
            label_column=settings["label_column"],
            seed=None,
            inputs={"labels": labels.name, "sha256": settings["labels_sha256"]},
        )


def _begin(
    partial: Path, out: Path, settings: dict[str, str], total: int, resume: bool, force: bool
) -> tuple[dict[str, int] | None, int]:
    """What an interruption left and may be taken up: sizes of its files (None: begin anew), records done."""
    _refuse_foreign(partial)
    interrupted = (partial / PROGRESS).is_file()
    if interrupted and resume:
        found = read_json(partial / PROGRESS, "a dataset in the making", 1, {"done": is_count, "sizes": dict})
        for name, value in settings.items():
            if found.get(name) != value:
                other = DECIDES.get(name, f"another {name}")
                raise InputError(
                    f"{out} was begun with {other}; resume as it was begun, or start anew with --force", "begun"
                )
        return _checked_sizes(partial, found["sizes"]), found["done"]
    if interrupted and not force:
        done = read_json(partial / PROGRESS, "a dataset in the making", 1, {"done": is_count})["done"]
        raise InputError(
            f"{out} was interrupted after {done} of {total} recordings; go on with --resume or start anew with --force",
            "begun",
        )
    return None, 0


def _refuse_foreign(partial: Path) -> None:
    """The hidden folder's name is ours by its content only."""
    if not os.path.lexists(partial):
        return
    names = (
        {path.name for path in partial.iterdir()} if partial.is_dir() and not partial.is_symlink() else {"no folder"}
    )
    ours = {*FILES, PROGRESS, MARKER, TRUE_BEATS, OVERVIEW}
    if any(name not in ours and not is_half_written(name) for name in names):
        raise InputError(f"{partial} holds what omi-keras did not make; move it away", "exists")


def _checked_sizes(partial: Path, sizes: dict[str, Any]) -> dict[str, int]:
    """What was noted was on the disk by then."""
    for name in FILES:
        size, file = sizes.get(name), partial / name
        if type(size) is not int or size < 0 or not file.is_file() or file.stat().st_size < size:
            raise InputError(f"{file} lost what was written before; start anew with --force", "altered")
    return sizes


def _note_progress(partial: Path, settings: dict[str, str], done: int, writer: DatasetWriter) -> None:
    # The data first: what this file promises is then on the disk.
    content = {"format_version": 1, "kind": "dataset in the making", **settings, "done": done, "sizes": writer.sync()}
    write_json(partial / PROGRESS, content)


def prepare_cohort(
    cohort: Iterable[SimulatedECG],
    out: Path,
    *,
    config: dict[str, Any],
    true_beats: bool = False,
    force: bool = False,
    tick: Tick = lambda done, total, rejected: None,
) -> dict[str, Any]:
    """Send simulated recordings through the same signal code, in memory; return ``dataset.json``'s content.

    ``true_beats`` adds ``true_beats.npy``, what a perfect averager would find, with the rows of ``beats.npy``.
    """
    with (
        new_folder(out, MARKER, force=force) as folder,
        DatasetWriter(folder, TRUTH_COLUMNS) as writer,
        TrueBeats(folder, true_beats) as truth,
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
                writer.add(beat, facts | dict(zip(TRUTH_COLUMNS, truth_row(ecg), strict=True)))
                truth.add(ecg)
            tick(writer.count + writer.rejections, config["ecgs"], writer.rejections)
        inputs = {"simulation": config} | ({"true_beats": TRUE_BEATS} if true_beats else {})
        return writer.finish(label_column="omi", seed=config["seed"], inputs=inputs)


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
