#!/usr/bin/env python
"""All five systems at the paper's size and protocol on simulated ECGs, what augmentation does, and learning curves.

    python scripts/experiment.py OUT                                       # everything: days on two cores
    python scripts/experiment.py OUT --only mayo-alvd --only random-forest # some parts
    python scripts/experiment.py OUT --only ecg-smart-net+light --stop-after 10 --mixed-precision # in less time
    python scripts/experiment.py OUT --tables                              # only write the tables again
    python scripts/experiment.py OUT --small                               # a minute, to see that it runs

What is there already in OUT is continued, not made again. After each part OUT/experiment.csv, OUT/differences.csv and
OUT/experiment.md are written anew from the folds that are finished.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import pandas as pd

from omi_keras.data.artifacts import write_bytes
from omi_keras.data.dataset import load_dataset
from omi_keras.evaluation.comparison import Resamples, comparisons, intervals
from omi_keras.models.catalogue import NETWORKS, RANDOM_FOREST
from omi_keras.recordings.errors import InputError
from omi_keras.training import Run, load_run
from omi_keras.training.fold_tests import fold_test
from omi_keras.training.run import write_table

RESAMPLES = 2000
AUGMENTED = ("ecg-smart-net", "mayo-alvd")
CURVES = (RANDOM_FOREST, "mayo-alvd", "ecg-smart-net")
# What is searched is trained again with the rate that was found, with and without augmentation.
SEARCHED = "ecg-smart-net"
ABOUT = (
    "Everything here was measured on **simulated** ECGs. It says what the tool does and how it behaves with more to "
    "learn from. It says nothing about patients, and nothing about which system is better on patients."
)


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    cohort: tuple[object, ...]
    # Of the learning curves, and the shares of its training patients; a quarter of four times is the paper's size.
    large_cohort: tuple[object, ...]
    sizes: str
    folds: str
    n_folds: int
    epochs: int
    search_epochs: int
    rates: str
    further: tuple[object, ...] = ()


FULL = Size(
    ("--ecgs", 10893, "--patients", 7297, "--seed", 11), ("--ecgs", 43572, "--patients", 29188, "--seed", 11),
    "0.03125,0.0625,0.125,0.25,0.5,1", "0,1", 10, 100, 10, "1e-5,3e-5,1e-4,3e-4",
)  # fmt: skip
SMALL = Size(
    ("--ecgs", 160, "--patients", 110, "--prevalence", 0.4, "--seed", 11),
    ("--ecgs", 200, "--patients", 140, "--prevalence", 0.4, "--seed", 11),
    "0.5,1", "0", 4, 2, 1, "1e-4,1e-3", ("--batch-size", 32),
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A run or a learning curve: ``mayo-alvd``, ``mayo-alvd+light``, ``ecg-smart-net+searched``, ``curve:…``."""

    name: str
    model: str
    augment: str = "none"
    searched: bool = False
    curve: bool = False


def parts() -> Iterator[Part]:
    """Everything there is to do, what is quick first."""
    yield Part(RANDOM_FOREST, RANDOM_FOREST)
    for model in sorted(NETWORKS, key=lambda name: name != "mayo-alvd"):
        yield Part(model, model)
        for augment in ("light", "strong") if model in AUGMENTED else ():
            yield Part(f"{model}+{augment}", model, augment)
    yield Part(f"{SEARCHED}+searched", SEARCHED, searched=True)
    yield Part(f"{SEARCHED}+searched+light", SEARCHED, "light", searched=True)
    for model in CURVES:
        yield Part(f"curve:{model}", model, curve=True)


def main() -> None:
    """Make or continue the parts that are wanted, then write the tables."""
    known = {part.name: part for part in parts()}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", action="append", choices=list(known), metavar="PART", help=", ".join(known))
    parser.add_argument("--epochs", type=int, help="of every network, in runs of their own (default: 100, the paper's)")
    parser.add_argument("--stop-after", type=int, help="end a fold after so many epochs without a better one")
    parser.add_argument("--mixed-precision", action="store_true", help="networks compute in 16 bits")
    parser.add_argument("--sizes", help="shares of the training patients of the learning curves")
    parser.add_argument("--folds", help="test folds (default: 0,1)")
    parser.add_argument("--jobs", type=int, help="folds at the same time")
    parser.add_argument("--imagenet-weights", type=Path, help="what ResNet-18 starts from; random weights without it")
    parser.add_argument("--tables", action="store_true", help="train nothing")
    parser.add_argument("--small", action="store_true", help="a small cohort and few epochs")
    options = parser.parse_args()
    size = SMALL if options.small else FULL
    for name in options.only or ([] if options.tables else known):
        Work(options, size).do(known[name])
        write_tables(options.out)
    write_tables(options.out)
    print(f"wrote {options.out / 'experiment.md'}")


class Work:
    """The commands of a part."""

    def __init__(self, options: argparse.Namespace, size: Size) -> None:
        self.out: Path = options.out
        self.size, self.epochs = size, options.epochs or size.epochs
        self.common: list[object] = ["--folds", options.folds or size.folds, "--n-folds", size.n_folds]
        self.common += ["--jobs", options.jobs] if options.jobs else []
        self.networks: list[object] = ["--stop-after", options.stop_after] if options.stop_after else []
        self.networks += [*(["--mixed-precision"] if options.mixed_precision else []), *size.further]
        self.sizes = options.sizes or size.sizes
        self.imagenet: Path | None = options.imagenet_weights

    def do(self, part: Part) -> None:
        """Train what the part needs, or go on with it."""
        dataset = self._dataset("cohort-of-curves" if part.curve else "cohort")
        settings = [*self.common, *self._of_networks(part)]
        # Runs of other epochs are other runs.
        name = part.name.replace("curve:", "") + ("" if part.model == RANDOM_FOREST else f"-{self.epochs}-epochs")
        if part.curve:
            out = self.out / "curves" / name
            omi_keras("learning-curve", dataset, out, "--model", part.model, "--sizes", self.sizes, *settings)
            return
        if part.searched:
            settings += ["--learning-rate", self._rate(dataset, part.model)]
        omi_keras("train", dataset, self.out / "runs" / name, "--model", part.model, *settings)

    def _of_networks(self, part: Part) -> list[object]:
        if part.model == RANDOM_FOREST:
            return []
        found: list[object] = ["--epochs", self.epochs, "--augment", part.augment, *self.networks]
        return found + (["--imagenet-weights", self.imagenet] if part.model == "resnet18" and self.imagenet else [])

    def _dataset(self, name: str) -> Path:
        dataset = self.out / name
        if not dataset.exists():
            omi_keras("simulate", dataset, *(self.size.cohort if name == "cohort" else self.size.large_cohort))
        return dataset

    def _rate(self, dataset: Path, model: str) -> float:
        """By validation, as the paper chose its own; on the folds that are trained, in few epochs."""
        search = self.out / f"search-{model}"
        settings = ["--rates", self.size.rates, "--epochs", self.size.search_epochs, *self.common, *self.networks]
        omi_keras("search-lr", dataset, search, "--model", model, *settings)
        return float(json.loads((search / "search.json").read_text(encoding="utf-8"))["learning_rate"])


def omi_keras(command: str, *arguments: object) -> None:
    """Call the command line; what was begun goes on."""
    target = Path(str(arguments[0 if command == "simulate" else 1]))
    words = [command, *map(str, arguments), *(["--resume"] if target.exists() else [])]
    print("omi-keras", *words, file=sys.stderr, flush=True)
    if (code := call(words)) != 0:
        raise SystemExit(code)


def call(words: list[str]) -> int:
    """Call the command line with this interpreter; return the exit code."""
    command = [sys.executable, "-c", "from omi_keras.cli import main; main()", *words]
    return subprocess.run(command, stdout=sys.stderr).returncode


def write_tables(out: Path) -> None:
    """Write what the finished folds say."""
    runs = dict(_finished(out / "runs"))
    tests = {name: {result.fold: fold_test(run, result) for result in run.results} for name, run in runs.items()}
    resampled = Resamples(tests, RESAMPLES, 0)
    simulated = all(run.simulated for run in runs.values())
    systems = intervals(resampled, simulated)
    if runs:
        systems.insert(1, "augment", [run.config.get("augment", "none") for run in runs.values()])
        systems.insert(2, "learning_rate", [run.config["learning_rate"] for run in runs.values()])
        systems.insert(3, "epochs", [run.config["epochs"] for run in runs.values()])
        for metric in ("ap", "auc"):
            systems.insert(4, f"val_{metric}", [_validation(run, metric) for run in runs.values()])
    different = [_difference(first, second, tests, simulated) for first, second in _pairs(list(runs))]
    differences = pd.concat(different) if different else pd.DataFrame()
    write_table(out / "experiment.csv", systems)
    if len(differences):
        write_table(out / "differences.csv", differences)
    write_bytes(out / "experiment.md", _page(out, systems, differences).encode())


def _validation(run: Run, metric: str) -> float:
    return sum(float(fold.metrics["validation"][metric]) for fold in run.results) / len(run.results)


def _finished(folder: Path) -> Iterator[tuple[str, Run]]:
    for run in sorted(folder.glob("*")):
        try:
            yield run.name, load_run(run)
        except InputError:  # no fold of it is finished
            continue


def _pairs(names: list[str]) -> Iterator[tuple[str, str]]:
    """What one thing was added to and what it was added to, and each system beside the forest."""
    for first, second in permutations(names, 2):
        (one, *added), (other, *before) = (name.removesuffix(_epochs(name)).split("+") for name in (first, second))
        more = one == other and _epochs(first) == _epochs(second) and len(added) == len(before) + 1
        if (more and set(before) < set(added)) or second == RANDOM_FOREST:
            yield first, second


def _epochs(name: str) -> str:
    found = re.search(r"-\d+-epochs$", name)
    return found[0] if found else ""


def _difference(first: str, second: str, tests: dict[str, dict], simulated: bool) -> pd.DataFrame:
    # Each pair on its own: p for all pairs together would be about another question.
    return comparisons(Resamples({name: tests[name] for name in (first, second)}, RESAMPLES, 0), simulated)


def _page(out: Path, systems: pd.DataFrame, differences: pd.DataFrame) -> str:
    lines = ["# At the paper's size (simulated)", ABOUT]
    for name in ("cohort", "cohort-of-curves"):
        if (out / name).exists():
            data = load_dataset(out / name)
            omi = int(data.ecgs["omi"].sum())
            patients = data.ecgs["patient_id"].nunique()
            seed = data.info.get("seed")
            lines.append(
                f"{name}: {len(data.ecgs):,} simulated ECGs of {patients:,} patients, {omi:,} with OMI, seed {seed}."
            )
    if len(systems):
        head = ("system (simulated)", "rate", "epochs", "folds", "val AUC", "val AP", "test AUC", "test AP")
        rows = [
            (
                row["model"], f"{row['learning_rate']:g}" if row["learning_rate"] else "–", row["epochs"] or "–",
                row["folds"], f"{row['val_auc']:.3f}", f"{row['val_ap']:.3f}",
                _interval(row, "auc"), _interval(row, "ap"),
            )
            for row in systems.to_dict("records")
        ]  # fmt: skip
        lines += ["## Systems", "Means over test folds, 95 % intervals over patients.", _table(head, rows)]
    if len(differences):
        head = ("first (simulated)", "second", "metric", "first − second", "p")
        rows = [
            (
                row["first"], row["second"], row["metric"].upper(),
                f"{row['difference']:+.3f} [{row['lo']:+.3f}, {row['hi']:+.3f}]", f"{row['p']:.3f}",
            )
            for row in differences.to_dict("records")
        ]  # fmt: skip
        lines += [
            "## Differences",
            "On the same test folds, paired; p not corrected for their number.",
            _table(head, rows),
        ]
    curves = [pd.read_csv(path) for path in sorted((out / "curves").glob("*/learning_curve_summary.csv"))]
    if curves:
        head = ("system (simulated)", "size", "training OMI", "training ECGs", "test AUC", "test AP")
        rows = [
            (
                row["model"], f"{row['size']:g}", f"{row['training_omi']:.0f}", f"{row['training_ecgs']:,.0f}",
                _interval(row, "test_auc"), _interval(row, "test_ap"),
            )
            for row in pd.concat(curves).to_dict("records")
        ]  # fmt: skip
        lines += ["## Learning curves", "The same tests for all sizes.", _table(head, rows)]
    return "\n\n".join(lines) + "\n"


def _interval(row: dict, name: str) -> str:
    return f"{row[name]:.3f} [{row[f'{name}_lo']:.3f}, {row[f'{name}_hi']:.3f}]"


def _table(head: tuple[object, ...], rows: list[tuple[object, ...]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


if __name__ == "__main__":
    main()
