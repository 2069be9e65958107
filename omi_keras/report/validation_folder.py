"""A validation → a folder.

validation/
  report.html         everything below in one file that opens offline
  metrics.csv         each model: AUC, AP, Brier score, calibration
  predictions.csv     each ECG by each model: probability, decision, band
  decisions.csv       confusion matrices at the models' own thresholds and bands, of comparators, at equal specificity
  subgroups.csv       by age, STEMI criteria and every column of few values
  comparison.csv      paired tests
  calibration.csv     decision_curve.csv
  figures/            curves.png calibration.png decision_curve.png
  report.json         inputs, versions, tables
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omi_keras.data.artifacts import new_folder, versions, write_bytes, write_json
from omi_keras.drawing.figures import save_figure
from omi_keras.report.judges import Tick

if TYPE_CHECKING:
    from omi_keras.report.validation import Validation

FORMAT_VERSION = 1
# In the order in which they are computed; predictions.csv has too many rows for report.json.
TABLES = ("predictions", "metrics", "decisions", "comparison", "calibration", "decision_curve", "subgroups")


def write_validation(of: Validation, out: Path, *, force: bool = False, tick: Tick = lambda done, total: None) -> None:
    """Write the folder; see :meth:`omi_keras.report.validation.Validation.save`."""
    with new_folder(out, "report.json", force=force) as folder:
        for done, name in enumerate(TABLES, start=1):
            table = getattr(of, name)
            write_bytes(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
            tick(done, len(TABLES) + 2)
        _ = of.looks
        tick(len(TABLES) + 1, len(TABLES) + 2)
        for name, figure in of.pages().items():
            save_figure(figure, folder / "figures" / f"{name}.png")
        write_bytes(folder / "report.html", of.html().encode())
        write_json(folder / "report.json", content(of))
        tick(len(TABLES) + 2, len(TABLES) + 2)


def content(of: Validation) -> dict[str, Any]:
    """What ``report.json`` holds."""
    dataset = of.data.dataset
    return {
        "format_version": FORMAT_VERSION,
        "kind": "validation",
        "simulated": of.simulated,
        **{name: getattr(of, name).to_dict("records") for name in TABLES if name != "predictions"},
        "calibration_intervals": of.found.fits.to_dict("records"),
        "warnings": of.warnings,
        "notes": of.notes,
        "models": [
            {"name": judge.name, "path": judge.place, "simulated": judge.simulated, "threshold": judge.threshold}
            | {"bands": judge.bands, "source": judge.source, "left_out": int(left.rows.sum())}
            for judge, left in zip(of.judges, of.left_out, strict=True)
        ],
        "dataset": {"path": None if dataset.path is None else str(dataset.path), "sha256": dataset.fingerprint()},
        "comparator": of.comparator,
        "first_ecg_only": of.first_ecg_only,
        "other_patients": of.other_patients,
        "to_look_at_first": None if of.looks is None else of.looks.content,
        "seed": of.found.seed,
        "resamples": of.found.resamples,
        "versions": versions(),
    }
