"""All folds of a run as one model: the mean of the networks' logits, or of the random forests' probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from omi_keras.beats.contracts import CONTRACT
from omi_keras.evaluation.bands import chosen_bands
from omi_keras.evaluation.metrics import best_f1_threshold, operating_point_metrics, ranking_metrics
from omi_keras.model import Model
from omi_keras.models.catalogue import RANDOM_FOREST
from omi_keras.models.ensemble import ensemble_of, joined_forest
from omi_keras.models.model_folder import load_any, weights_name
from omi_keras.recordings.errors import InputError
from omi_keras.training.beat_column import with_beat_sums
from omi_keras.training.description import described
from omi_keras.training.fold_tests import fold_test
from omi_keras.training.run import wanted_folds
from omi_keras.training.splits import FIRST, VALIDATES
from omi_keras.training.start import with_known

if TYPE_CHECKING:
    from omi_keras.training.run import Run

FEWEST_MEMBERS = 2
# No ECG of the dataset was held out from every member, so nobody can judge the ensemble on it.
OUT_OF_FOLD = (
    "Threshold, bands and metrics are those of the folds' single models on the test ECGs of each, out of fold: every "
    "ECG of the dataset has taught some member. They stand for the ensemble's only approximately: a mean of models "
    "usually ranks better than one of them, and its probabilities are less extreme. Judge it on other ECGs."
)


def ensemble_model(run: Run, tick: Callable[[int, int], None] = lambda done, total: None) -> Model:
    """The models of all folds that the run was to have, as one.

    The threshold is the one with the highest F1 on the test ECGs of all folds, each judged by its own fold; so are the
    bands chosen.

    Parameters
    ----------
    run
        With two finished folds or more.
    tick
        Called with (done, total) after each fold's model was read.

    Raises
    ------
    InputError
        When a fold that was asked for is not finished, there is one alone, or its file is damaged.
    """
    numbers = [result.fold for result in run.results]
    if missing := [str(fold) for fold in wanted_folds(run.config) if fold not in numbers]:
        raise InputError(
            f"{run.path} lacks fold{'s' * (len(missing) > 1)} {', '.join(missing)}, and an ensemble is of all folds; "
            "go on with: omi-keras train ... --resume",
            "incomplete",
        )
    if len(numbers) < FEWEST_MEMBERS:
        raise InputError(
            f"{run.path} has one fold, and an ensemble is of two or more; train others of it with: omi-keras train ... "
            "--folds ... --resume, or select this one",
            "one_fold",
        )
    contract = run.config.get("input", CONTRACT)
    models = []
    for done, result in enumerate(run.results, start=1):
        models.append(load_any(run.model, result.path / weights_name(run.model), contract))
        tick(done, len(numbers))
    network = joined_forest(models) if run.model == RANDOM_FOREST else ensemble_of(models, contract)
    tested = pd.concat([result.split("test") for result in run.results])
    omi, probability = tested["omi"].to_numpy(int), tested["probability"].to_numpy(float)
    threshold = best_f1_threshold(omi, probability)
    bands = chosen_bands(omi, probability, run.patient_ids(tested["ecg_id"]))
    found = ranking_metrics(omi, probability) | operating_point_metrics(omi, probability, threshold)
    info: dict[str, Any] = {
        "model": run.model,
        "members": len(numbers),
        "folds": numbers,
        "input": contract,
        "simulated": run.simulated,
        "threshold": threshold,
        **bands,
        "metrics": {"out_of_fold": found},
        "judged": OUT_OF_FOLD,
        "provenance": run.config,
    }
    tests = [replace(fold_test(run, result), threshold=threshold) for result in run.results]
    info |= described(run, {"out_of_fold": tests}, "out_of_fold", threshold)
    return Model(info, _folds(run, numbers), network=network)


def _folds(run: Run, numbers: list[int]) -> pd.DataFrame:
    """``folds.csv`` of the ECGs that taught, validated or tested a member, and of those that these started from."""
    parts = [part for number in numbers for part in run.split.parts(run.folds, number).values()]
    seen = run.folds[np.any(parts, axis=0)]
    seen = seen.drop(columns=[name for name in (VALIDATES, FIRST) if name in seen])
    return with_known(with_beat_sums(seen, run.path, run.config), run.path)
