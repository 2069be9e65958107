#!/usr/bin/env python
"""Hold simulated cohorts against the literature:  python scripts/calibrate_simulator.py [--seeds 0,1,2]

For each seed: a cohort as `omi-keras simulate` makes it, the STEMI criteria on its median beats, every engineered
feature alone, and the cross-validated random forest of `omi-keras train --model random-forest`. Prints a table of what
was measured beside the range that it should lie in; exit 1 when anything lies outside. --json for programs.

About 10 minutes for each seed of the default size on two cores; --ecgs 3000 --patients 2000 for a first look, which
has too few occlusions to be judged strictly.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from omi_keras.cli.terminal import progress
from omi_keras.data.dataset import Dataset, load_dataset
from omi_keras.data.folds import FOLDS
from omi_keras.data.prepare import prepare_cohort
from omi_keras.measures.features import FEATURES, beat_features
from omi_keras.measures.stemi import stemi_criteria
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.simulate.cohort import simulate_cohort
from omi_keras.training.cross_validation import cross_validate

# Measure, lowest, highest, where the range comes from.
TARGETS = (
    ("STEMI criteria, sensitivity", 0.25, 0.45, "Herman 2023: 0.325; Swedish emergency cohort 2025: 0.26"),
    ("STEMI criteria, specificity", 0.95, 0.985, "Herman 2023: 0.977; Swedish emergency cohort 2025: 0.98"),
    ("best single feature, AUC", 0.5, 0.80, "no single measure finds OMI"),
    ("random forest, AUC", 0.84, 0.90, "paper, Table 4; Al-Zaiti 2023"),
    ("random forest, AP", 0.46, 0.60, "paper, Table 4: 0.514"),
)


def auc_of_features(features: np.ndarray, omi: np.ndarray) -> np.ndarray:
    """AUC of each column alone, whichever way it points; NaN (not defined) counts as the middle, (n_features,)."""
    filled = np.where(np.isnan(features), np.nanmedian(features, axis=0), features)
    positive = omi == 1
    ranks = rankdata(filled, axis=0)[positive].sum(axis=0)
    pairs = positive.sum() * (~positive).sum()
    auc = (ranks - positive.sum() * (positive.sum() + 1) / 2) / pairs
    return np.maximum(auc, 1.0 - auc)


def stemi_rates(dataset: Dataset) -> tuple[float, float]:
    """Sensitivity and specificity of the STEMI criteria for OMI."""
    ecgs = dataset.ecgs
    positive = stemi_criteria(dataset.beats, ecgs["age"].to_numpy(float), ecgs["sex"].to_numpy(str))
    omi = ecgs["omi"].to_numpy(int) == 1
    return float(positive[omi].mean()), float(1.0 - positive[~omi].mean())


def measure(ecgs: int, patients: int, prevalence: float, seed: int, folder: Path) -> dict[str, float | str]:
    """All measures of one cohort, made in ``folder``."""
    config = {"ecgs": ecgs, "patients": patients, "prevalence": prevalence, "seed": seed}
    began = time.monotonic()
    with progress(f"seed {seed}: simulating") as tick:
        prepare_cohort(simulate_cohort(ecgs, patients, prevalence, seed), folder / "dataset", config=config, tick=tick)
    seconds = time.monotonic() - began
    dataset = load_dataset(folder / "dataset")
    omi = dataset.ecgs["omi"].to_numpy(int)
    sensitivity, specificity = stemi_rates(dataset)
    alone = auc_of_features(beat_features(dataset.beats), omi)
    print(f"seed {seed}: growing forests", file=sys.stderr)
    run = cross_validate(dataset, folder / "run", RANDOM_FOREST, split=FOLDS, seed=seed)
    folds = {result.fold: result.metrics for result in run.results}
    return {
        "seed": seed,
        "ecgs": len(omi),
        "with OMI": int(omi.sum()),
        "seconds to dataset": round(seconds, 1),
        "STEMI criteria, sensitivity": sensitivity,
        "STEMI criteria, specificity": specificity,
        "best single feature, AUC": float(alone.max()),
        "which": FEATURES[int(alone.argmax())],
        "random forest, AUC": float(np.mean([fold["test"]["auc"] for fold in folds.values()])),
        "random forest, AP": float(np.mean([fold["test"]["ap"] for fold in folds.values()])),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2", help="cohorts to make, separated by commas (default: 0,1,2)")
    parser.add_argument("--ecgs", type=int, default=10893)
    parser.add_argument("--patients", type=int, default=7297)
    parser.add_argument("--prevalence", type=float, default=0.066)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    found = []
    for seed in (int(text) for text in options.seeds.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(options.ecgs, options.patients, options.prevalence, seed, Path(folder)))
    outside = [
        f"seed {one['seed']}: {name} {one[name]:.3f}"
        for one in found
        for name, low, high, _ in TARGETS
        if not low <= float(one[name]) <= high
    ]
    if options.json:
        print(json.dumps({"simulated": True, "cohorts": found, "outside": outside}))
        return 1 if outside else 0
    print("simulated ECGs".ljust(32) + "".join(f"seed {one['seed']}".rjust(10) for one in found) + "   should be")
    for name in ("ecgs", "with OMI", "seconds to dataset"):
        print(name.ljust(32) + "".join(f"{one[name]:>10}" for one in found))
    for name, low, high, why in TARGETS:
        values = "".join(f"{one[name]:10.3f}" for one in found)
        print(f"{name.ljust(32)}{values}   {low:g} to {high:g} ({why})")
    print("".join(f"\nseed {one['seed']}: best single feature is {one['which']}" for one in found).lstrip())
    print("\n".join(["outside:", *outside]) if outside else "all within")
    return 1 if outside else 0


if __name__ == "__main__":
    raise SystemExit(main())
