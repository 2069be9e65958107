#!/usr/bin/env python
"""Draw six ECGs of the simulated default cohort on ECG paper:

    python scripts/figure_simulated_ecgs.py docs/explanation/simulator

The first ECG of the cohort that fits each description is drawn: occlusions of middling size, not the prettiest.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from omi_keras.drawing import ecg_picture
from omi_keras.simulate.cohort import SimulatedECG, plan_cohort, simulate_ecg

# Injury vectors that a reader sees: most occlusions of the cohort are smaller.
SEEN_MV = (0.13, 0.32)


def quiet(ecg: SimulatedECG) -> bool:
    """Whether rhythm and recording draw no attention away from ST and T."""
    t = ecg.truth
    calm = t.rhythm == "sinus" and t.heart_rate < 85 and not t.beat_kinds.any()
    return calm and t.noise_level < 0.9 and not t.fault


def occlusion(artery: str) -> Callable[[SimulatedECG], bool]:
    def fits(ecg: SimulatedECG) -> bool:
        t = ecg.truth
        early = t.minutes < 300
        return t.artery == artery and not t.mimic and SEEN_MV[0] < t.injury_mv < SEEN_MV[1] and early

    return fits


WANTED: dict[str, Callable[[SimulatedECG], bool]] = {
    "normal": lambda ecg: not ecg.plan.omi and not ecg.truth.mimic,
    "left-anterior-descending": occlusion("mid LAD"),
    "right-coronary": occlusion("RCA"),
    "circumflex": occlusion("LCx"),
    "posterior": occlusion("posterior"),
    "mimic": lambda ecg: not ecg.plan.omi and ecg.truth.mimic == "LBBB",
}


def title(ecg: SimulatedECG) -> str:
    """What is known about an ECG."""
    t, p = ecg.truth, ecg.plan
    what = f"{t.artery} occluded for {t.minutes:.0f} min" if t.artery else t.mimic or "no occlusion, nothing else"
    return f"Simulated: {what}. {p.sex.capitalize()}, {p.age}, {t.heart_rate:.0f}/min ({p.ecg_id}, seed 0)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    missing = dict(WANTED)
    for plan in plan_cohort(seed=0):
        ecg = simulate_ecg(plan, 0)
        for name in [name for name, fits in missing.items() if quiet(ecg) and fits(ecg)]:
            del missing[name]
            ecg_picture(ecg.record, title=title(ecg)).save(out / f"{name}.svg")
            print(out / f"{name}.svg", ecg.plan.ecg_id)
        if not missing:
            break


if __name__ == "__main__":
    main()
