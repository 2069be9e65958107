#!/usr/bin/env python
"""Draw what --augment does to one simulated median beat, each kind on its own and both strengths:

    python scripts/figure_augmentation.py docs/explanation/training/augmentation.png

The ECG is the first occlusion of the simulated cohort (seed 0) with an ST segment that a reader sees. Of each kind,
three draws of the strong form.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from omi_keras.beats.median_beats import median_beat
from omi_keras.data.augmentation import augmented
from omi_keras.data.strengths import STRENGTHS, Strength
from omi_keras.drawing.curves import COLOURS
from omi_keras.drawing.figures import save_figure
from omi_keras.recordings.record import LEADS
from omi_keras.simulate.cohort import plan_cohort, simulate_ecg

SHOWN = ("II", "aVF", "V2", "V5")
DRAWS = 3
SEED = 11
SEEN_MV = 0.05
KINDS = {
    "R a little off": ("shift",),
    "voltage of all leads,\nof each chest lead": ("gain", "lead_gain"),
    "the heart turned": ("rotation",),
    "electrodes displaced": ("displacement",),
    "wander and muscle": ("wander", "muscle"),
    "masked leads": ("lead_masks", "most_leads"),
    "masked stretches": ("stretch_masks",),
}
# So that each draw of the picture has what most draws of training do not have.
SURELY = ("lead_masks", "stretch_masks")


def only(names: tuple[str, ...]) -> Strength:
    """The strong form of some kinds alone."""
    strong = {name: getattr(STRENGTHS["strong"], name) for name in names}
    return Strength(**strong | {name: 1.0 for name in SURELY if name in names})


def draws(beat: np.ndarray, strength: Strength) -> np.ndarray:
    """(DRAWS, 12, 600) mV; of masks, the first draws that take away something to be seen in all leads but one."""
    rows = [LEADS.index(lead) for lead in SHOWN]
    for seed in range(SEED, SEED + 20_000):
        drawn = augmented(np.stack([beat] * DRAWS), strength, np.random.default_rng(seed))
        seen = np.abs(drawn - beat)[:, rows].max(axis=-1) > SEEN_MV
        if strength.lead_masks < 1 and strength.stretch_masks < 1:
            return drawn
        if seen.any(axis=1).all() and seen.any(axis=0).sum() == len(SHOWN) - 1:
            return drawn
    raise SystemExit("nothing to be seen was masked")


def shown_beat() -> tuple[np.ndarray, str]:
    """(12, 600) mV of an anterior occlusion, and its name."""
    for plan in plan_cohort():
        if plan.omi:
            ecg = simulate_ecg(plan)
            t = ecg.truth
            calm = t.rhythm == "sinus" and not t.fault and not t.mimic and t.heart_rate < 85
            if calm and "LAD" in t.artery and 0.16 < t.injury_mv < 0.30:
                return median_beat(ecg.record).beat, f"{plan.ecg_id}, {t.artery} occluded"
    raise SystemExit("no such ECG in the cohort")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    beat, name = shown_beat()
    rows = {kind: only(names) for kind, names in KINDS.items()}
    assert {f.name for f in fields(Strength)} == {part for names in KINDS.values() for part in names}
    rows |= {f"all: {strength}": STRENGTHS[strength] for strength in STRENGTHS}
    figure = Figure(figsize=(11, 1.45 * len(rows) + 0.6), dpi=100, layout="constrained")
    panels = figure.subplots(len(rows), len(SHOWN), sharex=True, sharey="col")
    ms = (np.arange(600) - 300) * 2
    window = slice(150, 550)
    reach = {lead: beat[LEADS.index(lead), window] for lead in SHOWN}
    heights = {lead: (min(-0.3, 1.2 * x.min()), max(0.3, 1.2 * x.max())) for lead, x in reach.items()}
    for line, (kind, strength) in zip(panels, rows.items(), strict=True):
        drawn = draws(beat, strength)
        for axes, lead in zip(line, SHOWN, strict=True):
            row = LEADS.index(lead)
            axes.plot(ms[window], beat[row, window], color="0.6", linewidth=2.2)
            for k in range(DRAWS):
                axes.plot(ms[window], drawn[k, row, window], color=COLOURS[k], linewidth=0.9)
            axes.set(ylim=heights[lead], xlim=(-300, 500))
            axes.grid(color="0.92", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        line[0].set_ylabel(kind, rotation=0, ha="right", va="center", fontsize=9)
    for axes, lead in zip(panels[0], SHOWN, strict=True):
        axes.set_title(lead, fontsize=10, fontweight="bold")
    for axes in panels[-1]:
        axes.set_xlabel("ms after R", fontsize=9)
    figure.suptitle(f"SIMULATED ECG ({name}), mV: grey as it is, in colour as it is shown", fontsize=11)
    save_figure(figure, out)


if __name__ == "__main__":
    main()
