#!/usr/bin/env python
"""Time the paper's protocol on a GPU beside PyTorch:  KERAS_BACKEND=jax python scripts/benchmark_gpu.py DATASET OUT

Trains every network by `omi-keras train` under JAX, all folds, and one fold by a plain eager PyTorch loop with the
same batches, schedule and validation on the same GPU. Writes OUT/gpu.json: seconds of both, their ratio for one fold,
and the Table 4 row of the run. DATASET is a folder of `omi-keras simulate` or `prepare`. Needs the torch and jax
extras. For a try without a GPU: --epochs 1 --folds 0 --networks mayo-alvd on a small cohort.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from benchmark_models import NETWORKS

TRAIN = "import sys; from omi_keras.cli import main; main(sys.argv[1:])"


def train_on_jax(dataset: Path, run: Path, network: str, folds: str, epochs: int) -> float:
    """Seconds of the whole command, from start to the finished run."""
    start = time.perf_counter()
    command = ["train", str(dataset), str(run), "--model", network, "--folds", folds, "--epochs", str(epochs)]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", TRAIN, *command], env=environment, check=True)
    return time.perf_counter() - start


def train_on_torch(dataset: Path, network: str, fold: int, epochs: int) -> float:
    """Seconds of one fold by an eager PyTorch loop: the paper's protocol, the data on the device."""
    import torch
    import torch_originals

    from omi_keras.data.batches import epoch_batches, read_batch
    from omi_keras.data.dataset import load_dataset
    from omi_keras.data.folds import assign_folds, rotation
    from omi_keras.evaluation.metrics import ranking_metrics
    from omi_keras.models.catalogue import LEARNING_RATES

    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = load_dataset(dataset)
    omi = data.ecgs["omi"].to_numpy(int)
    fold_of = assign_folds(omi, data.ecgs["patient_id"].to_numpy(str))
    training, validation, _ = rotation(fold)
    rows, judged = np.flatnonzero(np.isin(fold_of, training)), np.flatnonzero(fold_of == validation)
    start = time.perf_counter()
    inputs, against = (
        torch.from_numpy(read_batch(data.beats, part).transpose(0, 3, 1, 2).copy()).to(device)
        for part in (rows, judged)
    )
    labels = torch.from_numpy(omi[rows]).to(device)
    model = torch_originals.build(network).to(device)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATES[network])
    # PyTorch lowers the rate after more than ``patience`` epochs: two of them are Keras' three.
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor=0.8, patience=2, threshold=0)
    for epoch in range(1, epochs + 1):
        model.train()
        for batch in epoch_batches(omi[rows], 128, "batch", np.random.default_rng([0, fold, epoch])):
            picked = torch.from_numpy(batch).to(device)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[picked]), labels[picked]).backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            logits = torch.cat([model(part) for part in against.split(128)]).float().cpu().numpy()
        plateau.step(ranking_metrics(omi[judged], logits[:, 1] - logits[:, 0])["score"])
    return time.perf_counter() - start


def table4_row(run: Path, folds: list[int]) -> dict[str, float]:
    """Mean and SD over folds of validation and test AUC and AP."""
    metrics = [json.loads((run / f"fold-{fold:02d}" / "metrics.json").read_text(encoding="utf-8")) for fold in folds]
    row: dict[str, float] = {"folds": len(metrics)}
    for split in ("validation", "test"):
        for name in ("auc", "ap"):
            values = [found[split][name] for found in metrics]
            row[f"{split}_{name}_mean"] = float(np.mean(values))
            row[f"{split}_{name}_sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=("ecg-smart-net", "mayo-alvd"))
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--folds", default="all")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    folds = list(range(10)) if options.folds == "all" else [int(fold) for fold in options.folds.split(",")]
    found: dict[str, Any] = {"epochs": options.epochs, "networks": {}}
    found["simulated"] = json.loads((options.dataset / "dataset.json").read_text(encoding="utf-8"))["simulated"]
    for network in options.networks:
        run, one = options.out / network, options.out / f"{network}-one-fold"
        seconds = {
            "folds": train_on_jax(options.dataset, run, network, options.folds, options.epochs),
            "one fold": train_on_jax(options.dataset, one, network, str(folds[0]), options.epochs),
            "one fold, PyTorch": train_on_torch(options.dataset, network, folds[0], options.epochs),
        }
        ratio = seconds["one fold, PyTorch"] / seconds["one fold"]
        found["networks"][network] = {"seconds": seconds, "ratio": ratio, "table4": table4_row(run, folds)}
        (options.out / "gpu.json").write_text(json.dumps(found, indent=2), encoding="utf-8")
        print(f"{network}: {len(folds)} folds {seconds['folds']:.0f} s; one fold {ratio:.1f} times as fast as PyTorch")


if __name__ == "__main__":
    main()
