"""Take one fold's model out of a run, as the paper did for its further analysis (section III.B)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from omi_keras.model import Model
from omi_keras.models.model_folder import weights_name
from omi_keras.training.start import with_known

if TYPE_CHECKING:
    from omi_keras.training.run import Run


def select_model(run: Run, by: Literal["validation", "test"] = "validation") -> Model:
    """The model of the fold with the highest score on ``by``; of equals, the first.

    The paper chose by test score, which makes that fold's test result optimistic; ``validation`` does not.
    """
    best = run.best(by)
    folds, validation_fold, test_fold = run.split.of_model(run.folds, best.fold)
    info = {
        "model": run.model,
        "simulated": run.simulated,
        "threshold": best.metrics["threshold"],
        "metrics": {split: best.metrics[split] for split in ("validation", "test")},
        "fold": best.fold,
        "validation_fold": validation_fold,
        "test_fold": test_fold,
        **{name: best.metrics[name] for name in ("left_out",) if name in best.metrics},
        "selected_by": by,
        "selected_from_folds": [result.fold for result in run.results],
        "provenance": run.config,
    }
    return Model(info, with_known(folds, run.path), weights=best.path / weights_name(run.model))
