"""Does this machine compute what the trained model computed?

One file, on purpose: every bundle carries a copy of it as ``device_parity.py``, and a device runs that copy with
Python 3.9 or newer, NumPy and LiteRT (or tflite-runtime) and nothing else.

    python device_parity.py [BUNDLE] [--threads 1] [--json]

It verifies the bundle's checksums, replays the bundle's own beats on this machine, compares the probabilities
with those of the trained model and with those seen when the bundle was made, and exits 0 (passed) or 1 (failed).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

FORMAT_VERSION = 1
KEYS = ("quantization", "simulated", "threshold", "limits", "parity", "sha256", "manifest_sha256")
FILES = ("model.tflite", "parity.npz", "device_parity.py", "README.txt")
# Two correct runtimes differ by rounding; int8 kernels may round one step of the last layers differently.
DEVICE_TOLERANCE = {"float32": 1e-4, "int8": 0.02}


class BundleError(ValueError):
    """A bundle that must not be used: the message says which file and why."""


def read_manifest(bundle: Path) -> dict[str, Any]:
    """Read ``manifest.json`` and refuse what is not a bundle of this or an older format version."""
    path = bundle / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{bundle} is not a bundle: it has no manifest.json") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != "bundle":
        raise BundleError(f"{path} is not the manifest of an omi-keras bundle")
    version = manifest.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise BundleError(
            f"{path} has format version {version}, this reader knows up to {FORMAT_VERSION}; "
            "install a newer omi-keras or export the bundle again"
        )
    absent = [key for key in KEYS if key not in manifest]
    if absent:
        raise BundleError(f"{path} lacks {', '.join(absent)}: it was altered; copy the whole bundle again")
    return manifest


def manifest_checksum(manifest: dict[str, Any]) -> str:
    """SHA-256 of everything that a manifest says, but of this sum itself."""
    said = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def verify(bundle: Path) -> dict[str, Any]:
    """Check every file of a bundle against its manifest, before anything is loaded; return the manifest.

    Raises
    ------
    BundleError
        When a file is missing, altered, or not in the manifest.
    """
    manifest = read_manifest(bundle)
    if manifest["manifest_sha256"] != manifest_checksum(manifest):
        raise BundleError(f"{bundle / 'manifest.json'} was altered; copy the whole bundle again")
    threshold = manifest["threshold"]
    if not isinstance(threshold, float) or not 0 <= threshold <= 1:
        raise BundleError(f"{bundle / 'manifest.json'} has no threshold between 0 and 1; export the bundle again")
    sums = manifest["sha256"]
    if not isinstance(sums, dict) or set(sums) != set(FILES):
        raise BundleError(f"{bundle / 'manifest.json'} must list the checksums of {', '.join(FILES)}")
    for name in FILES:
        path = bundle / name
        if path.is_symlink() or not path.is_file():
            raise BundleError(f"{path} is missing; copy the whole bundle again")
        if hashlib.sha256(path.read_bytes()).hexdigest() != sums[name]:
            raise BundleError(f"{path} was altered: its checksum is not the manifest's; copy the whole bundle again")
    return manifest


def read_parity_set(bundle: Path) -> dict[str, np.ndarray]:
    """Arrays of ``parity.npz``: inputs (n, 12, 400, 1), omi, expected (trained model), exported (this model)."""
    try:
        with np.load(bundle / "parity.npz", allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("inputs", "omi", "expected", "exported")}
    except Exception as error:  # zip, NumPy and pickle refusals all mean the same here
        raise BundleError(f"{bundle / 'parity.npz'} is not a parity set: {error}") from None
    n = len(found["omi"])
    if (
        n == 0
        or found["inputs"].shape != (n, 12, 400, 1)
        or any(found[k].shape != (n,) for k in ("expected", "exported"))
    ):
        raise BundleError(f"{bundle / 'parity.npz'} has arrays of the wrong shape")
    return found


class Network:
    """A LiteRT interpreter of one model file: z-scored beats in, P(OMI) out."""

    def __init__(self, model: bytes, threads: int = 1) -> None:
        try:
            self._interpreter = interpreter_class()(model_content=model, num_threads=threads)
            self._interpreter.allocate_tensors()
            (self._input,), (self._output,) = (
                self._interpreter.get_input_details(),
                self._interpreter.get_output_details(),
            )
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"the model of the bundle does not load: {error}") from None

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Logits (2,) float64 of one model input (12, 400) or (12, 400, 1)."""
        self._interpreter.set_tensor(self._input["index"], x.reshape(1, 12, 400, 1).astype(np.float32))
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])[0].astype(np.float64)

    def probability(self, x: np.ndarray) -> float:
        """P(OMI) of one model input (12, 400) or (12, 400, 1)."""
        no_omi, omi = self.logits(x)
        return float(1 / (1 + np.exp(np.clip(no_omi - omi, -700, 700))))


def interpreter_class() -> Any:
    """LiteRT's interpreter, or the older tflite-runtime's."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError:
            raise BundleError("LiteRT is not installed; run: pip install ai-edge-litert") from None
    return Interpreter


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
    """Verify a bundle, run its parity set on this machine and judge it.

    Returns
    -------
    ``passed``, ``failures`` (sentences), ``against_model`` and ``against_export`` (:func:`compare`),
    ``latency_ms`` (median, p95), and facts about the machine.

    Raises
    ------
    BundleError
        When the bundle must not be loaded.
    """
    manifest = verify(bundle)
    parity = read_parity_set(bundle)
    network = Network((bundle / "model.tflite").read_bytes(), threads)
    found, seconds = np.empty(len(parity["omi"])), np.empty(len(parity["omi"]))
    for i, x in enumerate(parity["inputs"]):
        start = time.perf_counter()
        found[i] = network.probability(x)
        seconds[i] = time.perf_counter() - start
    threshold = float(manifest["threshold"])
    against_model = compare(parity["expected"], found, parity["omi"], threshold)
    against_export = compare(parity["exported"], found, parity["omi"], threshold)
    tolerance = DEVICE_TOLERANCE.get(manifest["quantization"], 0.02)
    failures = [f"against the trained model: {text}" for text in exceeded(against_model, _limits(manifest, tolerance))]
    failures += [f"against the export: {text}" for text in exceeded(against_export, {"max_delta": tolerance})]
    return {
        "passed": not failures,
        "failures": failures,
        "quantization": manifest["quantization"],
        "simulated": manifest["simulated"],
        "threshold": threshold,
        "against_model": against_model,
        "against_export": against_export,
        "latency_ms": {
            "median": 1e3 * float(np.median(seconds)),
            "p95": 1e3 * float(np.percentile(seconds, 95)),
            "threads": threads,
        },
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "runtime": interpreter_class().__module__.split(".")[0],
    }


def _limits(manifest: dict[str, Any], tolerance: float) -> dict[str, float]:
    """Limits for the bundle's own beats, which are few, so that one flip weighs more than in the export's gate.

    What the export measured on them is allowed again, where it is above the gate's limit.
    """
    seen = manifest["parity"]["bundled"]
    limits = {name: max(limit, seen[name]) for name, limit in manifest["limits"].items()}
    return {**limits, "max_delta": seen["max_delta"] + tolerance}


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['system']}  Python {result['python']}  {result['runtime']}  {result['quantization']}",
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
    latency = result["latency_ms"]
    simulated = ", simulated" if result["simulated"] else ""
    lines += [
        "",
        f"{result['against_model']['n']} ECGs{simulated}; latency per beat {latency['median']:.1f} ms median, "
        f"{latency['p95']:.1f} ms p95, {latency['threads']} thread(s)",
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
    if hasattr(sys.stdout, "reconfigure"):
        # A terminal or pipe without Greek letters must not turn a passing bundle into a failure.
        sys.stdout.reconfigure(errors="replace")
    try:
        result = replay(options.bundle, options.threads)
    except (BundleError, KeyError, TypeError, AttributeError) as error:
        result = {"passed": False, "failures": [str(error)]}
        print(json.dumps(result) if options.json else f"parity: failed: {error}")
        return 1
    print(json.dumps(result) if options.json else _table(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
