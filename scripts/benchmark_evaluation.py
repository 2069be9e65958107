#!/usr/bin/env python
"""How long ``omi-keras evaluate`` takes on two ten-fold runs of the paper's size, with 2,000 bootstraps.

The runs and the dataset are fabricated: labels and patients in the shape of Table 3, probabilities drawn at random, one
beat with noise for all. Nothing of what they show means anything.

    python scripts/benchmark_evaluation.py [--ecgs 10893 --patients 7297 --runs 2]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from omi_keras.beats.median_beats import MedianBeat
from omi_keras.data.artifacts import write_json
from omi_keras.data.folds import assign_folds
from omi_keras.data.writer import DatasetWriter
from omi_keras.evaluation.metrics import best_f1_threshold, operating_point_metrics, ranking_metrics


def fabricate_run(
    path: Path,
    model: str,
    *,
    ecgs: int = 10893,
    patients: int = 7297,
    prevalence: float = 0.066,
    n_folds: int = 10,
    folds: list[int] | None = None,
    epochs: int = 20,
    separation: float = 1.6,
    seed: int = 0,
    config: dict[str, object] | None = None,
) -> Path:
    """Write a run folder of drawn probabilities; runs of one ``seed`` share ECGs, patients and folds."""
    rng = np.random.default_rng(seed)
    patient = np.concatenate([np.arange(patients), rng.integers(patients, size=ecgs - patients)])
    omi = (rng.permutation(patients) < round(prevalence * patients))[patient].astype(int)
    names = np.array([f"ecg-{k:05d}" for k in range(ecgs)])
    patient_id = np.array([f"p{k:05d}" for k in patient])
    fold = assign_folds(omi, patient_id, n_folds, seed)
    path.mkdir(parents=True)
    pd.DataFrame({"ecg_id": names, "patient_id": patient_id, "fold": fold}).to_csv(path / "folds.csv", index=False)
    sums = {"beats.npy": "0" * 64, "ecgs.csv": "0" * 64}
    write_json(
        path / "config.json",
        {
            "format_version": 1, "kind": "run", "model": model, "epochs": epochs, "batch_size": 128,
            "learning_rate": 1e-5, "balance": "batch", "seed": seed, "n_folds": n_folds, "dataset": "fabricated",
            "dataset_sha256": sums, "simulated": True, "versions": {},
        }
        | (config or {}),
    )  # fmt: skip
    draw = np.random.default_rng([seed, *model.encode()])
    for test in range(n_folds) if folds is None else folds:
        logit = draw.normal(separation * omi - 2, 1.0)
        probability = np.round(1 / (1 + np.exp(-logit)), 4)
        parts = {"validation": fold == (test + 1) % n_folds, "test": fold == test}
        folder = path / f"fold-{test:02d}"
        folder.mkdir()
        rows = [
            pd.DataFrame({"ecg_id": names[at], "split": name, "omi": omi[at], "probability": probability[at]})
            for name, at in parts.items()
        ]
        pd.concat(rows).to_csv(folder / "predictions.csv", index=False)
        threshold = best_f1_threshold(omi[parts["validation"]], probability[parts["validation"]])
        metrics = {
            name: operating_point_metrics(omi[at], probability[at], threshold)
            | ranking_metrics(omi[at], probability[at])
            for name, at in parts.items()
        }
        write_json(
            folder / "metrics.json",
            {"format_version": 1, "simulated": True, **metrics, "threshold": threshold, "best_epoch": epochs},
        )
        curve = metrics["validation"]["auc"] * (1 - 0.5 / np.arange(1, epochs + 1))
        history = {"epoch": np.arange(1, epochs + 1), "loss": 1 - curve, "val_loss": 1 - curve, "val_auc": curve}
        history |= {"val_ap": curve / 2, "val_score": curve, "learning_rate": 1e-5}
        pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    return path


def fabricate_dataset(path: Path, run: Path, *, seed: int = 0) -> dict[str, str]:
    """Write a dataset of one noisy beat for the ECGs of a fabricated run; return the sums that runs on it note."""
    rng = np.random.default_rng(seed)
    folds = pd.read_csv(run / "folds.csv", dtype=str)
    parts = pd.concat(pd.read_csv(file) for file in sorted(run.glob("fold-*/predictions.csv")))
    omi = parts.groupby("ecg_id")["omi"].first()
    t = np.arange(600) / 500 - 0.6
    beat = np.exp(-((t / 0.015) ** 2)) + 0.2 * np.exp(-(((t - 0.28) / 0.06) ** 2))
    path.mkdir()
    with DatasetWriter(path, carried=("rhythm", "artery")) as writer:
        for k, row in enumerate(folds.to_dict("records")):
            leads = np.outer(rng.uniform(-1, 1.5, 12), beat) + 0.02 * rng.normal(size=(12, 600))
            label = int(omi[row["ecg_id"]])
            facts = {
                "ecg_id": row["ecg_id"], "patient_id": row["patient_id"], "omi": label, "source": "fabricated",
                "site": "AB"[k % 2], "age": 40 + k % 50, "sex": ("female", "male")[k % 2], "simulated": True,
                "rhythm": ("sinus", "atrial fibrillation")[k % 9 == 0], "artery": "RCA" if label else "",
            }  # fmt: skip
            writer.add(MedianBeat(leads.astype(np.float32), 857.0, 70.0, 10, 9, np.zeros(12), ()), facts)
        info = writer.finish(label_column="omi", seed=seed, inputs={})
    return {name: info["sha256"][name] for name in ("beats.npy", "ecgs.csv")}


def main() -> None:
    """Fabricate, evaluate in a process of its own as a user would, print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ecgs", type=int, default=10893)
    parser.add_argument("--patients", type=int, default=7297)
    parser.add_argument("--runs", type=int, default=2, choices=range(1, 6))
    options = parser.parse_args()
    models = ("ecg-smart-net", "random-forest", "mayo-alvd", "resnet18", "temporal-resnet18")[: options.runs]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sizes = {"ecgs": options.ecgs, "patients": options.patients}
        sums = fabricate_dataset(folder / "dataset", fabricate_run(folder / "shape", models[0], **sizes))
        config = {"dataset": str(folder / "dataset"), "dataset_sha256": sums}
        runs = [fabricate_run(folder / m, m, config=config, **sizes) for m in models]
        start = time.perf_counter()
        call = "from omi_keras.cli import main; main()"
        subprocess.run([sys.executable, "-c", call, "evaluate", *map(str, runs), str(folder / "report")], check=True)
        seconds = time.perf_counter() - start
        size = (folder / "report" / "report.html").stat().st_size
    print(f"\n{options.runs} fabricated runs of {options.ecgs} ECGs: {seconds:.1f} s, report.html {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
