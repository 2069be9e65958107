#!/usr/bin/env python
"""Hold the marks on median beats against cardiologists':  python scripts/delineation.py FOLDER

FOLDER holds labels.csv (record, labels), the recordings that it names (LUDB's as NAME.npz: signal, rate, leads, units)
and marks.csv or marks.csv.gz (record, lead, wave, onset, peak, offset, in samples at 500 Hz). Errors are ours minus
annotated. The reference of a beat is the third most extreme lead: earliest onset, latest end, less two that may be
slips; then the median over beats. Median beats are placed by correlating them with the recording, so that another
choice of R costs nothing. neurokit2's wavelet method stands beside, where it is installed. --json for programs.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib.util
import json
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from omi_keras.beats.median_beats import MedianBeat, median_beat
from omi_keras.measures.fiducials import delineate
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import Record

RATE, R_SAMPLE = 500, 300
MS = 1000 / RATE
# Twice the standard deviation between readers: The CSE Working Party, Eur Heart J 1985;6:815-825. Milliseconds.
TOLERANCE = {"P onset": 10.2, "QRS onset": 6.5, "QRS end": 11.6, "T end": 30.6}
FIRST = ("P onset", "QRS onset")
EXTREME = 3
# Marks of one complex lie together, in this many leads or more; samples.
TOGETHER, LEADS_AT_LEAST = 75, 6
# Where P and T of a beat may peak, from its R, and how far a beat may be moved to fit; samples.
P_PEAKS, T_PEAKS = (-180, -20), (40, 330)
SHIFT, HALF = 60, 60
LIKE, BEATS_AT_LEAST = 0.8, 3
LEVEL_UV = 25.0
PACED = ("pacing", "p-synchrony")

Mark = tuple[str, int | None, int, int | None]


@dataclass
class Measured:
    """One record: errors in ms, the median beat, both sets of marks in its samples."""

    record: str
    labels: str
    beat: MedianBeat
    ours: dict[str, int]
    truth: dict[str, float]
    errors: dict[str, float] = field(default_factory=dict)
    peers: dict[str, float] = field(default_factory=dict)
    rate: float = float("nan")

    @property
    def paced(self) -> bool:
        return any(word in self.labels for word in PACED)

    @property
    def level_uv(self) -> np.ndarray:
        """How far the level at our J is from that at the annotated one, (12,)."""
        there = round(self.truth["QRS end"])
        return 1000.0 * np.abs(self.beat.beat[:, self.ours["QRS end"]] - self.beat.beat[:, there])


def read_marks(folder: Path) -> dict[str, dict[str, list[Mark]]]:
    """Record → wave → marks."""
    found: dict[str, dict[str, list[Mark]]] = defaultdict(lambda: defaultdict(list))
    for name, opened in (("marks.csv", open), ("marks.csv.gz", gzip.open)):
        if (folder / name).is_file():
            with opened(folder / name, "rt", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    onset, peak, end = (int(row[key]) if row[key] else None for key in ("onset", "peak", "offset"))
                    if peak is not None:
                        found[row["record"]][row["wave"]].append((row["lead"], onset, peak, end))
            return found
    raise InputError(f"{folder}: no marks.csv or marks.csv.gz; name a folder in the layout that --help describes")


def complexes(marks: list[Mark]) -> list[list[Mark]]:
    """QRS marks of one beat each, in order."""
    groups: list[list[Mark]] = []
    for mark in sorted(marks, key=lambda mark: mark[2]):
        if groups and mark[2] - np.median([other[2] for other in groups[-1]]) < TOGETHER:
            groups[-1].append(mark)
        else:
            groups.append([mark])
    return [group for group in groups if len(group) >= LEADS_AT_LEAST]


def most_extreme(values: list[int | None], name: str) -> int | None:
    """The third earliest onset or third latest end, None where fewer leads have one."""
    known = sorted((value for value in values if value is not None), reverse=name not in FIRST)
    return known[EXTREME - 1] if len(known) >= EXTREME else None


def reference(waves: dict[str, list[Mark]]) -> list[tuple[int, dict[str, int]]]:
    """R and the global marks of each annotated beat, in samples of the recording."""
    groups = complexes(waves["QRS"])
    peaks = [int(np.rint(np.median([mark[2] for mark in group]))) for group in groups]
    beats = []
    for k, (group, r) in enumerate(zip(groups, peaks, strict=True)):
        # A T wave behind the next complex is that one's.
        last = min(T_PEAKS[1], peaks[k + 1] - r) if k + 1 < len(peaks) else T_PEAKS[1]
        t_waves = [mark[3] for mark in waves["T"] if T_PEAKS[0] < mark[2] - r < last]
        p_waves = [mark[1] for mark in waves["P"] if P_PEAKS[0] < mark[2] - r < P_PEAKS[1]]
        of = {"P onset": p_waves, "QRS onset": [m[1] for m in group], "QRS end": [m[3] for m in group]}
        found = {name: most_extreme(values, name) for name, values in (of | {"T end": t_waves}).items()}
        beats.append((r, {name: value for name, value in found.items() if value is not None}))
    return beats


def place(signal: np.ndarray, beat: np.ndarray, r: int) -> tuple[float, int]:
    """Correlation, and where sample 300 of the median beat lies in the recording near r."""
    shape = beat[:, R_SAMPLE - HALF : R_SAMPLE + HALF]
    shape = shape - shape.mean(axis=1, keepdims=True)
    best = (-2.0, r)
    for at in range(max(r - SHIFT, HALF), min(r + SHIFT, signal.shape[1] - HALF) + 1):
        part = signal[:, at - HALF : at + HALF]
        part = part - part.mean(axis=1, keepdims=True)
        like = float((part * shape).sum() / np.sqrt((part**2).sum() * (shape**2).sum() + 1e-12))
        best = max(best, (like, at))
    return best


def middle(beats: list[dict[str, int]]) -> dict[str, float]:
    """Median over beats of each mark that enough of them have."""
    columns = {name: [beat[name] for beat in beats if name in beat] for name in TOLERANCE}
    return {name: float(np.median(values)) for name, values in columns.items() if len(values) >= BEATS_AT_LEAST}


def measure(record: Record, labels: str, waves: dict[str, list[Mark]]) -> Measured:
    """Our marks beside the annotated ones."""
    result = median_beat(record)
    marks = delineate(result.beat[None])
    ours = {"QRS onset": int(marks.qrs_onset[0]), "QRS end": int(marks.j[0]), "T end": int(marks.t_end[0])}
    if marks.p_found[0]:
        ours["P onset"] = int(marks.p_onset[0])
    annotated = reference(waves)
    placed = []
    for r, found in annotated:
        like, at = place(record.signal, result.beat, r)
        if like >= LIKE:
            placed.append({name: value - at + R_SAMPLE for name, value in found.items()})
    truth = middle(placed)
    measured = Measured(record.ecg_id, labels.lower(), result, ours, truth)
    measured.errors = {name: MS * (ours[name] - truth[name]) for name in TOLERANCE if name in ours and name in truth}
    if len(annotated) > 1:
        measured.rate = 60.0 * RATE * (len(annotated) - 1) / (annotated[-1][0] - annotated[0][0])
    if importlib.util.find_spec("neurokit2") is not None:
        measured.peers = neurokit_errors(record, annotated)
    return measured


def neurokit_errors(record: Record, annotated: list[tuple[int, dict[str, int]]]) -> dict[str, float]:
    """Median over beats of neurokit2's errors in ms, each lead delineated alone, then the third most extreme."""
    import neurokit2

    keys = {"P onset": "ECG_P_Onsets", "QRS onset": "ECG_R_Onsets"}
    keys |= {"QRS end": "ECG_R_Offsets", "T end": "ECG_T_Offsets"}
    clean = [neurokit2.ecg_clean(lead.astype(float), sampling_rate=RATE) for lead in record.signal]
    try:
        peaks = np.asarray(neurokit2.ecg_peaks(clean[1], sampling_rate=RATE)[1]["ECG_R_Peaks"])
        leads = [neurokit2.ecg_delineate(lead, peaks, sampling_rate=RATE, method="dwt")[1] for lead in clean]
    except (ValueError, IndexError, ZeroDivisionError):
        return {}
    errors: dict[str, list[float]] = defaultdict(list)
    for r, truth in annotated:
        if len(peaks) == 0 or np.abs(peaks - r).min() > SHIFT:
            continue
        beat = int(np.abs(peaks - r).argmin())
        for name, value in truth.items():
            seen = [lead[keys[name]][beat] for lead in leads if beat < len(lead[keys[name]])]
            mark = most_extreme([int(one) for one in seen if np.isfinite(one)], name)
            if mark is not None:
                errors[name].append(MS * (mark - value))
    return {name: float(np.median(values)) for name, values in errors.items() if len(values) >= BEATS_AT_LEAST}


def measure_folder(folder: Path) -> list[Measured]:
    """All records of ``folder/labels.csv``."""
    if not (folder / "labels.csv").is_file():
        raise InputError(f"{folder}: no labels.csv; name a folder in the layout that --help describes")
    marks = read_marks(folder)
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["record"])
    return [measure(read_record(folder / row["record"]), row["labels"], marks[row["record"]]) for row in rows]


def spread(errors: list[float], tolerance: float) -> dict[str, float]:
    e = np.array(errors)
    if len(e) == 0:
        return {"n": 0}
    inside = float((np.abs(e) <= tolerance).mean())
    return {"n": len(e), "mean_ms": float(e.mean()), "sd_ms": float(e.std()), "within": inside}


def summary(records: list[Measured]) -> dict[str, object]:
    """What the table shows."""
    rows = {
        name: {
            "tolerance_ms": limit,
            "all": spread([one.errors[name] for one in records if name in one.errors], limit),
            "unpaced": spread([one.errors[name] for one in records if name in one.errors and not one.paced], limit),
            "neurokit2": spread([one.peers[name] for one in records if name in one.peers], limit),
        }
        for name, limit in TOLERANCE.items()
    }
    levels = [one.level_uv for one in records if not one.paced and "QRS end" in one.truth]
    flagged = [one.record for one in records if "paced" in one.beat.flags]
    regular = [one for one in records if "fibrillation" not in one.labels and np.isfinite(one.rate)]
    with_p = [one for one in records if "P onset" in one.truth]
    return {
        "records": len(records),
        "marks": rows,
        "j_level_within_25uv_unpaced": float((np.concatenate(levels) <= LEVEL_UV).mean()) if levels else None,
        "p_found": [sum("P onset" in one.ours for one in with_p), len(with_p)],
        "paced_found": [sum(one.paced and one.record in flagged for one in records), sum(one.paced for one in records)],
        "paced_false": [one.record for one in records if one.record in flagged and not one.paced],
        "rate_off": [one.record for one in regular if abs(one.beat.heart_rate - one.rate) > max(3.0, 0.05 * one.rate)],
    }


def print_table(found: dict) -> None:
    def cell(of: dict[str, float]) -> str:
        return f"{of['mean_ms']:+6.1f} ±{of['sd_ms']:5.1f}  {of['within']:4.0%}" if of["n"] else "-"

    print(f"{found['records']} records; ours minus annotated, ms, and the share within the tolerance")
    print(f"{'':12}{'n':>4}  {'all':22}{'unpaced':22}{'neurokit2':22}tolerance")
    for name, row in found["marks"].items():
        cells = "".join(f"{cell(row[kind]):22}" for kind in ("all", "unpaced", "neurokit2"))
        print(f"{name:12}{row['all']['n']:4}  {cells}{row['tolerance_ms']:.1f} ms")
    if found["j_level_within_25uv_unpaced"] is not None:
        share = found["j_level_within_25uv_unpaced"]
        print(f"level at J within {LEVEL_UV:.0f} µV of that at the annotated J, unpaced: {share:.1%} of leads")
    print("P found: {} of {}".format(*found["p_found"]))
    print("paced found: {} of {}; false: {}".format(*found["paced_found"], " ".join(found["paced_false"]) or "none"))
    print(
        "heart rate off by more than 3 a minute and 5 %, without fibrillation:", " ".join(found["rate_off"]) or "none"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    try:
        found = summary(measure_folder(options.folder))
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(found))
    else:
        print_table(found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
