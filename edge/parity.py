"""Does this machine compute what the trained model computed?

Every bundle carries this file, and those that it needs, as one script ``device_parity.py``, which a device runs with
Python 3.9 or newer, NumPy and LiteRT (or tflite-runtime) and nothing else.

    python -I device_parity.py [BUNDLE] [--threads 1] [--json]

It verifies the bundle's checksums, replays the bundle's own beats on this machine, compares the probabilities
with those of the trained model and with those seen when the bundle was made, and exits 0 (passed) or 1 (failed).
"""

import argparse
import json
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edge.bands import OPEN, RULE_IN, RULE_OUT, band_of
from edge.network import Network, interpreter_class
from edge.verified import CONTRACTS, BundleError, load, parity_set

# Two correct runtimes differ by rounding; int8 kernels may round one step of the last layers differently.
DEVICE_TOLERANCE = {"float32": 1e-4, "int8": 0.02}
MOST_THREADS = 256


def compare(expected: np.ndarray, found: np.ndarray, omi: np.ndarray, threshold: float) -> dict[str, float]:
    """Differences of two sets of probabilities of the same ECGs.

    Parameters
    ----------
    expected, found, omi
        (n,) probabilities of the trained model and of the other one, labels 0/1.

    Returns
    -------
    ``n``, ``max_delta``, ``p99_delta`` (of |Δp|), ``flips`` (fraction of decisions that differ at the threshold),
    ``delta_auc`` and ``delta_ap`` (absolute; NaN when ``omi`` has one class).
    """
    delta = np.abs(found.astype(np.float64) - expected)
    flips = (found >= threshold) != (expected >= threshold)
    return {
        "n": len(delta),
        "max_delta": float(delta.max()),
        "p99_delta": float(np.percentile(delta, 99)),
        "flips": float(flips.mean()),
        "delta_auc": abs(auc(omi, found) - auc(omi, expected)),
        "delta_ap": abs(average_precision(omi, found) - average_precision(omi, expected)),
    }


def exceeded(result: dict[str, float], limits: dict[str, float]) -> list[str]:
    """The limits that a result does not keep, in words. A value that is not a number keeps no limit."""
    return [
        f"{name} {result[name]:.3g} is above {limit:g}"
        for name, limit in limits.items()
        if not result[name] <= limit and not (name in ("delta_auc", "delta_ap") and np.isnan(result[name]))
    ]


def auc(omi: np.ndarray, probability: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half; NaN for one class."""
    positive, negative = probability[omi == 1], np.sort(probability[omi == 0])
    if not len(positive) or not len(negative):
        return float("nan")
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / 2 / len(negative))


def average_precision(omi: np.ndarray, probability: np.ndarray) -> float:
    """Average precision, the step-wise sum over distinct thresholds; NaN without a positive."""
    if not (omi == 1).any():
        return float("nan")
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(omi[order] == 1)
    last = np.append(np.diff(probability[order]) != 0, True)
    hits, drawn = hits[last], np.flatnonzero(last) + 1
    return float(np.sum(np.diff(hits, prepend=0) / hits[-1] * hits / drawn))


def replay(bundle: Path, threads: int = 1) -> dict[str, Any]:
    """Verify a bundle, run its parity set on this machine and judge it: :func:`load`, then :func:`replayed`."""
    return replayed(*load(bundle), threads)


def replayed(manifest: dict[str, Any], contents: dict[str, bytes], threads: int = 1) -> dict[str, Any]:
    """Run the parity set of a bundle that was loaded on this machine and judge it.

    Returns
    -------
    ``passed``, ``failures`` (sentences), ``against_model`` and ``against_export`` (:func:`compare`), ``in_band`` (ECGs
    in each band, None without bands), ``band_changes`` (ECGs in another one than by the trained model), ``latency_ms``
    (median, p95), ``peak_memory_mb`` of this process (None where the system does not tell), and facts about the
    machine.

    Raises
    ------
    BundleError
        When the bundle must not be used.
    """
    parity = parity_set(contents["parity.npz"])
    network = Network(contents["model.tflite"], threads)
    found, seconds = np.empty(len(parity["omi"])), np.empty(len(parity["omi"]))
    for i, beat in enumerate(parity["beats"]):
        start = time.perf_counter()
        try:
            found[i] = network.probability(beat)
        except ValueError as error:
            raise BundleError(f"beat {i} of parity.npz: {error}") from None
        seconds[i] = time.perf_counter() - start
    threshold = float(manifest["threshold"])
    against_model = compare(parity["expected"], found, parity["omi"], threshold)
    against_export = compare(parity["exported"], found, parity["omi"], threshold)
    tolerance = DEVICE_TOLERANCE.get(manifest["quantization"], 0.02)
    failures = [f"against the trained model: {text}" for text in exceeded(against_model, _limits(manifest, tolerance))]
    failures += [f"against the export: {text}" for text in exceeded(against_export, {"max_delta": tolerance})]
    bands = manifest.get("bands")
    was, now = (np.array([str(band_of(p, bands)) for p in seen]) for seen in (parity["expected"], found))
    return {
        "passed": not failures,
        "failures": failures,
        "quantization": manifest["quantization"],
        "simulated": manifest["simulated"],
        "contract": manifest["input"].get("contract", CONTRACTS[0]),
        "threshold": threshold,
        "bands": bands,
        "in_band": {name: int((now == name).sum()) for name in (RULE_IN, OPEN, RULE_OUT)} if bands else None,
        "band_changes": int((was != now).sum()),
        "against_model": against_model,
        "against_export": against_export,
        "latency_ms": {
            "median": 1e3 * float(np.median(seconds)),
            "p95": 1e3 * float(np.percentile(seconds, 95)),
            "threads": threads,
        },
        "peak_memory_mb": _peak_memory_mb(),
        "device": _device(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "runtime": _runtime(),
    }


def _peak_memory_mb() -> "float | None":
    """Most memory that this process ever held: Python, NumPy, LiteRT, the model and the parity set."""
    try:
        # Linux counts into the other figure what the process that started this one held.
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(float(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak / (2**20 if sys.platform == "darwin" else 2**10))


def _device() -> str:
    """What the system calls the board or the processor."""
    for path, key in (("/proc/device-tree/model", ""), ("/proc/cpuinfo", "model name")):
        try:
            lines = Path(path).read_text(errors="replace", encoding="utf-8").strip("\0\n").splitlines()
        except OSError:
            continue
        named = [line.partition(":")[2].strip() if key else line for line in lines if line.startswith(key)]
        if named:
            return named[0]
    return platform.processor() or platform.machine()


def _runtime() -> str:
    package = interpreter_class().__module__.split(".")[0].replace("_", "-")
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return package


def _limits(manifest: dict[str, Any], tolerance: float) -> dict[str, float]:
    """Limits for the bundle's own beats, which are few, so that one flip weighs more than in the export's gate.

    What the export measured on them is allowed again, where it is above the gate's limit.
    """
    seen = manifest["parity"]["bundled"]
    limits = {name: max(limit, seen[name]) for name, limit in manifest["limits"].items()}
    return {**limits, "max_delta": seen["max_delta"] + tolerance}


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['device']}, {result['system']}",
        f"Python {result['python']}, NumPy {result['numpy']}, {result['runtime']}; {result['quantization']}",
        "",
        f"{'':28}{'max |Δp|':>10}{'p99 |Δp|':>10}{'flips':>10}{'|ΔAUC|':>10}{'|ΔAP|':>10}",
    ]
    for name, key in (
        ("against the trained model", "against_model"),
        ("against the export", "against_export"),
    ):
        row = result[key]
        values = "".join(f"{row[k]:10.2g}" for k in ("max_delta", "p99_delta", "flips", "delta_auc", "delta_ap"))
        lines.append(f"{name:28}{values}")
    latency, memory = result["latency_ms"], result["peak_memory_mb"]
    simulated = ", simulated" if result["simulated"] else ""
    if result["in_band"]:
        counted = ", ".join(f"{name} {count}" for name, count in result["in_band"].items())
        lines += ["", f"{counted}; {result['band_changes']} in another band than by the trained model"]
    lines += [
        "",
        f"{result['against_model']['n']} ECGs{simulated}; latency per beat {latency['median']:.1f} ms median, "
        f"{latency['p95']:.1f} ms p95, {latency['threads']} thread(s)"
        + ("" if memory is None else f"; peak memory {memory:.0f} MB"),
        *(f"FAILED: {failure}" for failure in result["failures"]),
        "parity: passed" if result["passed"] else "parity: failed",
    ]
    return "\n".join(lines)


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Check that this machine computes what the trained model computed.")
    parser.add_argument("bundle", nargs="?", default=Path(__file__).parent, type=Path, help="bundle folder")
    parser.add_argument("--threads", type=int, default=1, help="threads of the interpreter (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if not 1 <= options.threads <= MOST_THREADS:
        parser.error(f"--threads must be 1 to {MOST_THREADS}")
    if hasattr(sys.stdout, "reconfigure"):
        # A terminal or pipe without Greek letters must not turn a passing bundle into a failure.
        sys.stdout.reconfigure(errors="replace")
    try:
        result = replay(options.bundle, options.threads)
    except BundleError as error:
        result = {"passed": False, "failures": [str(error)]}
        print(json.dumps(result) if options.json else f"parity: failed: {error}")
        return 1
    print(json.dumps(result) if options.json else _table(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
