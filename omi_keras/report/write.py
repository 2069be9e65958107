"""Finished runs → a report folder: the paper's Tables 4 and 5 and Figures 5 and 6, confidence, and a page to read.

report/
  report.html       everything below in one file that opens offline
  table4.csv        mean and SD over folds, as the paper
  table5.csv        the selected model at its operating point, with intervals
  intervals.csv     means over test folds with intervals
  comparison.csv    paired tests of each two models; only where two share a test fold
  decisions.csv     confusion matrices: operating point, rule-out, rule-in, STEMI criteria
  calibration.csv   decision_curve.csv
  subgroups.csv     only where the dataset is at hand
  figures/          figure5.png figure6.png calibration.png decision_curve.png
  report.json       inputs, versions, tables
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from omi_keras.data.artifacts import new_folder, sha256, versions, write_bytes, write_json
from omi_keras.drawing.figures import save_figure
from omi_keras.evaluation.tables import format_comparison, format_table4, format_table5
from omi_keras.report.findings import RESAMPLES, Findings
from omi_keras.report.looks import PICTURES
from omi_keras.training.run import load_run

FORMAT_VERSION = 1
# What takes long, in the order in which it is computed; the figures come after it.
PARTS = ("data", "stemi", "resampled", "tables", "looks")


def write_report(
    paths: list[Path],
    out: Path,
    *,
    dataset: Path | None = None,
    pictures: int = PICTURES,
    records: Path | None = None,
    seed: int = 0,
    force: bool = False,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Judge one or more runs; return the tables as text and as rows.

    Table 5 and Figure 6 are of one model, as in the paper: of the run with the highest mean validation score,
    the fold with the highest validation score.

    Parameters
    ----------
    dataset
        The runs' dataset, for subgroups and the STEMI criteria; None: where the run found it, if it is still there.
    pictures
        How many missed OMI and how many false alarms the page draws, where the dataset is at hand.
    records
        Folder of the recordings, whose ECGs are then drawn as they were recorded.
    tick
        Called with (done, total) after each part.

    Raises
    ------
    InputError
        When a run is bad, two runs share a model name, runs are of different datasets, ``dataset`` is another one, or
        ``records`` is no folder.
    """
    judged = Findings([load_run(path) for path in paths], seed, dataset, pictures, records)
    for done, part in enumerate(PARTS, start=1):
        getattr(judged, part)
        tick(done, len(PARTS) + 1)
    tables = judged.tables
    with new_folder(out, "report.json", force=force) as folder:
        for name, table in tables.items():
            if name != "errors":
                write_bytes(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
        for name, figure in judged.pages().items():
            save_figure(figure, folder / "figures" / f"{name}.png")
        write_bytes(folder / "report.html", judged.html("Evaluation").encode())
        content = {
            "format_version": FORMAT_VERSION,
            "kind": "report",
            "simulated": judged.simulated,
            "selected": judged.selected,
            **{name: table.to_dict("records") for name, table in tables.items() if name != "errors"},
            "notes": judged.notes,
            "runs": [
                {"path": str(run.path), "model": run.model, "config_sha256": sha256(run.path / "config.json")}
                for run in judged.runs
            ],
            "to_look_at_first": None if judged.looks is None else judged.looks.content,
            "seed": seed,
            "resamples": RESAMPLES,
            "versions": versions(),
        }
        write_json(folder / "report.json", content)
        tick(len(PARTS) + 1, len(PARTS) + 1)
    text = {"table4": format_table4(tables["table4"]), "table5": format_table5(tables["table5"])}
    if "comparison" in tables:
        text["comparison"] = format_comparison(tables["comparison"])
    return content | {"text": text}


def write_run_page(path: Path, dataset: Path | None = None, seed: int = 0) -> Path:
    """Write a run's own ``report.html`` into its folder; return the file.

    Raises
    ------
    InputError
        As :func:`write_report`.
    """
    judged = Findings([load_run(path)], seed, dataset, pictures=0)  # a training waits for it
    page = path / "report.html"
    write_bytes(page, judged.html(f"Training of {judged.runs[0].model}").encode())
    return page
