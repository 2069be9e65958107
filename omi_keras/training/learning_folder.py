"""A learning curve's folder: what all its runs have in common, and which of them are finished.

out/
  learning-curve.json         division, seed, folds, protocol of each model, summary, versions
  learning_curve.csv          a row for each model, size and fold
  learning_curve_summary.csv  a row for each model and size: means over folds with intervals over patients
  mayo-alvd/size-0.25/ …      runs whose config.json says that a quarter of the training patients was learned from
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omi_keras.data.artifacts import versions, write_json
from omi_keras.data.dataset import Dataset
from omi_keras.model import Model
from omi_keras.recordings.errors import InputError
from omi_keras.training.config import deciding
from omi_keras.training.cross_validation import read_metrics
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import FORMAT_VERSION, where_dataset_is
from omi_keras.training.settings import CURVE, read_curve
from omi_keras.training.splits import Split
from omi_keras.training.started import new_work, refuse_other_settings

KIND = "learning curve"


def run_folder(out: Path, model: str, size: float) -> Path:
    """``out/mayo-alvd/size-0.10`` for a tenth."""
    short = f"{size:.2f}"
    return out / model / f"size-{short if float(short) == size else repr(size)}"


def start_curve(
    out: Path,
    dataset: Dataset,
    split: Split,
    protocols: Mapping[str, Protocol],
    folds: Iterable[int],
    start: Model | None,
    *,
    resume: bool,
    force: bool,
) -> None:
    """Make the folder, or take up one that was begun, to which models, sizes and folds may be added.

    Raises
    ------
    InputError
        When it was begun with other data, division or seed, or one of the models with other settings.
    """
    seed = next(iter(protocols.values())).seed
    common = split.settings() | {"dataset_sha256": dataset.fingerprint(), "seed": seed}
    content = common | {"folds": sorted(folds), "protocols": {name: asdict(each) for name, each in protocols.items()}}
    if not (resume and out.exists()):
        with new_work(out, CURVE, dataset, start, force=force) as folder:
            write_json(folder / CURVE, _about(dataset, out) | content)
        return
    begun = read_curve(out)
    refuse_other_settings(out, begun, common)
    for name, settings in content["protocols"].items():
        if name in begun["protocols"]:
            refuse_other_settings(out / name, deciding(begun["protocols"][name]), deciding(settings))
    content["folds"] = sorted({*begun["folds"], *folds})
    content["protocols"] = begun["protocols"] | content["protocols"]
    write_json(out / CURVE, begun | content)


def note_results(out: Path, dataset: Dataset, results: dict[str, Any]) -> None:
    """Write what was found, and with which versions, beside what the curve was begun with."""
    write_json(out / CURVE, read_curve(out) | _about(dataset, out) | results)


def finished_parts(out: Path) -> tuple[list[tuple[str, float]], dict[tuple[str, float], list[int]]]:
    """Model and size of the runs that have every fold of the curve, and the folds that others lack.

    Models in the order in which they were begun, sizes ascending.
    """
    curve = read_curve(out)
    whole, lacking = [], {}
    for name in curve["protocols"]:
        for size, run in sorted(_runs(out, name)):
            done = read_metrics(run, curve["folds"])
            if missing := [fold for fold in curve["folds"] if fold not in done]:
                lacking[name, size] = missing
            else:
                whole.append((name, size))
    return whole, lacking


def _runs(out: Path, model: str) -> Iterable[tuple[float, Path]]:
    for run in (out / model).glob("size-*"):
        try:
            size = float(run.name.removeprefix("size-"))
        except ValueError:  # a folder of somebody's own
            continue
        if (run / "config.json").exists():
            yield size, run


def _about(dataset: Dataset, out: Path) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "simulated": dataset.simulated,
        **where_dataset_is(dataset.path or out, out),
        "versions": versions(),
    }


def refuse_missing_patients(
    dataset: Dataset, split: Split, protocol: Protocol, folds: Iterable[int], sizes: Iterable[float]
) -> None:
    """Raise InputError when a size leaves no patient with, or none without, OMI to learn from."""
    ecgs = dataset.ecgs.iloc[dataset.labelled()]
    table = split.divide(ecgs, protocol.seed)
    omi = ecgs["omi"].to_numpy(int)
    for fold in folds:
        training = ecgs[["patient_id"]].assign(omi=omi).iloc[split.parts(table, fold)["training"]]
        with_omi = training.groupby(training["patient_id"].astype(str))["omi"].max()
        fewest = int(min((with_omi == 1).sum(), (with_omi == 0).sum()))
        for size in sizes:
            if round(size * fewest) < 1:
                label = "with" if (with_omi == 1).sum() == fewest else "without"
                raise InputError(
                    f"size {size:g} leaves no patient {label} OMI to learn from: the training part of fold {fold} has "
                    f"{fewest}; take sizes from {1 / fewest:.2g} on",
                    "sizes",
                )
