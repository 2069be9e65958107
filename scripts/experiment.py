#!/usr/bin/env python
"""All five systems at the paper's size and protocol on simulated ECGs, what augmentation does, and learning curves.

    python scripts/experiment.py OUT                                       # everything: days on two cores
    python scripts/experiment.py OUT --stop-after 10 --mixed-precision     # hours
    python scripts/experiment.py OUT --only mayo-alvd --only random-forest # some parts
    python scripts/experiment.py OUT --tables --page docs/explanation/results.md # only write the tables again
    python scripts/experiment.py OUT --small                               # a minute, to see that it runs

What is there already in OUT is continued, not made again. After each part OUT/tables/ and OUT/experiment.md are written
anew from the folds that are finished; of a --page, what stands between its marks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import experiment_tables

from omi_keras.models.catalogue import NETWORKS, RANDOM_FOREST

AUGMENTED = ("ecg-smart-net", "mayo-alvd")
CURVES = (RANDOM_FOREST, "mayo-alvd", "ecg-smart-net")
# What is searched is trained again with the rate that was found, with and without augmentation.
SEARCHED = "ecg-smart-net"


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    cohort: tuple[object, ...]
    # Of the learning curves, and the shares of its training patients; a quarter of four times is the paper's size.
    large_cohort: tuple[object, ...]
    # ECGs that nobody learned from: its seed is its own.
    new_cohort: tuple[object, ...]
    sizes: str
    folds: str
    n_folds: int
    epochs: int
    search_epochs: int
    rates: str
    further: tuple[object, ...] = ()


FULL = Size(
    ("--ecgs", 10893, "--patients", 7297, "--seed", 11), ("--ecgs", 43572, "--patients", 29188, "--seed", 11),
    ("--ecgs", 10893, "--patients", 7297, "--seed", 12),
    "0.0625,0.125,0.25,0.5,1", "0,1", 10, 100, 5, "1e-5,3e-5,1e-4,3e-4",
)  # fmt: skip
SMALL = Size(
    ("--ecgs", 160, "--patients", 110, "--prevalence", 0.4, "--seed", 11),
    ("--ecgs", 200, "--patients", 140, "--prevalence", 0.4, "--seed", 11),
    ("--ecgs", 160, "--patients", 110, "--prevalence", 0.4, "--seed", 12),
    "0.5,1", "0", 4, 2, 1, "1e-4,1e-3", ("--batch-size", 32),
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A run (``mayo-alvd+light``, ``ecg-smart-net+searched``), a ``curve:…``, or ``new`` ECGs for all runs."""

    name: str
    model: str
    augment: str = "none"
    searched: bool = False
    kind: Literal["run", "curve", "new"] = "run"


def parts() -> Iterator[Part]:
    """Everything there is to do, what is quick first."""
    yield Part(RANDOM_FOREST, RANDOM_FOREST)
    for model in sorted(NETWORKS, key=lambda name: name != "mayo-alvd"):
        yield Part(model, model)
        for augment in ("light", "strong") if model in AUGMENTED else ():
            yield Part(f"{model}+{augment}", model, augment)
    yield Part(f"{SEARCHED}+searched", SEARCHED, searched=True)
    yield Part(f"{SEARCHED}+searched+light", SEARCHED, "light", searched=True)
    yield Part("new", "", kind="new")
    for model in CURVES:
        yield Part(f"curve:{model}", model, kind="curve")


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
    parser.add_argument("--page", type=Path, help="also write the tables between the marks of this Markdown file")
    parser.add_argument("--small", action="store_true", help="a small cohort and few epochs")
    options = parser.parse_args()
    size = SMALL if options.small else FULL
    for name in options.only or ([] if options.tables else known):
        Work(options, size).do(known[name])
        experiment_tables.write(options.out)
    experiment_tables.write(options.out, options.page)
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
        if part.kind == "new":
            self._judge()
            return
        settings = [*self.common, *self._of_networks(part)]
        # Runs of other epochs are other runs.
        name = part.name.replace("curve:", "") + ("" if part.model == RANDOM_FOREST else f"-{self.epochs}-epochs")
        if part.kind == "curve":
            dataset, out = self._dataset("cohort-of-curves", self.size.large_cohort), self.out / "curves" / name
            omi_keras("learning-curve", dataset, out, "--model", part.model, "--sizes", self.sizes, *settings)
            return
        dataset = self._dataset("cohort", self.size.cohort)
        if part.searched:
            settings += ["--learning-rate", self._rate(dataset, part.model)]
        omi_keras("train", dataset, self.out / "runs" / name, "--model", part.model, *settings)

    def _of_networks(self, part: Part) -> list[object]:
        if part.model == RANDOM_FOREST:
            return []
        found: list[object] = ["--epochs", self.epochs, "--augment", part.augment, *self.networks]
        return found + (["--imagenet-weights", self.imagenet] if part.model == "resnet18" and self.imagenet else [])

    def _dataset(self, name: str, cohort: tuple[object, ...]) -> Path:
        dataset = self.out / name
        if not dataset.exists():
            omi_keras("simulate", dataset, *cohort)
        return dataset

    def _judge(self) -> None:
        """The fold that validation chose, of every run, by ECGs that none of them learned from."""
        dataset = self._dataset("new-cohort", self.size.new_cohort)
        models = []
        for name, run in experiment_tables.finished(self.out / "runs"):
            models.append(self.out / "models" / name)
            omi_keras("select", run.path, models[-1], "--force")
        judged = ["--dataset", dataset, "--other-patients", "--pictures", 0, "--force"]
        omi_keras("validate", *models, self.out / "new", *judged)
        network = self.out / "models" / f"{SEARCHED}-{self.epochs}-epochs"
        if network in models:  # what it looks at in its own test fold; maps that survive are a finding, too
            looks = ["--aggregate", "--sanity", "--force"]
            omi_keras("saliency", network, self.out / "cohort", self.out / "saliency", *looks, ends=(0, 1))

    def _rate(self, dataset: Path, model: str) -> float:
        """By validation, as the paper chose its own; on the folds that are trained, in few epochs."""
        search = self.out / f"search-{model}"
        settings = ["--rates", self.size.rates, "--epochs", self.size.search_epochs, *self.common, *self.networks]
        omi_keras("search-lr", dataset, search, "--model", model, *settings)
        return float(json.loads((search / "search.json").read_text(encoding="utf-8"))["learning_rate"])


def omi_keras(command: str, *arguments: object, ends: tuple[int, ...] = (0,)) -> None:
    """Call the command line, which may end with ``ends``; what was begun goes on."""
    words = [command, *map(str, arguments)]
    if command not in ("simulate", "select", "validate", "saliency") and Path(words[2]).exists():
        words.append("--resume")
    print("omi-keras", *words, file=sys.stderr, flush=True)
    if (code := call(words)) not in ends:
        raise SystemExit(code)


def call(words: list[str]) -> int:
    """Call the command line with this interpreter; return the exit code."""
    command = [sys.executable, "-c", "from omi_keras.cli import main; main()", *words]
    return subprocess.run(command, stdout=sys.stderr).returncode


if __name__ == "__main__":
    main()
