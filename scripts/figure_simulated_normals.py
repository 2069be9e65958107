#!/usr/bin/env python
"""Draw simulated normals beside real ones:  python scripts/figure_simulated_normals.py docs/explanation/simulator

Simulated patients without an occlusion or another condition, beside the summary of real normal recordings in
OUT/real_normals.csv and published limits. --recordings FOLDER measures the recordings of FOLDER/labels.csv anew
(columns record, patient_id, dx_names, age, derived_from); only percentiles are kept of them.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omi_keras.beats.median_beats import median_beat
from omi_keras.measures.features import FEATURES, beat_features
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import find_record, read_record
from omi_keras.recordings.record import LEADS, Record
from omi_keras.simulate.cohort import plan_cohort, simulate_ecg
from omi_keras.simulate.ecg import draw_patient

SIMULATED = 1000
PERCENTILES = (5, 25, 50, 75, 95)
WAVES = {"r_mv": "R", "s_mv": "S (or QS)", "st_j60_mv": "ST, 60 ms after J", "t_mv": "T"}
# Diagnoses that leave QRS, ST and T as they are.
NORMAL = {"normal", "healthy control", "sinus rhythm", "sinus bradycardia", "sinus tachycardia"}
NORMAL |= {"left atrial abnormality", "left atrial enlargement"}
NORMAL |= {"premature atrial contraction", "premature ventricular contraction"}
# 2nd to 98th percentile of 46,129 people with a low probability of heart disease: Mason et al., J Electrocardiol
# 2007;40:228-234.
PUBLISHED = {
    "heart_rate": (48, 98),
    "pr_interval_ms": (113, 212),
    "qrs_duration_ms": (69, 109),
    "qtc_ms": (359, 445),
}
TITLES = ("heart rate, 1/min", "PR, ms", "QRS, ms", "QTc (Fridericia), ms")
# Upper limits: R by Sokolow and Lyon, Am Heart J 1949;37:161-186; ST by the Fourth Universal Definition (men from 40).
UPPER = {
    "r_mv": {"aVL": 1.1, "V5": 2.6, "V6": 2.6},
    "st_j60_mv": {lead: 0.2 if lead in ("V2", "V3") else 0.1 for lead in LEADS if lead != "aVR"},
}


def measures(records: list[Record]) -> dict[str, np.ndarray]:
    """Measures of recordings by name, (n,) each; what a recording does not have is NaN."""
    beats = [median_beat(record) for record in records]
    found = dict(zip(FEATURES, beat_features(np.stack([b.beat for b in beats])).T.astype(float), strict=True))
    found["heart_rate"] = np.array([b.heart_rate for b in beats])
    found["qtc_ms"] = found["qt_interval_ms"] * np.cbrt(found["heart_rate"] / 60.0)
    for lead in LEADS:
        # Where QRS only goes down, features call it Q.
        alone = found[f"{lead}_r_mv"] == 0.0
        found[f"{lead}_s_mv"] = np.where(alone, found[f"{lead}_q_mv"], found[f"{lead}_s_mv"])
    names = (*PUBLISHED, *(f"{lead}_{wave}" for wave in WAVES for lead in LEADS))
    return {name: found[name] for name in names}


def simulated_normals(n: int, seed: int = 0) -> list[Record]:
    """First ECGs of ``n`` patients of the default cohort without occlusion, condition, fault or fibrillation."""
    found: list[Record] = []
    for plan in plan_cohort(seed=seed):
        if len(found) == n:
            break
        if plan.omi or plan.serial or draw_patient(plan, seed).mimic:
            continue
        ecg = simulate_ecg(plan, seed)
        if not ecg.truth.fault and ecg.truth.rhythm != "atrial fibrillation":
            found.append(ecg.record)
    return found


def real_normals(folder: Path) -> list[Record]:
    """One recording of each adult in ``folder/labels.csv`` with no diagnosis but those of :data:`NORMAL`."""
    found: dict[str, Record] = {}
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            diagnoses = {name.strip() for name in row["dx_names"].split(";")}
            child = bool(row["age"]) and float(row["age"]) < 16
            if diagnoses <= NORMAL and not child and not row["derived_from"] and row["patient_id"] not in found:
                try:
                    found[row["patient_id"]] = read_record(find_record(folder / row["record"]))
                except InputError as error:
                    print(f"left out: {error}")
    return list(found.values())


def summary(found: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Number and percentiles of each measure."""
    kept = {name: values[np.isfinite(values)] for name, values in found.items()}
    return {name: [len(values), *np.percentile(values, PERCENTILES)] for name, values in kept.items()}


def read_summary(path: Path) -> dict[str, list[float]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return {row[0]: [float(value) for value in row[1:]] for row in rows}


def write_summary(path: Path, found: dict[str, list[float]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("measure", "n", *(f"p{p}" for p in PERCENTILES)))
        for name, (n, *values) in found.items():
            table.writerow((name, f"{n:.0f}", *(f"{value:.3f}" for value in values)))


def draw(axes: Axes, at: float, values: list[float], colour: str, label: str = "") -> None:
    """5th to 95th percentile as a line, quartiles as a bar, the median as a dot."""
    _, low, lower, middle, upper, high = values
    axes.plot([at, at], [low, high], color=colour, linewidth=1.2, label=label)
    axes.plot([at, at], [lower, upper], color=colour, linewidth=4.5, solid_capstyle="butt")
    axes.plot(at, middle, "o", color="white", markeredgecolor=colour, markersize=4.5)


def figure(simulated: dict[str, list[float]], real: dict[str, list[float]]) -> Figure:
    """Intervals above, waves of the twelve leads below."""
    page = Figure(figsize=(10, 12), dpi=100, layout="constrained")
    grid = page.add_gridspec(5, 4)
    people = real["qrs_duration_ms"][0]
    blue, orange, grey = "#1f5fa8", "#d9730d", "#999999"
    for column, (name, title) in enumerate(zip(PUBLISHED, TITLES, strict=True)):
        axes = page.add_subplot(grid[0, column])
        axes.axhspan(*PUBLISHED[name], color=grey, alpha=0.25, linewidth=0)
        draw(axes, 0, simulated[name], blue)
        draw(axes, 1, real[name], orange)
        axes.set(title=title, xlim=(-0.8, 1.8), xticks=[])
    for row, (wave, title) in enumerate(WAVES.items(), start=1):
        axes = page.add_subplot(grid[row, :])
        axes.axhline(0.0, color=grey, linewidth=0.6)
        for place, lead in enumerate(LEADS):
            first = place == 0
            draw(axes, place - 0.15, simulated[f"{lead}_{wave}"], blue, "simulated" * first)
            draw(axes, place + 0.15, real[f"{lead}_{wave}"], orange, f"real, {people:.0f} people" * first)
            if lead in UPPER.get(wave, {}):
                axes.plot([place - 0.35, place + 0.35], [UPPER[wave][lead]] * 2, color=grey, linewidth=1.5)
        axes.set(title=f"{title}, mV", xticks=range(len(LEADS)), xticklabels=LEADS, xlim=(-0.6, len(LEADS) - 0.4))
        if row == 1:
            axes.plot([], [], color=grey, linewidth=1.5, label="published limit")
            axes.legend(fontsize=8, loc="upper left", ncols=3)
    page.suptitle("Simulated normal ECGs (blue) beside real ones (orange): median, quartiles, 5th to 95th percentile")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recordings", type=Path, help="measure these real recordings anew")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    if options.recordings:
        write_summary(out / "real_normals.csv", summary(measures(real_normals(options.recordings))))
    real, simulated = read_summary(out / "real_normals.csv"), summary(measures(simulated_normals(SIMULATED)))
    figure(simulated, real).savefig(out / "normals.png")
    for name, (_, a, _, middle, _, b) in simulated.items():
        _, low, _, real_middle, _, high = real[name]
        mine, theirs = f"{middle:8.2f} ({a:.2f} to {b:.2f})", f"{real_middle:8.2f} ({low:.2f} to {high:.2f})"
        print(f"{name:18} simulated {mine:28} real {theirs}")


if __name__ == "__main__":
    main()
