"""Finished runs → a report folder: Tables 4 and 5, Figures 5 and 6 of the paper.

report/
  table4.csv  table5.csv
  figures/    figure5.png figure6.png
  report.json inputs, versions, both tables
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from omi_keras.data.artifacts import new_folder, sha256, versions, write_bytes, write_json
from omi_keras.evaluation.figures import figure5, figure6, save_figure
from omi_keras.evaluation.tables import format_table4, format_table5, table4, table5
from omi_keras.signal.errors import InputError
from omi_keras.training.run import FoldResult, Run, load_run

FORMAT_VERSION = 1
RESAMPLES = 2000


def write_report(paths: list[Path], out: Path, *, seed: int = 0, force: bool = False) -> dict[str, Any]:
    """Judge one or more runs; return the tables as text and as rows.

    Table 5 and Figure 6 are of one model, as in the paper: of the run with the highest mean validation score,
    the fold with the highest validation score.

    Raises
    ------
    InputError
        When a run is bad, two runs share a model name, or runs are of different datasets.
    """
    runs = [load_run(path) for path in paths]
    _check_comparable(runs)
    simulated = any(run.simulated for run in runs)
    chosen = max(runs, key=lambda run: sum(result.score("validation") for result in run.results) / len(run.results))
    best = chosen.best("validation")
    splits = {split: _arrays(chosen, best, split) for split in ("validation", "test")}
    threshold = float(best.metrics["threshold"])
    tables = {
        "table4": table4({run.model: [result.metrics for result in run.results] for run in runs}, simulated),
        "table5": table5(splits, threshold, resamples=RESAMPLES, seed=seed, simulated=simulated),
    }
    with new_folder(out, "report.json", force=force) as folder:
        (folder / "figures").mkdir()
        for name, table in tables.items():
            write_bytes(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
        # A random forest has no epochs to draw.
        histories = {run.model: [result.history for result in run.results] for run in runs if run.has_epochs}
        if histories:
            save_figure(figure5(histories, simulated), folder / "figures" / "figure5.png")
        curves = {name: (split["omi"], split["probability"]) for name, split in splits.items()}
        save_figure(figure6(curves, threshold, simulated), folder / "figures" / "figure6.png")
        content = {
            "format_version": FORMAT_VERSION,
            "kind": "report",
            "simulated": simulated,
            "selected": {
                "model": chosen.model,
                "fold": best.fold,
                "by": "validation",
                "threshold": threshold,
            },
            **{name: table.to_dict("records") for name, table in tables.items()},
            "runs": [
                {"path": str(run.path), "model": run.model, "config_sha256": sha256(run.path / "config.json")}
                for run in runs
            ],
            "seed": seed,
            "resamples": RESAMPLES,
            "versions": versions(),
        }
        write_json(folder / "report.json", content)
    text = {"table4": format_table4(tables["table4"]), "table5": format_table5(tables["table5"])}
    return content | {"text": text}


def _check_comparable(runs: list[Run]) -> None:
    names = [run.model for run in runs]
    if len(set(names)) < len(names):
        raise InputError(f"two of the runs are of the same model ({', '.join(names)}); give one run per model")
    if any(run.config["dataset_sha256"] != runs[0].config["dataset_sha256"] for run in runs):
        raise InputError(
            f"{', '.join(str(run.path) for run in runs)} are runs of different datasets; compare like with like"
        )


def _arrays(run: Run, result: FoldResult, split: str) -> dict[str, Any]:
    table: pd.DataFrame = result.split(split)
    return {
        "omi": table["omi"].to_numpy(),
        "probability": table["probability"].to_numpy(),
        "patient_id": run.patient_ids(table["ecg_id"]).to_numpy(str),
    }
