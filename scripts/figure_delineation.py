#!/usr/bin/env python
"""Draw marks on median beats beside cardiologists':

    python scripts/figure_delineation.py FOLDER docs/explanation/signal

FOLDER as for scripts/delineation.py. Draws three typical records (in the middle by their largest error, each error as a
share of its tolerance) and the three worst. Only median beats are drawn, no recordings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from delineation import MS, R_SAMPLE, TOLERANCE, Measured, measure_folder
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omi_keras.measures.fiducials import INDEPENDENT

BLUE, ORANGE = "#1f5fa8", "#d9730d"
EACH = 3
# Tall complexes are cut off, so that low waves can be seen: mV.
HIGHEST = 1.0


def badness(one: Measured) -> float:
    """Largest error as a share of its tolerance."""
    return max((abs(error) / TOLERANCE[name] for name, error in one.errors.items()), default=0.0)


def chosen(records: list[Measured]) -> dict[str, list[Measured]]:
    ranked = sorted(records, key=badness)
    middle = len(ranked) // 2 - EACH // 2
    return {"typical": ranked[middle : middle + EACH], "worst": ranked[-EACH:][::-1]}


def draw(axes: Axes, one: Measured, title: str) -> None:
    """The eight independent leads over one another, our marks and theirs."""
    ms = (np.arange(one.beat.beat.shape[1]) - R_SAMPLE) * MS
    axes.plot(ms, np.clip(one.beat.beat[list(INDEPENDENT)].T, -HIGHEST, HIGHEST), color="#555555", linewidth=0.6)
    for name in TOLERANCE:
        if name in one.truth:
            axes.axvline((one.truth[name] - R_SAMPLE) * MS, 0.0, 0.93, color=ORANGE, linewidth=1.3, linestyle="--")
        if name in one.ours:
            axes.axvline((one.ours[name] - R_SAMPLE) * MS, 0.07, 1.0, color=BLUE, linewidth=1.0)
    errors = ", ".join(f"{name} {error:+.0f}" for name, error in one.errors.items())
    axes.set_title(f"{title}: {one.record}\n{errors} ms", fontsize=8)
    axes.set(xlim=(-350, 550), ylim=(-1.05 * HIGHEST, 1.05 * HIGHEST))
    axes.tick_params(labelsize=7)


def figure(records: list[Measured]) -> Figure:
    page = Figure(figsize=(10, 7.5), dpi=90, layout="constrained")
    grid = page.subplots(EACH, 2, sharex=True, sharey=True)
    for column, (title, some) in enumerate(chosen(records).items()):
        for row, one in enumerate(some):
            draw(grid[row, column], one, title)
    grid[0, 0].plot([], [], color=BLUE, label="measured")
    grid[0, 0].plot([], [], color=ORANGE, linestyle="--", label="cardiologists")
    grid[0, 0].legend(fontsize=7, loc="lower right")
    page.supxlabel("ms from R; eight leads, mV, cut off at ±1", fontsize=8)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    figure(measure_folder(options.folder)).savefig(options.out / "marks.png")


if __name__ == "__main__":
    main()
