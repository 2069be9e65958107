#!/usr/bin/env python
"""Time the networks beside PyTorch, on this machine, in one run:  python scripts/benchmark_models.py

Inference and a training step on --batch model inputs, each as its users run it by default. Every time is taken in a
process of its own, one after the other, so that none meets the other's threads or memory; the rounds take turns, and
the median of all repetitions counts. Needs the torch extra. Prints times and ratios, --json for programs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NETWORKS = ("ecg-smart-net", "temporal-resnet18", "resnet18", "mayo-alvd")
CONTENDERS = ("ours", "torch", "torch channels-last")
LEARNING_RATE = 1e-5
# (work, whose time divides ours)
RATIOS = (("inference", "torch channels-last"), ("training", "torch"), ("training", "torch channels-last"))


def ours(network: str, work: str, x: np.ndarray, y: np.ndarray) -> Callable[[], object]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from omi_keras.models.catalogue import build
    from omi_keras.models.inference import input_logits
    from omi_keras.training.optimizer import TorchAdam
    from omi_keras.training.runtime import prepare_process
    from omi_keras.training.tensorflow_epoch import COMPILED_NETWORKS, training_step

    model, x = build(network), x[..., None]
    if work == "inference":
        return lambda: input_logits(model, x)
    prepare_process()
    optimizer = TorchAdam(LEARNING_RATE)
    optimizer.build(model.trainable_variables)
    step, y = training_step(model, optimizer, compiled=network in COMPILED_NETWORKS), y.astype(np.int32)
    return lambda: float(step(x, y))


def pytorch(network: str, work: str, x: np.ndarray, y: np.ndarray, channels_last: bool) -> Callable[[], object]:
    import torch
    import torch_originals

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model, inputs, labels = torch_originals.build(network), torch.from_numpy(x[:, None]), torch.from_numpy(y)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        inputs = inputs.to(memory_format=torch.channels_last)
    if work == "inference":
        model.eval()

        def infer() -> torch.Tensor:
            with torch.inference_mode():
                return model(inputs)

        return infer
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def measure(contender: str, network: str, work: str, batch: int, repetitions: int) -> list[float]:
    """Seconds of each repetition, after two to warm up (the first compiles)."""
    x = np.random.default_rng(0).standard_normal((batch, 12, 400)).astype(np.float32)
    y = np.arange(batch) % 2
    run = (
        ours(network, work, x, y)
        if contender == "ours"
        else pytorch(network, work, x, y, contender == "torch channels-last")
    )
    for _ in range(2):
        run()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--work", nargs="+", choices=("inference", "training"), default=("inference", "training"))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2, help="how often each contender has its turn")
    parser.add_argument("--repetitions", type=int, default=5, help="in each turn")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("CONTENDER", "NETWORK", "WORK"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, options.batch, options.repetitions)))
        return
    rows = []
    for network in options.networks:
        for work in options.work:
            row = beside_pytorch(network, work, options.batch, options.rounds, options.repetitions)
            rows.append(row)
            if not options.json:
                print(told(row), flush=True)
    if options.json:
        print(json.dumps(rows))


def beside_pytorch(network: str, work: str, batch: int, rounds: int, repetitions: int) -> dict[str, Any]:
    """Median seconds of each contender, and the ratios that count."""
    times: dict[str, list[float]] = {contender: [] for contender in CONTENDERS}
    for _ in range(rounds):
        for contender in CONTENDERS:
            command = [sys.executable, __file__, "--one", contender, network, work]
            command += ["--batch", str(batch), "--repetitions", str(repetitions)]
            environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"}
            done = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, text=True, check=True, encoding="utf-8"
            )
            times[contender] += json.loads(done.stdout.splitlines()[-1])
    seconds = {contender: statistics.median(values) for contender, values in times.items()}
    ratios = {peer: seconds["ours"] / seconds[peer] for of, peer in RATIOS if of == work}
    return {"network": network, "work": work, "batch": batch, "seconds": seconds, "ratios": ratios}


def told(row: dict[str, Any]) -> str:
    """One line for people."""
    seconds = "  ".join(f"{contender} {value:.3f} s" for contender, value in row["seconds"].items())
    ratios = ", ".join(f"{ratio:.2f}x {peer}" for peer, ratio in row["ratios"].items())
    return f"{row['network']:18} {row['work']:9} batch {row['batch']:3}  {seconds}  → {ratios}"


if __name__ == "__main__":
    main()
