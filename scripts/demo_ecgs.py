#!/usr/bin/env python
"""Simulated recordings whose names say what they are, and what a model made of them:

python scripts/demo_ecgs.py ecgs/ --seed 2          # OMI-RCA-1.hea, no-OMI-pericarditis-2.hea …
python scripts/demo_ecgs.py --judged ecgs.csv       # of predict --csv; exit code 1 unless one OMI is found, one missed
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from dataclasses import replace
from pathlib import Path

from omi_keras.simulate.cohort import SimulatedECG, simulate_cohort
from omi_keras.simulate.records import write_record

ECGS = 12
OMI = "OMI-"
# What such recordings' files are called.
OURS = re.compile(r"(no-)?OMI(-[\w-]+)?-\d+\.(hea|dat)")


def write(folder: Path, seed: int) -> None:
    """Write half OMI, half not, in place of those of another seed; ValueError where anything else is in the folder."""
    before = list(folder.iterdir()) if folder.exists() else []
    if other := [path.name for path in before if not OURS.fullmatch(path.name)]:
        raise ValueError(f"{folder} holds {other[0]}, which no demo made; take it out, or name another folder")
    for path in before:
        path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    for number, ecg in enumerate(simulate_cohort(ECGS, ECGS, 0.5, seed), start=1):
        named = replace(ecg, record=replace(ecg.record, ecg_id=f"{what(ecg)}-{number}"))
        write_record(named, folder)


def what(ecg: SimulatedECG) -> str:
    """``OMI-mid-LAD``, ``no-OMI-early-repolarisation``, ``no-OMI``."""
    truth = ecg.truth
    name = f"OMI {truth.artery}" if ecg.plan.omi else f"no OMI {truth.mimic}"
    return "-".join(name.replace("/", " ").split())


def told(table: Path) -> bool:
    """Print the OMI found with the highest and the one missed with the lowest probability; whether both are there."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["ecg_id"].startswith(OMI) and not row["error"]]
    rows.sort(key=lambda row: float(row["probability"]))
    found = [row for row in rows if row["decision"] == "1"]
    missed = [row for row in rows if row["decision"] == "0"]
    for word, some in (("found", found[-1:]), ("missed", missed[:1])):
        for row in some:
            print(f"  {word}: {row['ecg_id']}, P(OMI) {float(row['probability']):.2f}")
    return bool(found and missed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--judged", type=Path, metavar="CSV")
    given = parser.parse_args()
    if (given.folder is None) == (given.judged is None):
        parser.error("name a new folder, or the table of --judged")
    if given.judged is not None:
        sys.exit(not told(given.judged))
    try:
        write(given.folder, given.seed)
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
