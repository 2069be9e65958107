"""Take one fold's model out of a run, as the paper did for its further analysis (section III.B)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from omi_keras.beats.contracts import CONTRACT
from omi_keras.evaluation.bands import chosen_bands
from omi_keras.model import Model
from omi_keras.models.model_folder import weights_name
from omi_keras.training.beat_column import with_beat_sums
from omi_keras.training.description import described
from omi_keras.training.fold_tests import fold_test
from omi_keras.training.start import with_known

if TYPE_CHECKING:
    from omi_keras.training.run import Run


def select_model(run: Run, by: Literal["validation", "test"] = "validation") -> Model:
    """The model of the fold with the highest score on ``by``; of equals, the first.

    The paper chose by test score, which makes that fold's test result optimistic; ``validation`` does not.
    """
    best = run.best(by)
    # Not from metrics.json, where runs of omi-keras 0.1.0 have none.
    judged = best.split("validation")
    bands = chosen_bands(judged["omi"], judged["probability"], run.patient_ids(judged["ecg_id"]))
    folds, validation_fold, test_fold = run.split.of_model(run.folds, best.fold)
    info = {
        "model": run.model,
        "input": run.config.get("input", CONTRACT),
        "simulated": run.simulated,
        "threshold": best.metrics["threshold"],
        **bands,
        "metrics": {split: best.metrics[split] for split in ("validation", "test")},
        "fold": best.fold,
        "validation_fold": validation_fold,
        "test_fold": test_fold,
        **{name: best.metrics[name] for name in ("left_out",) if name in best.metrics},
        "selected_by": by,
        "selected_from_folds": [result.fold for result in run.results],
        "provenance": run.config,
    }
    parts = {split: [fold_test(run, best, split)] for split in ("validation", "test")}
    info |= described(run, parts, "test", info["threshold"], best.metrics)
    folds = with_known(with_beat_sums(folds, run.path, run.config), run.path)
    return Model(info, folds, weights=best.path / weights_name(run.model))
