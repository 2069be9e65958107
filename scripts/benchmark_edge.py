#!/usr/bin/env python
"""Time bundles on one ECG at a time, beside ONNX Runtime and PyTorch:  python scripts/benchmark_edge.py BUNDLE ...

The bundles' models through LiteRT (what they make of the beat included), and the PyTorch original of the same
network, eager, channels-last, and as ONNX in float32 and 8-bit integers where onnxruntime and onnx are installed;
its weights are random, which costs the same. Every turn is a process of its own; turns are taken in rounds, so that
what else the machine does meets all alike, and the median of all counts. Needs the torch extra. Prints times,
ratios, the peak memory of each process and what the processor can do with 8-bit integers; --json for programs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from omi_keras.beats.contracts import CONTRACT, input_shape

ROOT = Path(__file__).resolve().parent.parent
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm")
TORCH, LAST, ONNX, ONNX_INT8 = "PyTorch eager", "PyTorch channels-last", "ONNX Runtime float32", "ONNX Runtime int8"
PEERS = (TORCH, LAST, ONNX, ONNX_INT8)


def litert(bundle: Path, threads: int) -> Callable[[], object]:
    # The bundle's own script: NumPy and LiteRT alone, as on a device that computes its median beats itself.
    spec = importlib.util.spec_from_file_location("device_parity", bundle / "device_parity.py")
    device_parity = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True  # a bundle with byte code in it is no longer what its manifest says
    spec.loader.exec_module(device_parity)
    network = device_parity.Network((bundle / "model.tflite").read_bytes(), threads)
    with np.load(bundle / "parity.npz", allow_pickle=False) as arrays:
        beat = arrays["beats"][0]
    return lambda: network.judge(beat)


def pytorch(network: str, threads: int, channels_last: bool) -> Callable[[], object]:
    import torch
    import torch_originals

    torch.set_num_threads(threads)
    model, x = torch_originals.build(network.split()[0]).eval(), torch.from_numpy(_input(network))
    if channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return model(x)

    return run


def onnx(file: Path, network: str, threads: int) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: _input(network)}
    return lambda: session.run(None, feed)


def write_onnx(network: str, folder: Path) -> None:
    """The PyTorch original as ``NETWORK.onnx`` and, with activations of random inputs, ``NETWORK-int8.onnx``."""
    import onnxruntime
    import torch
    import torch_originals
    from onnxruntime import quantization

    floats, integers = folder / f"{network}.onnx", folder / f"{network}-int8.onnx"
    model = torch_originals.build(network.split()[0]).eval()
    torch.onnx.export(model, (torch.from_numpy(_input(network)),), str(floats), dynamo=True, external_data=False)

    name = onnxruntime.InferenceSession(str(floats)).get_inputs()[0].name

    class Beats(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.feeds = iter([{name: _input(network, seed)} for seed in range(8)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.feeds, None)

    quantization.quantize_static(str(floats), str(integers), Beats(), per_channel=True)


def _input(network: str, seed: int = 0) -> np.ndarray:
    """What a network, ``NAME`` or ``NAME CONTRACT``, takes in PyTorch."""
    leads, samples, _ = input_shape(network.partition(" ")[2] or CONTRACT)
    return np.random.default_rng(seed).standard_normal((1, 1, leads, samples)).astype(np.float32)


def measure(contender: str, network: str, threads: int, folder: Path, repetitions: int) -> dict[str, Any]:
    """Milliseconds of each repetition after ten to warm up, and the peak memory of this process."""
    import resource

    if contender in (TORCH, LAST):
        run = pytorch(network, threads, contender == LAST)
    elif contender in (ONNX, ONNX_INT8):
        run = onnx(folder / f"{network}{'-int8' if contender == ONNX_INT8 else ''}.onnx", network, threads)
    else:
        run = litert(Path(contender), threads)
    for _ in range(10):
        run()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return {"ms": times, "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def processor() -> dict[str, Any]:
    """Its name, and which instructions for vectors and 8-bit integers it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {"name": "unknown", "features": []}
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    return {"name": facts.get("model name", "unknown"), "features": [name for name in FEATURES if name in flags]}


def child(*arguments: object) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "scripts")])}
    if os.environ.get("PYTHONPATH"):
        environment["PYTHONPATH"] += os.pathsep + os.environ["PYTHONPATH"]
    command = [sys.executable, __file__, "--one", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"{arguments[0]}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def compare(network: str, bundles: dict[str, Path], threads: int, options: argparse.Namespace, folder: Path) -> Any:
    peers = [peer for peer in PEERS if (folder / f"{network}.onnx").exists() or "ONNX" not in peer]
    contenders = {name: str(path) for name, path in bundles.items()} | {peer: peer for peer in peers}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, contender in contenders.items():
            text = child(contender, network, threads, folder, "--repetitions", options.repetitions)
            found[name].append(json.loads(text.splitlines()[-1]))
    ms = {name: statistics.median(t for turn in turns for t in turn["ms"]) for name, turns in found.items()}
    memory = {name: max(turn["memory_mb"] for turn in turns) for name, turns in found.items()}
    ratios = {name: {peer: ms[name] / ms[peer] for peer in peers} for name in bundles}
    return {"network": network, "threads": threads, "ms": ms, "memory_mb": memory, "ratios": ratios}


def told(result: dict[str, Any]) -> str:
    peers = list(next(iter(result["ratios"].values())))
    head = f"{result['network']}, {result['threads']} thread{'s' if result['threads'] > 1 else ''}"
    lines = [f"| {head} | ms | MB | " + " | ".join(f"÷ {peer}" for peer in peers) + " |"]
    lines.append("|---" * (3 + len(peers)) + "|")
    for name, value in result["ms"].items():
        ratios = result["ratios"].get(name, {})
        cells = " | ".join(f"{ratios[peer]:.2f}" if peer in ratios else "" for peer in peers)
        lines.append(f"| {name} | {value:.1f} | {result['memory_mb'][name]:.0f} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender has its turn")
    parser.add_argument("--repetitions", type=int, default=30, help="in each turn")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one and options.one[0] == "onnx":
        write_onnx(options.one[1], Path(options.one[2]))
        return
    if options.one:
        contender, network, threads, folder = options.one
        print(json.dumps(measure(contender, network, int(threads), Path(folder), options.repetitions)))
        return
    if not options.bundles:
        parser.error("name one bundle or more")
    networks: dict[str, dict[str, Path]] = {}
    for bundle in options.bundles:
        manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
        contract = manifest["input"].get("contract", CONTRACT)
        network = manifest["model"] if contract == CONTRACT else f"{manifest['model']} {contract}"
        networks.setdefault(network, {})[f"LiteRT {manifest['quantization']}"] = bundle.resolve()
    results, facts = [], processor()
    if not options.json:
        print(f"{facts['name']}; {', '.join(facts['features'])}\n")
    with tempfile.TemporaryDirectory() as scratch:
        for network, bundles in networks.items():
            if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
                child("onnx", network, scratch)
            for threads in options.threads:
                results.append(compare(network, bundles, threads, options, Path(scratch)))
                if not options.json:
                    print(told(results[-1]) + "\n", flush=True)
    if options.json:
        print(json.dumps({"processor": facts, "results": results}))


if __name__ == "__main__":
    main()
