"""A finished fold's ECGs as its model judged them, for whatever compares models."""

from __future__ import annotations

from omi_keras.evaluation.comparison import FoldTest
from omi_keras.recordings.errors import InputError
from omi_keras.training.run import FoldResult, Run


def fold_test(run: Run, fold: FoldResult, split: str = "test") -> FoldTest:
    """The ECGs of ``validation`` or ``test``, sorted by name.

    Raises
    ------
    InputError
        When the fold has ECGs that the run does not know.
    """
    table = fold.split(split).sort_values("ecg_id", kind="stable")
    patient = run.patient_ids(table["ecg_id"])
    if patient.isna().any():
        raise InputError(
            f"{fold.path / 'predictions.csv'} has ECGs that {run.path / 'folds.csv'} lacks; train again", "altered"
        )
    return FoldTest(
        table["ecg_id"].to_numpy(str),
        table["omi"].to_numpy(int),
        table["probability"].to_numpy(float),
        patient.to_numpy(str),
        float(fold.metrics["threshold"]),
    )
