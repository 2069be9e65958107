#!/usr/bin/env python
"""Make the table of docs/how-to/devices.md:  python scripts/edge_table.py FOLDER [--write docs/how-to/devices.md]

Simulates a cohort, trains the four networks on one fold, selects, exports each in four formats (signing nothing), and
prints sizes and parity as Markdown. About an hour on two cores. What FOLDER holds already is not made again, so
an interrupted run goes on where it stood, and models of other origin can be laid there as FOLDER/model-NAME.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SIMULATE = ("--ecgs", "1500", "--patients", "1000", "--prevalence", "0.25", "--seed", "1")
TRAIN = ("--folds", "0", "--n-folds", "5", "--batch-size", "64")
# Few epochs at a high learning rate: the table is about parity, and needs networks that have learned something.
NETWORKS = {
    "ecg-smart-net": ("--epochs", "5", "--learning-rate", "3e-4"),
    "temporal-resnet18": ("--epochs", "4", "--learning-rate", "5e-4"),
    "resnet18": ("--epochs", "4", "--learning-rate", "5e-4"),
    "mayo-alvd": ("--epochs", "15", "--learning-rate", "1e-3"),
}
FORMATS = ("float32", "float16", "dynamic", "int8")
BEGIN, END = "<!-- edge_table.py begins -->\n", "<!-- edge_table.py ends -->\n"


def omi_keras(*arguments: object) -> None:
    """The command line of this checkout; its sentence and our exit when it fails."""
    command = [sys.executable, "-c", "from omi_keras.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, stdout=sys.stderr)
    if done.returncode not in (0, 1):
        raise SystemExit(done.returncode)


def row(network: str, quantization: str, bundle: Path) -> str:
    if not bundle.is_dir():
        return f"| {network} | {quantization} | gate not passed | | | | | | |"
    manifest: dict[str, Any] = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    seen = manifest["parity"]["validation_and_test"]
    size = (bundle / "model.tflite").stat().st_size / 1e6
    kept = ", ".join(manifest["float_layers"]) or "–"
    return (
        f"| {network} | {quantization} | {size:.2f} | {seen['max_delta']:.1e} | {seen['p99_delta']:.1e} | "
        f"{seen['flips']:.2%} | {seen['delta_auc']:.5f} | {seen['delta_ap']:.5f} | {kept} |"
    )


def table(folder: Path, networks: list[str]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    dataset = folder / "dataset"
    if not dataset.exists():
        omi_keras("simulate", dataset, *SIMULATE)
    rows = []
    for network in networks:
        run, model = folder / f"run-{network}", folder / f"model-{network}"
        if not model.exists():
            resume = ("--resume",) if run.exists() else ()
            omi_keras("train", dataset, run, "--model", network, *TRAIN, *NETWORKS[network], *resume)
            omi_keras("select", run, model)
        for quantization in FORMATS:
            bundle = folder / f"bundle-{network}-{quantization}"
            if not bundle.exists():
                omi_keras("export-tflite", model, bundle, "--dataset", dataset, "--quantize", quantization)
            rows.append(row(network, quantization, bundle))
    judged = json.loads((folder / f"bundle-{networks[0]}-float32" / "manifest.json").read_text(encoding="utf-8"))[
        "parity"
    ]
    head = (
        f"{judged['validation_and_test']['n']} simulated ECGs of the validation and test fold; "
        "against the trained model.\n\n"
        "| network | format | MB | max \\|Δp\\| | p99 \\|Δp\\| | flips | \\|ΔAUC\\| | \\|ΔAP\\| | layers in float32 |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--write", type=Path, help="put the table between the marks in this file")
    options = parser.parse_args()
    text = table(options.folder, options.networks)
    print(text, end="")
    if options.write:
        before, _, rest = options.write.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        options.write.write_text(before + BEGIN + text + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
