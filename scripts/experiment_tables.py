"""What the finished parts of the experiment say, as CSV files and as Markdown between the marks of a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pandas as pd

from omi_keras.data.artifacts import write_bytes
from omi_keras.data.dataset import load_dataset
from omi_keras.drawing.figures import save_figure
from omi_keras.drawing.learning_curve import learning_figure
from omi_keras.evaluation.comparison import FoldTest, Resamples, comparisons, intervals
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.recordings.errors import InputError
from omi_keras.training import Run, load_run
from omi_keras.training.fold_tests import fold_test
from omi_keras.training.run import write_table

RESAMPLES = 2000
FIGURE = "learning_curves.png"
ABOUT = (
    "Everything here was measured on **simulated** ECGs. It says what the tool does and how it behaves with more to "
    "learn from. It says nothing about patients, and nothing about which system is better on patients."
)
STEMI = "STEMI criteria"
AT_STEMI = "sensitivity at equal specificity"


def write(out: Path, page: Path | None = None) -> None:
    """Write ``tables/``, ``experiment.md``, and into ``page`` what belongs between its marks; CSV files beside it."""
    tables = {name: table for name, table in _tables(out) if len(table)}
    blocks = {"cohorts": _cohorts(out)} | {name: MARKDOWN[name](table) for name, table in tables.items()}
    blocks["versions"] = _versions(out)
    places = [out / "tables", *([page.with_suffix("")] if page else [])]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            write_table(place / f"{name}.csv", table)
        if "learning_curves" in tables:
            curves = tables["learning_curves"]
            save_figure(learning_figure(curves, bool(curves["simulated"].all())), place / FIGURE)
    parts = ["# At the paper's size (simulated)", ABOUT]
    parts += [f"## {name.replace('_', ' ').capitalize()}\n\n{text}" for name, text in blocks.items() if text]
    write_bytes(out / "experiment.md", ("\n\n".join(parts) + "\n").encode())
    if page:
        write_bytes(page, marked(page.read_text(encoding="utf-8"), blocks).encode())


def marked(text: str, blocks: dict[str, str]) -> str:
    """``text`` with what stands between ``<!-- name -->`` and ``<!-- end -->`` replaced by the block of the name."""
    for name, block in blocks.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = pattern.sub(lambda found, block=block: f"{found[1]}\n{block}\n\n{found[2]}", text)
    return text


def finished(folder: Path) -> Iterator[tuple[str, Run]]:
    """Runs in ``folder`` of which at least one fold is finished, by name."""
    for path in sorted(folder.glob("*"), key=lambda path: _name(path.name)):
        try:
            yield path.name, load_run(path)
        except InputError:  # no fold of it is finished
            continue


def pairs(names: list[str]) -> Iterator[tuple[str, str]]:
    """What one thing was added to and what it was added to, and each system beside the forest."""
    for first, second in permutations(names, 2):
        (one, *added), (other, *before) = (name.removesuffix(_epochs(name)).split("+") for name in (first, second))
        more = one == other and _epochs(first) == _epochs(second) and len(added) == len(before) + 1
        if (more and set(before) < set(added)) or second == RANDOM_FOREST:
            yield first, second


def _epochs(name: str) -> str:
    found = re.search(r"-\d+-epochs$", name)
    return found[0] if found else ""


def _tables(out: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    runs = dict(finished(out / "runs"))
    tests = {name: _tests(run) for name, run in runs.items()}
    simulated = all(run.simulated for run in runs.values())
    if runs:
        yield "systems", _systems(runs, intervals(Resamples(tests, RESAMPLES, 0), simulated))
    yield "rates", _joined(map(_search, sorted(out.glob("search-*/rates.csv"))))
    # Each pair on its own: p for all pairs together would be about another question.
    alone = [{name: tests[name] for name in pair} for pair in pairs(list(runs))]
    yield "differences", _joined(comparisons(Resamples(pair, RESAMPLES, 0), simulated) for pair in alone)
    report = out / "new" / "report.json"
    if report.exists():
        found = json.loads(report.read_text(encoding="utf-8"))
        # Two models of one architecture have their folders in their names there; here the folder's name is enough.
        runs_by_name = {model["name"]: Path(model["path"]).name for model in found["models"]}
        metrics, compared = (pd.DataFrame(found[name]).replace(runs_by_name) for name in ("metrics", "comparison"))
        yield "new_ecgs", _beside_stemi(metrics, compared)
        yield "new_differences", _pairwise(compared, list(pairs(list(runs_by_name.values()))))
    looks = out / "saliency" / "saliency.json"
    if looks.exists():
        yield "saliency", pd.DataFrame(json.loads(looks.read_text(encoding="utf-8"))["pointing"])
    curves = sorted((out / "curves").glob("*/learning_curve_summary.csv"))
    yield "learning_curves", _joined(map(pd.read_csv, curves))
    yield "curve_differences", _joined(_beside_forest(out / "curves"))


def _tests(run: Run) -> dict[int, FoldTest]:
    return {result.fold: fold_test(run, result) for result in run.results}


def _beside_forest(curves: Path) -> Iterator[pd.DataFrame]:
    """Each network beside the forest that learned from the same patients."""
    folders = sorted(folder for folder in curves.glob("*/*") if folder.is_dir())
    runs = {(size, folder.name): run for folder in folders for size, run in finished(folder)}
    for (size, name), run in runs.items():
        if name != RANDOM_FOREST and (size, RANDOM_FOREST) in runs:
            pair = {name: _tests(run), RANDOM_FOREST: _tests(runs[size, RANDOM_FOREST])}
            found = comparisons(Resamples(pair, RESAMPLES, 0), run.simulated)
            yield found.assign(size=run.config["training_fraction"])


def _joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    found = [table for table in tables if len(table)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _search(rates: Path) -> pd.DataFrame:
    table = pd.read_csv(rates)
    search = json.loads((rates.parent / "search.json").read_text(encoding="utf-8"))
    table.insert(0, "model", rates.parent.name.removeprefix("search-"))
    return table.assign(simulated=bool(search["simulated"]))


def _systems(runs: dict[str, Run], table: pd.DataFrame) -> pd.DataFrame:
    for place, name in enumerate(("augment", "learning_rate", "epochs", "stop_after", "precision"), start=1):
        table.insert(place, name, [run.config.get(name) for run in runs.values()])
    kept = [" ".join(str(fold.metrics["best_epoch"]) for fold in run.results) for run in runs.values()]
    table.insert(6, "kept_epochs", kept)
    for metric in ("ap", "auc"):
        scores = [[float(fold.metrics["validation"][metric]) for fold in run.results] for run in runs.values()]
        table.insert(7, f"val_{metric}", [sum(folds) / len(folds) for folds in scores])
    return table


def _beside_stemi(metrics: pd.DataFrame, compared: pd.DataFrame) -> pd.DataFrame:
    """Metrics of the new ECGs, and how much more OMI each finds at the specificity of the STEMI criteria."""
    beside = compared[(compared["second"] == STEMI) & (compared["metric"] == AT_STEMI)].set_index("first")
    for name in ("first_value", "second_value", "difference", "lo", "hi"):
        metrics[f"beside_stemi_{name}"] = beside[name].reindex(metrics["model"]).to_numpy()
    return metrics


def _pairwise(compared: pd.DataFrame, wanted: list[tuple[str, str]]) -> pd.DataFrame:
    """AUC and AP of the pairs, first − second in the order that is wanted."""
    turned = compared.rename(columns={"first": "second", "second": "first"})
    turned = turned.assign(difference=-turned["difference"], lo=-turned["hi"], hi=-turned["lo"])
    both = pd.concat([compared, turned])
    columns = ["first", "second", "metric", "difference", "lo", "hi", "p", "simulated"]
    both = both[both["metric"].isin(["auc", "ap"])][columns]
    return _joined(both[(both["first"] == first) & (both["second"] == second)] for first, second in wanted)


def _cohorts(out: Path) -> str:
    what = {
        "cohort": "the systems", "new-cohort": "new ECGs", "cohort-of-curves": "learning curves",
    }  # fmt: skip
    rows = []
    for name in what:
        if (out / name).exists():
            data = load_dataset(out / name)
            sizes = (len(data.ecgs), data.ecgs["patient_id"].nunique(), int(data.ecgs["omi"].sum()))
            rows.append((what[name], *(f"{size:,}" for size in sizes), data.info.get("seed")))
    return _markdown(("cohort (simulated) of", "ECGs", "patients", "ECGs with OMI", "seed"), rows)


def _versions(out: Path) -> str:
    versions: dict[str, str] = {}
    for _, run in finished(out / "runs"):
        versions |= run.config["versions"]
    return "Made with " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "." if versions else ""


def _name(name: str) -> str:
    return name.removesuffix(_epochs(name))


def _systems_text(table: pd.DataFrame) -> str:
    head = ("system (simulated)", "rate", "kept epochs", "val AUC", "val AP", "test AUC", "test AP")
    return _markdown(head, [
        (
            _name(row["model"]), f"{row['learning_rate']:g}" if row["learning_rate"] else "–",
            row["kept_epochs"].replace(" ", ", ") if row["learning_rate"] else "–",
            f"{row['val_auc']:.3f}", f"{row['val_ap']:.3f}", _interval(row, "auc"), _interval(row, "ap"),
        )
        for row in table.to_dict("records")
    ])  # fmt: skip


def _differences_text(table: pd.DataFrame) -> str:
    head = ("first (simulated)", "second", "AUC, first − second", "p", "AP, first − second", "p")
    rows = []
    for (first, second), both in table.groupby(["first", "second"], sort=False):
        by_metric = both.set_index("metric")
        cells = [cell for name in ("auc", "ap") for cell in _difference(by_metric.loc[name])]
        rows.append((_name(str(first)), _name(str(second)), *cells))
    return _markdown(head, rows)


def _difference(row: Any) -> tuple[str, str]:
    p = "–" if pd.isna(row["p"]) else "< 0.001" if row["p"] < 0.001 else f"{row['p']:.3f}"
    return f"{row['difference']:+.3f} [{row['lo']:+.3f}, {row['hi']:+.3f}]", p


def _rates_text(table: pd.DataFrame) -> str:
    head = ("system (simulated)", "rate", "val score", "val AUC", "val AP", "best epoch")
    return _markdown(head, [
        (
            row["model"], f"{row['learning_rate']:g}", f"{row['val_score_mean']:.3f}", f"{row['val_auc_mean']:.3f}",
            f"{row['val_ap_mean']:.3f}", f"{row['best_epoch_mean']:g}",
        )
        for row in table.to_dict("records")
    ])  # fmt: skip


def _new_text(table: pd.DataFrame) -> str:
    head = (
        "system (simulated)",
        "AUC",
        "AP",
        "calibration slope",
        "OMI found at the specificity of the STEMI criteria",
    )
    rows = [
        (
            _name(row["model"]), _interval(row, "auc"), _interval(row, "ap"), f"{row['calibration_slope']:.2f}",
            f"{row['beside_stemi_first_value']:.3f} (criteria {row['beside_stemi_second_value']:.3f}; "
            f"{row['beside_stemi_difference']:+.3f} [{row['beside_stemi_lo']:+.3f}, {row['beside_stemi_hi']:+.3f}])",
        )
        for row in table.to_dict("records")
    ]  # fmt: skip
    return _markdown(head, rows)


def _looks_text(table: pd.DataFrame) -> str:
    head = ("region (simulated)", "share of saliency", "peak inside", "by chance")
    return _markdown(head, [
        (row["region"], _interval(row, "share"), _interval(row, "hits"), f"{row['chance']:.3f}")
        for row in table.to_dict("records")
    ])  # fmt: skip


def _curve_differences_text(table: pd.DataFrame) -> str:
    head = ("system − forest (simulated)", "size", "AUC", "p", "AP", "p")
    rows = []
    for (name, size), both in table.groupby(["first", "size"]):
        by_metric = both.set_index("metric")
        cells = [cell for metric in ("auc", "ap") for cell in _difference(by_metric.loc[metric])]
        rows.append((name, f"{size:g}", *cells))
    return _markdown(head, rows)


def _curves_text(table: pd.DataFrame) -> str:
    head = ("system (simulated)", "training OMI", "training ECGs", "folds", "test AUC", "test AP")
    rows = [
        (
            row["model"], f"{row['training_omi']:,.0f}", f"{row['training_ecgs']:,.0f}", row["folds"],
            _interval(row, "test_auc"), _interval(row, "test_ap"),
        )
        for row in table.to_dict("records")
    ]  # fmt: skip
    return _markdown(head, rows)


MARKDOWN = {
    "systems": _systems_text,
    "rates": _rates_text,
    "differences": _differences_text,
    "new_ecgs": _new_text,
    "new_differences": _differences_text,
    "saliency": _looks_text,
    "learning_curves": _curves_text,
    "curve_differences": _curve_differences_text,
}


def _interval(row: dict[Any, Any], name: str) -> str:
    return f"{row[name]:.3f} [{row[f'{name}_lo']:.3f}, {row[f'{name}_hi']:.3f}]"


def _markdown(head: tuple[object, ...], rows: list[Any]) -> str:
    lines = ["| " + " | ".join(map(str, line)) + " |" for line in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
