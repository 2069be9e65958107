#!/usr/bin/env python
"""Time training beside PyTorch, on this machine, in one run:  python scripts/benchmark_training.py

A training step at batch 128, and at 18 ECGs, which the paper's balancing within a batch of 128 leaves at 7 % OMI.
Then a whole epoch of such batches from a memory-mapped file, against its steps alone: what is more is reading,
balancing and bookkeeping. Needs the torch extra. Prints times and ratios, --json for programs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmark_models import LEARNING_RATE, NETWORKS, beside_pytorch, told

BATCHES = (18, 128)
EPOCH_STEPS = 30
BATCH = 18


def epoch_against_steps(network: str) -> dict[str, float]:
    """Seconds of an epoch of 30 batches of 18 ECGs, and of as many steps on ECGs that lie ready."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from omi_keras.data.pipeline import TrainingPipeline
    from omi_keras.models.catalogue import build
    from omi_keras.training.optimizer import TorchAdam
    from omi_keras.training.runtime import prepare_process
    from omi_keras.training.tensorflow_epoch import COMPILED_NETWORKS, tensorflow_epoch, training_step

    prepare_process()
    rng = np.random.default_rng(0)
    model, optimizer = build(network), TorchAdam(LEARNING_RATE)
    optimizer.build(model.trainable_variables)
    compiled = network in COMPILED_NETWORKS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "beats.npy"
        np.save(path, rng.standard_normal((EPOCH_STEPS * BATCH, 12, 600), dtype=np.float32))
        beats = np.load(path, mmap_mode="r")
        omi = np.arange(len(beats)) % 2
        batches = list(rng.permutation(len(beats)).reshape(EPOCH_STEPS, BATCH))
        pipeline = TrainingPipeline(beats, omi, np.arange(len(beats)))
        epoch = tensorflow_epoch(model, optimizer, pipeline, frozenset({BATCH} if compiled else ()))
        step = training_step(model, optimizer, compiled=compiled)
        x, y = rng.standard_normal((BATCH, 12, 400, 1)).astype(np.float32), (np.arange(BATCH) % 2).astype(np.int32)
        epoch(batches[:2], lambda number, of: None)
        step(x, y)
        whole, steps = [], []
        for _ in range(5):
            start = time.perf_counter()
            epoch(batches, lambda number, of: None)
            whole.append(time.perf_counter() - start)
            start = time.perf_counter()
            for _ in range(EPOCH_STEPS):
                float(step(x, y))
            steps.append(time.perf_counter() - start)
    # The best of each: what else the machine does can only add, and the difference sought is small.
    return {"epoch": min(whole), "steps": min(steps)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=("ecg-smart-net", "mayo-alvd"))
    parser.add_argument("--rounds", type=int, default=2, help="how often each contender has its turn")
    parser.add_argument("--repetitions", type=int, default=5, help="in each turn")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--epoch", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.epoch:
        print(json.dumps(epoch_against_steps(options.epoch)))
        return
    rows = []
    for network in options.networks:
        for batch in BATCHES:
            rows.append(beside_pytorch(network, "training", batch, options.rounds, options.repetitions))
            if not options.json:
                print(told(rows[-1]), flush=True)
        command = [sys.executable, __file__, "--epoch", network]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, encoding="utf-8")
        found = json.loads(done.stdout.splitlines()[-1])
        rows.append({"network": network, "work": "epoch", "batch": BATCH, "seconds": found})
        if not options.json:
            ratio = found["epoch"] / found["steps"]
            print(
                f"{network:18} an epoch of {EPOCH_STEPS} batches of {BATCH}: {found['epoch']:.2f} s, its steps alone "
                f"{found['steps']:.2f} s → {ratio:.2f}x",
                flush=True,
            )
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
