"""What a report has to say besides its numbers: what is left out and why, and what they cannot show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omi_keras.data.duplicates import duplicates_of, duplicates_sentence
from omi_keras.evaluation.separation import MIN_PATIENTS, enough_patients

if TYPE_CHECKING:
    from omi_keras.report.findings import Findings
    from omi_keras.training.run import Run


def notes(judged: Findings) -> list[str]:
    """Return the notes of a report, a sentence or two each."""
    found = [judged.data[1], _other_ecgs(judged), _few_patients(judged), *_sixteen_bits(judged), _duplicates(judged)]
    found += [note for run in judged.runs for note in (_left_out(run), _split(run), _started(run))]
    return [note for note in found if note]


def _other_ecgs(judged: Findings) -> str:
    names = [{name for test in folds.values() for name in test.ecg_id.tolist()} for folds in judged.tests.values()]
    if all(other == names[0] for other in names):
        return ""
    return (
        "The models were not all tested on the same ECGs: means, Brier scores and curves of different models "
        "are of different ECGs. Only the paired differences are of the folds that two models share."
    )


def _left_out(run: Run) -> str:
    if run.split.leave_out is None:
        return ""
    named = ", ".join(f"fold {fold.fold} {fold.metrics.get('left_out')}" for fold in run.results)
    return f"Each fold of {run.model} leaves out one {run.split.leave_out}: {named}."


def _split(run: Run) -> str:
    found = []
    if run.split.split_column is not None:
        found.append(f"column {run.split.split_column} says which ECGs train, validate and test")
    if run.split.first_ecg_only:
        found.append("validation and test have one ECG of each patient, the first")
    return f"Of {run.model}, {'; '.join(found)}." if found else ""


def _started(run: Run) -> str:
    start = run.config.get("start")
    if not isinstance(start, dict):
        return ""
    kind = ", which was trained on simulated ECGs" if start.get("simulated") and not run.simulated else ""
    return f"Training of {run.model} went on from the model {start.get('path')}{kind}."


def _few_patients(judged: Findings) -> str:
    few = [
        f"{run.model} fold {fold.fold} ({split})"
        for run in judged.runs
        for fold in run.results
        for split, part in judged.parts(run, fold).items()
        if not enough_patients(part.omi, part.patient_id)
    ]
    if not few:
        return ""
    return (
        f"AUC and average precision are undefined where a class has fewer than {MIN_PATIENTS} patients, and so are "
        f"means over folds of which one is: {', '.join(few)}."
    )


def _sixteen_bits(judged: Findings) -> list[str]:
    precision = {run.model: run.config.get("precision", "float32") for run in judged.runs if run.has_epochs}
    return [
        f"{model} was trained in 16 bits ({name}). What was saved and is judged here is its float32 network."
        for model, name in precision.items()
        if name != "float32"
    ]


def _duplicates(judged: Findings) -> str:
    data = judged.data[0]
    shared = duplicates_sentence(duplicates_of(data)) if data is not None else ""
    return f"In the dataset, {shared}." if shared else ""
