"""Simulated ECGs as files that any ECG software reads: WFDB records and a table of labels."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS, SAMPLING_RATE
from omi_keras.simulate.ecg import SimulatedECG
from omi_keras.simulate.recording import STEPS_PER_MV
from omi_keras.simulate.truth import TRUTH_COLUMNS, TrueBeats, truth_row

LABEL_COLUMNS = ("record", "patient_id", "omi", "site", "age", "sex", "simulated", *TRUTH_COLUMNS)


def write_records(cohort: Iterable[SimulatedECG], folder: str | Path, *, true_beats: bool = False) -> int:
    """Write a cohort as WFDB records (format 16, 200 steps per mV) and ``labels.csv``.

    ``labels.csv`` appears last, so a folder that has one is complete.

    Parameters
    ----------
    cohort
        Simulated ECGs; taken one at a time.
    folder
        Made if it does not exist; it must not hold a ``labels.csv`` yet.
    true_beats
        Also write ``true_beats.npy``, a row for each of ``labels.csv``.

    Returns
    -------
    int
        Number of records written.

    Raises
    ------
    InputError
        When the folder already holds a ``labels.csv`` or is not a folder.
    """
    folder = Path(folder)
    labels = folder / "labels.csv"
    if labels.exists():
        raise InputError(f"{folder} already holds a labels.csv; write to a new folder.", "exists")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder to write the records to.", "not_a_folder")
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / "labels.csv.part"
    count = 0
    with unfinished.open("w", encoding="utf-8", newline="") as file, TrueBeats(folder, true_beats) as beats:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(LABEL_COLUMNS)
        for ecg in cohort:
            write_record(ecg, folder)
            table.writerow(label_row(ecg))
            beats.add(ecg)
            count += 1
    unfinished.replace(labels)
    return count


def label_row(ecg: SimulatedECG) -> tuple[str, ...]:
    """Row of ``labels.csv`` for one ECG, in the order of :data:`LABEL_COLUMNS`."""
    p = ecg.plan
    return (p.ecg_id, p.patient_id, str(p.omi), p.site, str(p.age), p.sex, "true", *truth_row(ecg))


def write_record(ecg: SimulatedECG, folder: Path) -> None:
    """Write ``<ecg_id>.dat`` and ``<ecg_id>.hea`` (WFDB header, header(5))."""
    name, signal = ecg.record.ecg_id, ecg.record.signal
    steps = np.rint(signal * np.float32(STEPS_PER_MV)).astype("<i2")
    # Format 16 stores all leads of a sample together, low byte first.
    (folder / f"{name}.dat").write_bytes(steps.T.tobytes())
    lines = [f"{name} {len(LEADS)} {SAMPLING_RATE} {steps.shape[1]}"]
    for lead, row in zip(LEADS, steps, strict=True):
        # The header's checksum is the sum of the samples as a signed 16-bit number.
        checksum = (int(row.sum(dtype=np.int64)) + 0x8000) % 0x10000 - 0x8000
        lines.append(f"{name}.dat 16 {STEPS_PER_MV}/mV 16 0 {row[0]} {checksum} 0 {lead}")
    lines += [f"# Age: {ecg.plan.age}", f"# Sex: {ecg.plan.sex}", "# Simulated: not a recording of a person"]
    (folder / f"{name}.hea").write_bytes(("\n".join(lines) + "\n").encode("ascii"))
