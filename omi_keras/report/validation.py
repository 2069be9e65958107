"""Finished models on a dataset that they never saw: what is judged, all numbers, and what a reader has to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from omi_keras.data.dataset import Dataset
from omi_keras.data.duplicates import duplicates_of
from omi_keras.data.first_ecgs import first_ecgs, time_column
from omi_keras.evaluation.finished import TREAT, Answers, FinishedModels
from omi_keras.evaluation.separation import MIN_PATIENTS, enough_patients
from omi_keras.recordings.errors import InputError
from omi_keras.report.columns import stated, subgroups_of
from omi_keras.report.judges import Judge, Tick
from omi_keras.report.looks import PICTURES, Looks, check_pictures
from omi_keras.report.part import Part
from omi_keras.report.seen import Overlap, cannot_be_checked, overlaps, refuse_known

STEMI = "STEMI criteria"


@dataclass(frozen=True)
class Validation:
    """What :func:`validate` found; every table is a DataFrame with the columns of its file.

    Attributes
    ----------
    judges
        The models.
    data
        The ECGs that they judged.
    found
        The numbers.
    left_out
        ECGs that the models know, and that were left out; empty unless that was asked for.
    comparator, first_ecg_only, other_patients
        As :func:`validate` was told.
    duplicates
        As :func:`omi_keras.data.duplicates.duplicates_of`.
    pictures, records
        As :func:`validate` was told.

    Examples
    --------
    >>> import omi_keras as omi
    >>> elsewhere = omi.Dataset.from_arrays(-beats, [0, 1, 0, 1], ["w", "x", "y", "z"])
    >>> validation = omi.load_model(model_folder).validate(elsewhere)
    >>> validation.metrics["ecgs"].tolist()
    [4]
    >>> validation.predictions.columns[-1]
    'band'
    """

    judges: list[Judge]
    data: Part
    found: FinishedModels
    left_out: list[Overlap]
    comparator: str | None
    first_ecg_only: bool
    other_patients: bool
    duplicates: dict[str, Any]
    pictures: int = PICTURES
    records: Path | None = None

    @property
    def metrics(self) -> pd.DataFrame:
        """AUC and average precision with intervals, Brier score, slope and intercept of calibration."""
        return self.found.metrics

    @property
    def predictions(self) -> pd.DataFrame:
        """Every ECG: probability, decision, band."""
        return self.found.predictions

    @property
    def decisions(self) -> pd.DataFrame:
        """Confusion matrices at thresholds and bands of the models, of comparators, and at their specificity."""
        return self.found.decisions

    @property
    def subgroups(self) -> pd.DataFrame:
        """Each model in parts of the ECGs."""
        return self.found.subgroups

    @property
    def comparison(self) -> pd.DataFrame:
        """Paired tests: each two models, and each model beside each comparator."""
        return self.found.comparison

    @property
    def calibration(self) -> pd.DataFrame:
        """Share of OMI among ECGs of similar probability."""
        return self.found.calibration

    @property
    def decision_curve(self) -> pd.DataFrame:
        """Net benefit."""
        return self.found.decision_curve

    @property
    def simulated(self) -> bool:
        """Whether any ECG that was judged is simulated."""
        return self.found.simulated

    @property
    def warnings(self) -> list[str]:
        """What stands in a banner: models of simulated ECGs that judge recorded ones, or the reverse."""
        told = []
        for judge in self.judges:
            if judge.simulated and not self.simulated:
                told.append(
                    f"{judge.name} was trained on SIMULATED ECGs and is judged on recorded ones. A simulator is no "
                    "hospital: that it finds OMI here is not to be expected, and it was never meant for patients."
                )
            elif self.simulated and not judge.simulated:
                told.append(
                    f"{judge.name} was not trained on simulated ECGs, and is judged on SIMULATED ones: how it does on "
                    "patients, these numbers do not say."
                )
        return told

    @cached_property
    def notes(self) -> list[str]:
        """What was left out and why, what could not be checked, and what the numbers cannot show."""
        unchecked = [cannot_be_checked(judge, self.judges) for judge in self.judges]
        return [*self._left_out(), *self._about_data(), *filter(None, unchecked)]

    def _left_out(self) -> list[str]:
        count = int(np.any([overlap.rows for overlap in self.left_out], axis=0).sum()) if self.left_out else 0
        if not count:
            return []
        each = "; ".join(f"{of.judge.name} {of.told()}" for of in self.left_out if of.rows.any())
        return [f"{count} ECGs that a model was trained or validated on are left out: {each}."]

    def _about_data(self) -> list[str]:
        found, told = self.found, []
        if self.other_patients:
            told.append("Equal ids were taken to name other people and other ECGs than those of the models.")
        if self.first_ecg_only:
            column = time_column(self.data.ecgs)
            by = f"the earliest by the column {column}" if column else "the first in the dataset, which has no time"
            told.append(f"One ECG of each patient is judged: {by}.")
        if unlabelled := len(self.data.dataset.ecgs) - len(self.data.dataset.labelled()):
            told.append(f"{unlabelled} ECGs without a label are left out.")
        if not enough_patients(found.omi, found.patient_id):
            told.append(
                f"A class has fewer than {MIN_PATIENTS} patients: AUC, average precision and calibration are undefined."
            )
        for name, said in found.comparators.items():
            if silent := int(np.isnan(said).sum()):
                told.append(
                    f"{name} says nothing of {silent} of {said.size} ECGs: what stands beside it is of the others, "
                    "and it has no decision curve."
                )
        if self.duplicates["count"]:
            told.append(
                f"{self.duplicates['ecgs']} ECGs of the dataset have the median beat of another patient's: who has two "
                "names counts twice."
            )
        return told

    @cached_property
    def looks(self) -> Looks | None:
        """Pictures of the ECGs on which the first model was most wrong; None where none were asked for."""
        from omi_keras.report.validation_page import looks

        return looks(self) if self.pictures else None

    @cached_property
    def content(self) -> dict[str, Any]:
        """What ``report.json`` holds."""
        from omi_keras.report.validation_folder import content

        return content(self)

    def pages(self) -> dict[str, Figure]:
        """Figures as files, by name."""
        from omi_keras.report.validation_page import figures

        return figures(self)

    def html(self) -> str:
        """The page: one file that opens offline."""
        from omi_keras.report.validation_page import validation_html

        return validation_html(self)

    def _repr_html_(self) -> str:
        from omi_keras.report.notebook import validation_cell

        return validation_cell(self)

    def save(self, path: str | Path, *, force: bool = False, tick: Tick = lambda done, total: None) -> None:
        """Write the validation folder.

        Raises
        ------
        InputError
            When ``path`` exists, unless ``force`` and it is one of omi-keras.
        """
        from omi_keras.report.validation_folder import write_validation

        write_validation(self, Path(path), force=force, tick=tick)


def validate(
    judges: Sequence[Judge],
    dataset: Dataset,
    *,
    comparator: str | None = None,
    first_ecg_only: bool = False,
    without_known: bool = False,
    other_patients: bool = False,
    pictures: int = PICTURES,
    records: str | Path | None = None,
    seed: int = 0,
    tick: Tick = lambda done, total: None,
) -> Validation:
    """Judge finished models by a dataset that they never saw.

    Parameters
    ----------
    judges
        Of :func:`~omi_keras.report.judges.open_judges`.
    comparator
        A column of the dataset that is 1 where somebody or something else says OMI, 0 where not, or empty. The STEMI
        criteria are always compared with.
    first_ecg_only
        One ECG a patient: the earliest by a time column, else the first row (:mod:`omi_keras.data.first_ecgs`).
    without_known
        Leave out the ECGs that a model was trained or validated on, instead of refusing them.
    other_patients
        Equal ids are other people's, as two hospitals' own numbers are. Equal beats are the same ECG all the same.
    pictures
        How many missed OMI and how many false alarms of the first model the page draws.
    records
        Folder of the recordings, whose ECGs are then drawn as they were recorded.
    seed
        Of the resamples of patients.
    tick
        Called with (done, total) as the ECGs are judged.

    Raises
    ------
    InputError
        When a model knows some of the ECGs, none is left or labelled, the comparator is no such column, or
        ``records`` is no folder.
    """
    folder = None if records is None else Path(records)
    check_pictures(pictures, folder)
    data = Part(dataset, dataset.labelled())
    if not len(data):
        raise InputError(f"{dataset.path or 'the dataset'} has no labelled ECG to judge by", "no_labels")
    if comparator is not None:
        stated(data.ecgs, comparator)  # told before anything takes long
    known = overlaps(judges, data, other_patients=other_patients)
    refuse_known(known, data, without_known=without_known, other_patients=other_patients)
    data = data.keep(~np.any([overlap.rows for overlap in known], axis=0))
    if first_ecg_only and len(data):
        data = data.keep(first_ecgs(data.ecgs))
    if not len(data):
        raise InputError(
            f"the models know every labelled ECG of {dataset.path or 'the dataset'}; validate on other ECGs", "empty"
        )
    ecgs = data.ecgs
    stemi = data.meets_stemi_criteria()
    comparators = {STEMI: stemi.astype(float)}
    if comparator is not None:
        # A name that something else has already is told from it.
        taken = comparator in (STEMI, *TREAT, *(judge.name for judge in judges))
        comparators[f"{comparator} (column)" if taken else comparator] = stated(data.ecgs, comparator)
    groups = subgroups_of(ecgs) | {STEMI: np.where(stemi, "met", "not met")}
    answers: dict[str, Answers] = {}
    for judge in judges:
        answers[judge.name] = judge.answers(
            data, lambda done, total: tick(len(answers) * total + done, len(judges) * total)
        )
    found = FinishedModels(
        ecgs["ecg_id"].to_numpy(str),
        ecgs["omi"].to_numpy(int),
        ecgs["patient_id"].to_numpy(str),
        answers,
        comparators,
        groups,
        bool((ecgs["simulated"] == "true").any()),
        seed=seed,
    )
    twins = duplicates_of(dataset)
    asked = (comparator, first_ecg_only, other_patients)
    return Validation(list(judges), data, found, known, *asked, twins, pictures, folder)
