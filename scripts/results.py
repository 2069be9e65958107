#!/usr/bin/env python
"""The five models on a simulated cohort that two cores can train, and what they look at: docs/explanation/results.md.

    python scripts/results.py OUT             # writes OUT/ and the page; about 20 minutes on two idle cores
    python scripts/results.py OUT --small --page OUT/results.md      # two minutes, to see that it runs

What is there already in OUT is continued, not made again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

# Table 4 of Riek et al., arXiv 2405.09567 version 1.
PAPER = """\
| model | val AUC | val AP | test AUC | test AP |
|---|---|---|---|---|
| ECG-SMART-NET | 0.902 ± 0.025 | 0.605 ± 0.085 | 0.889 ± 0.027 | 0.587 ± 0.087 |
| Mayo Clinic ALVD model | 0.886 ± 0.020 | 0.584 ± 0.057 | 0.877 ± 0.032 | 0.566 ± 0.106 |
| Temporal ResNet-18 | 0.884 ± 0.024 | 0.565 ± 0.093 | 0.871 ± 0.023 | 0.532 ± 0.077 |
| ResNet-18 (pretrained on ImageNet) | 0.858 ± 0.033 | 0.544 ± 0.084 | 0.857 ± 0.033 | 0.537 ± 0.087 |
| Random Forest | 0.872 ± 0.023 | 0.516 ± 0.077 | 0.864 ± 0.026 | 0.514 ± 0.082 |"""

ABOUT = (
    "It shows that the way from recordings to evidence works and what it puts out. It says nothing about patients, and "
    "nothing about which model is better on patients. The paper's own numbers stand below, apart: another cohort, "
    "another size, another training; the two tables cannot be compared."
)
SMALLEST = " This is the smallest form, to see that it runs; without `--small` all five models are trained."


@dataclass(frozen=True)
class Protocol:
    """What is done at one size."""

    ecgs: int
    patients: int
    prevalence: float
    n_folds: int
    folds: str
    batch_size: int
    learning_rate: float
    # Model → epochs; a forest has none.
    epochs: dict[str, int]


FULL = Protocol(
    1200, 800, 0.25, 5, "0,1", 64, 5e-4,
    {"ecg-smart-net": 6, "mayo-alvd": 20, "temporal-resnet18": 6, "resnet18": 6, "random-forest": 0},
)  # fmt: skip
SMALL = Protocol(160, 110, 0.4, 5, "0", 32, 1e-3, {"mayo-alvd": 2, "random-forest": 0})


def main() -> None:
    """Make or continue everything, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--small", action="store_true", help="a small cohort and two models")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "explanation" / "results.md")
    options = parser.parse_args()
    protocol, out = SMALL if options.small else FULL, options.out
    dataset = out / "dataset"
    if not dataset.exists():
        sizes = ("--ecgs", protocol.ecgs, "--patients", protocol.patients, "--prevalence", protocol.prevalence)
        omi_keras("simulate", dataset, *sizes, "--seed", 1)
    runs = [out / f"run-{model}" for model in protocol.epochs]
    for run, (model, epochs) in zip(runs, protocol.epochs.items(), strict=True):
        settings = ["--model", model, "--folds", protocol.folds, "--n-folds", protocol.n_folds]
        if epochs:
            settings += ["--epochs", epochs, "--batch-size", protocol.batch_size]
            settings += ["--learning-rate", protocol.learning_rate]
        omi_keras("train", dataset, run, *settings, *(["--resume"] if run.exists() else []))
    omi_keras("evaluate", *runs, out / "report", "--dataset", dataset, "--force")
    report = json.loads((out / "report" / "report.json").read_text(encoding="utf-8"))
    network = next(model for model in protocol.epochs if protocol.epochs[model])
    omi_keras("select", out / f"run-{network}", out / "model", "--force")
    omi_keras("saliency", out / "model", dataset, out / "saliency", "--aggregate", "--sanity", "--force", check=False)
    saliency = json.loads((out / "saliency" / "saliency.json").read_text(encoding="utf-8"))
    options.page.write_text(page(protocol, report, network, saliency, small=options.small), encoding="utf-8")
    print(f"wrote {options.page}")


def omi_keras(*arguments: object, check: bool = True) -> None:
    """Call the command line with this interpreter."""
    words = [str(argument) for argument in arguments]
    print("omi-keras", *words, file=sys.stderr, flush=True)
    call = [sys.executable, "-c", "from omi_keras.cli import main; main()", *words]
    subprocess.run(call, check=check, stdout=sys.stderr)


def page(protocol: Protocol, report: dict[str, Any], network: str, saliency: dict[str, Any], *, small: bool) -> str:
    """The page in Markdown."""
    epochs = ", ".join(f"{model} {count}" for model, count in protocol.epochs.items() if count)
    folds = protocol.folds.split(",")
    parts = [
        "# Results",
        "Everything in the first part was measured on **simulated** ECGs, by "
        f"`python scripts/results.py OUT{' --small' if small else ''}`. " + ABOUT + (SMALLEST if small else ""),
        "## Simulated cohort",
        "The paper's protocol, shortened to what two cores can train:",
        table(
            ("", "paper", "here (simulated)"),
            [
                ("ECGs, patients", "10,893, 7,297", f"{protocol.ecgs:,}, {protocol.patients:,}"),
                ("patients with OMI", "6.6 %", f"{100 * protocol.prevalence:g} %"),
                ("folds trained and tested", "10 of 10", f"{len(folds)} of {protocol.n_folds}"),
                ("epochs", "100", epochs),
                ("batch", "128", str(protocol.batch_size)),
                ("initial learning rate", "1e-5 (Mayo 1e-4)", f"{protocol.learning_rate:g}"),
                ("ResNet-18 starts from", "ImageNet", "random weights"),
            ],
        ),
        "Mean ± SD over the folds (the columns of the paper's Table 4):",
        table(
            ("model (simulated)", "val AUC", "val AP", "test AUC", "test AP"),
            [
                (row["model"], *(mean_sd(row, name) for name in ("val_auc", "val_ap", "test_auc", "test_ap")))
                for row in report["table4"]
            ],
        ),
        "Mean over the test folds with 95 % intervals, patients resampled 2,000 times:",
        table(
            ("model (simulated)", "test AUC", "test AP", "Brier score"),
            [(row["model"], *(interval(row, name) for name in ("auc", "ap", "brier"))) for row in report["intervals"]],
        ),
    ]
    if tests := report.get("comparison"):
        significant = [row for row in tests if row["p_holm"] is not None and row["p_holm"] < 0.05]
        parts.append(
            f"Paired tests (DeLong for AUC, patient bootstrap for AP, Holm's correction for {len(tests)} tests): "
            f"{len(significant)} differences with p < 0.05" + (":" if significant else ".")
        )
        if significant:
            rows = [
                (
                    row["first"],
                    row["second"],
                    row["metric"].upper(),
                    f"{row['difference']:+.3f}",
                    "< 0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}",
                )
                for row in significant
            ]
            parts.append(table(("first (simulated)", "second", "", "first − second", "p, Holm"), rows))
    chosen = report["selected"]
    parts += [
        f"The model with the best validation score, {chosen['model']} of fold {chosen['fold']}, on its test fold, "
        "with thresholds chosen on validation, beside STEMI criteria; 95 % intervals by Korn and Graubard, patients "
        "clustered:",
        table(
            ("rule (simulated)", "sensitivity", "specificity", "PPV", "NPV"),
            [
                (row["rule"], *(interval(row, name) for name in ("sensitivity", "specificity", "ppv", "npv")))
                for row in report["decisions"]
                if row["split"] == "test"
            ],
        ),
        f"What {network} looks at in the {saliency['ecgs']} ECGs with OMI of its test fold (gradient; the injury is "
        "known because it was simulated):",
        table(
            ("region (simulated)", "share of saliency", "peak inside", "by chance"),
            [
                (row["region"], interval(row, "share"), interval(row, "hits"), f"{row['chance']:.3f}")
                for row in saliency.get("pointing", [])
            ],
        ),
        f"With all weights drawn anew, its maps keep a rank correlation of "
        f"{saliency['sanity']['layers'][-1]['rank_correlation']:.2f} with the learned ones "
        f"({'the maps are destroyed, as they must be' if saliency['sanity']['destroyed'] else 'NOT destroyed'}).",
        "Made with " + ", ".join(f"{name} {version}" for name, version in report["versions"].items()) + ".",
        "## The paper's own numbers",
        "Riek et al., *ECG-SMART-NET*, version 1, Table 4: 10,893 prehospital ECGs of 7,297 patients, ten folds, "
        "100 epochs. For reference only.",
        PAPER,
        "The abstract of the later version gives a test AUC of 0.953 [0.921, 0.978] on 10,393 ECGs.",
    ]
    return "\n\n".join(wrapped(part) for part in parts) + "\n"


def wrapped(part: str) -> str:
    """Prose in lines; tables and headings as they are."""
    if part.startswith(("|", "#")):
        return part
    return textwrap.fill(part, 120, break_long_words=False, break_on_hyphens=False)


def table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [headings, tuple("---" for _ in headings), *rows]
    return (
        "\n".join("| " + " | ".join(line) + " |" for line in lines).replace("| --- ", "|---").replace("--- |", "---|")
    )


def mean_sd(row: dict[str, Any], name: str) -> str:
    """``0.902 ± 0.025``."""
    mean, sd = row[f"{name}_mean"], row[f"{name}_sd"]
    return "undefined" if mean is None else f"{mean:.3f}" + ("" if sd is None else f" ± {sd:.3f}")


def interval(row: dict[str, Any], name: str) -> str:
    """``0.902 [0.880, 0.920]``."""
    value, low, high = row[name], row[f"{name}_lo"], row[f"{name}_hi"]
    return "undefined" if value is None else f"{value:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    main()
