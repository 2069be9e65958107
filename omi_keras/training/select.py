"""Take one fold's model out of a run, as the paper did for its further analysis (section III.B)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from omi_keras.data.artifacts import new_folder
from omi_keras.data.folds import rotation
from omi_keras.model import weights_name, write_model_info
from omi_keras.training.run import load_run


def select_model(
    run_path: Path, out: Path, *, by: Literal["validation", "test"] = "validation", force: bool = False
) -> dict[str, Any]:
    """Write the model of the fold with the highest score on ``by`` to a model folder; return a summary.

    The paper chose by test score, which makes that fold's test result optimistic; ``validation`` does not.
    """
    run = load_run(run_path)
    best = run.best(by)
    _, validation_fold, test_fold = rotation(best.fold, run.config["n_folds"])
    info = {
        "model": run.model,
        "simulated": run.simulated,
        "threshold": best.metrics["threshold"],
        "metrics": {split: best.metrics[split] for split in ("validation", "test")},
        "fold": best.fold,
        "validation_fold": validation_fold,
        "test_fold": test_fold,
        "selected_by": by,
        "selected_from_folds": [result.fold for result in run.results],
        "provenance": run.config,
    }
    with new_folder(out, "model.json", force=force) as folder:
        weights = weights_name(run.model)
        shutil.copyfile(best.path / weights, folder / weights)
        shutil.copyfile(run.path / "folds.csv", folder / "folds.csv")
        write_model_info(folder, info)
    return {name: info[name] for name in ("model", "simulated", "fold", "selected_by", "threshold", "metrics")}
