"""Runs → everything that a report shows: tables, figures, notes, provenance. Nothing is written here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from omi_keras.data.dataset import Dataset, load_dataset
from omi_keras.drawing.curves import calibration_panel, decision_panel, recall_panel, roc_panel
from omi_keras.drawing.figures import figure5, figure6, history_figures, single, with_title
from omi_keras.evaluation.calibration import DECISION_THRESHOLDS, calibration_table, decision_curve_table
from omi_keras.evaluation.comparison import FoldTest, Resamples, comparisons, intervals
from omi_keras.evaluation.decisions import decision_table
from omi_keras.evaluation.separation import enough_patients
from omi_keras.evaluation.subgroups import age_bands, subgroup_table
from omi_keras.evaluation.tables import table4, table5
from omi_keras.models.catalogue import MODELS
from omi_keras.recordings.errors import InputError
from omi_keras.report.looks import PICTURES, Looks, check_pictures, first_looks
from omi_keras.report.notes import notes
from omi_keras.report.part import Part
from omi_keras.report.provenance import provenance
from omi_keras.report.report_page import Evidence, report_html
from omi_keras.report.wrongest import most_wrong
from omi_keras.training.fold_tests import fold_test
from omi_keras.training.run import FoldResult, Run, dataset_path

RESAMPLES = 2000
# Columns of a dataset that make subgroups, besides age.
GROUPS = ("site", "sex", "rhythm", "artery")


@dataclass(frozen=True)
class Findings:
    """Runs and all that is computed from them, each once."""

    runs: list[Run]
    seed: int
    dataset: Path | None = None
    pictures: int = PICTURES
    records: Path | None = None

    def __post_init__(self) -> None:
        _check_comparable(self.runs)
        check_pictures(self.pictures, self.records)

    @property
    def simulated(self) -> bool:
        """Whether any ECG is simulated."""
        return any(run.simulated for run in self.runs)

    @cached_property
    def chosen(self) -> Run:
        """The run with the highest mean validation score; of equals, the first."""
        return max(self.runs, key=lambda run: sum(fold.score("validation") for fold in run.results) / len(run.results))

    @cached_property
    def best(self) -> FoldResult:
        """Its fold with the highest validation score."""
        return self.chosen.best("validation")

    @property
    def selected(self) -> dict[str, Any]:
        """What Table 5 is about."""
        return {"model": self.chosen.model, "fold": self.best.fold, "by": "validation", "threshold": self.threshold}

    @property
    def threshold(self) -> float:
        """Operating point of the selected model."""
        return float(self.best.metrics["threshold"])

    @cached_property
    def tests(self) -> dict[str, dict[int, FoldTest]]:
        """Model → fold → its test ECGs, sorted by name."""
        return {run.model: {fold.fold: fold_test(run, fold) for fold in run.results} for run in self.runs}

    @cached_property
    def validations(self) -> dict[str, dict[int, FoldTest]]:
        """Model → fold → its validation ECGs."""
        return {run.model: {fold.fold: fold_test(run, fold, "validation") for fold in run.results} for run in self.runs}

    @property
    def tested(self) -> FoldTest:
        """Test ECGs of the selected fold."""
        return self.tests[self.chosen.model][self.best.fold]

    @cached_property
    def looks(self) -> Looks | None:
        """Pictures of those of them that are to be looked at first; None without any, and without the dataset."""
        data, test = self.data[0], self.tested
        if data is None or not self.pictures:
            return None
        self.facts(test.ecg_id)  # the run may know other ECGs than its dataset
        groups = {name: values[0] for name, values in self._groups([test]).items()}
        how: dict[str, Any] = {"records": self.records, "model_simulated": self.simulated}
        return first_looks(test, groups, data, self.pictures, **how)

    @cached_property
    def data(self) -> tuple[Dataset | None, str]:
        """The dataset of the runs, or None and why."""
        asked, config = self.dataset, self.runs[0].config
        place = asked or dataset_path(self.runs[0].path, config)
        add = "add --dataset to see subgroups and the STEMI criteria"
        try:
            data = load_dataset(place)
        except InputError as error:
            if asked:
                raise
            return None, f"Subgroups and STEMI criteria are left out: {error}; {add}."
        if data.fingerprint() != config["dataset_sha256"]:
            if asked:
                raise InputError(f"{asked} is not the dataset that {self.runs[0].path} was trained on", "other_dataset")
            return None, f"Subgroups and STEMI criteria are left out: {place} is another dataset than the runs'; {add}."
        return data, ""

    @property
    def notes(self) -> list[str]:
        """What is left out and why, and what a reader has to know."""
        return notes(self)

    @cached_property
    def splits(self) -> dict[str, dict[str, Any]]:
        """Validation and test ECGs of the selected fold."""
        found = {}
        for split, test in self.parts(self.chosen, self.best).items():
            found[split] = {"omi": test.omi, "probability": test.probability, "patient_id": test.patient_id}
            if self.stemi is not None:
                found[split]["stemi"] = self.stemi.loc[test.ecg_id].to_numpy()
        return found

    @cached_property
    def stemi(self) -> pd.Series | None:
        """Whether each ECG of the dataset meets the STEMI criteria; None where the dataset is not at hand."""
        data = self.data[0]
        if data is None:
            return None
        found = Part(data, np.arange(len(data.ecgs))).meets_stemi_criteria()
        return pd.Series(found, index=data.ecgs["ecg_id"])

    @cached_property
    def resampled(self) -> Resamples:
        """Every fold of every run in every resample of its patients."""
        return Resamples(self.tests, RESAMPLES, self.seed)

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The report's tables by the names of their files; ``errors`` is for the page alone."""
        how: dict[str, Any] = {"resamples": RESAMPLES, "seed": self.seed, "simulated": self.simulated}
        metrics = {run.model: [self._ranked(run, fold) for fold in run.results] for run in self.runs}
        found = {
            "table4": table4(metrics, self.simulated),
            "table5": table5(self.splits, self.threshold, **how),
            "intervals": intervals(self.resampled, self.simulated),
            "comparison": comparisons(self.resampled, self.simulated),
            "decisions": decision_table(self.splits, self.threshold, self.simulated),
            "calibration": self._calibration(),
            "decision_curve": self._decision_curve(),
            "errors": most_wrong(self),
        }
        if not len(found["comparison"]):
            del found["comparison"]
        if self.data[0] is not None:
            folds = list(self.tests[self.chosen.model].values())
            found["subgroups"] = subgroup_table(folds, self._groups(folds), **how)
        return found

    def pages(self) -> dict[str, Figure]:
        """Figures as files, by name."""
        found = {}
        if histories := self._histories():
            found["figure5"] = figure5(histories, self.simulated)
        found["figure6"] = figure6(self._curves(), self.threshold, self.simulated)
        for name, panels in self._clinical().items():
            for figure in panels.values():
                found[name] = with_title(figure, "Test folds together", self.simulated)
        return found

    def html(self, title: str) -> str:
        """The page."""
        names = ", ".join(run.model for run in self.runs)
        return report_html(
            Evidence(
                title=f"{title}: {names}" if title == "Evaluation" else title,
                simulated=self.simulated,
                selected=self.selected,
                tables=self.tables,
                figures=self._panels(),
                provenance=provenance(self.runs, RESAMPLES, self.seed),
                notes=self.notes,
                looks=self.looks,
            )
        )

    def _panels(self) -> dict[str, dict[str, Figure]]:
        histories = self._histories()
        curves = self._curves()
        return {
            "history": history_figures(histories) if histories else {},
            "curves": {
                "ROC": single(lambda axes: roc_panel(axes, curves, self.threshold)),
                "precision-recall": single(lambda axes: recall_panel(axes, curves, self.threshold)),
            },
            **self._clinical(),
        }

    def _clinical(self) -> dict[str, dict[str, Figure]]:
        calibration, decision = self.tables["calibration"], self.tables["decision_curve"]
        bins = {str(model): part for model, part in calibration.groupby("model", sort=False)}
        benefit = {str(rule): part["net_benefit"].to_numpy() for rule, part in decision.groupby("rule", sort=False)}
        return {
            "calibration": {"Calibration": single(lambda axes: calibration_panel(axes, bins), columns=2)},
            "decision_curve": {
                "Decision curve": single(lambda axes: decision_panel(axes, DECISION_THRESHOLDS, benefit), columns=2)
            },
        }

    def _histories(self) -> dict[str, list[pd.DataFrame]]:
        # A random forest has no epochs to draw.
        return {run.model: [fold.history for fold in run.results] for run in self.runs if run.has_epochs}

    def _curves(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        return {name: (part["omi"], part["probability"], part["patient_id"]) for name, part in self.splits.items()}

    def _ranked(self, run: Run, fold: FoldResult) -> dict[str, dict[str, float | None]]:
        """AUC and AP of a fold for Table 4; None where they are of too few patients of a class."""
        found: dict[str, dict[str, float | None]] = {}
        for split, part in self.parts(run, fold).items():
            known = enough_patients(part.omi, part.patient_id)
            found[split] = {name: fold.metrics[split].get(name) if known else None for name in ("auc", "ap")}
        return found

    def parts(self, run: Run, fold: FoldResult) -> dict[str, FoldTest]:
        """Validation and test ECGs of a fold."""
        return {"validation": self.validations[run.model][fold.fold], "test": self.tests[run.model][fold.fold]}

    def _pooled(self, model: str) -> tuple[np.ndarray, np.ndarray]:
        tests = self.tests[model].values()
        return np.concatenate([t.omi for t in tests]), np.concatenate([t.probability for t in tests])

    def _calibration(self) -> pd.DataFrame:
        models = {
            run.model: (
                *self._pooled(run.model),
                np.concatenate([t.patient_id for t in self.tests[run.model].values()]),
            )
            for run in self.runs
        }
        return calibration_table(models, self.simulated)

    def _decision_curve(self) -> pd.DataFrame:
        """Net benefit of each run; of STEMI criteria, treating all and treating none on the chosen run's ECGs."""
        rules = {run.model: self._pooled(run.model) for run in self.runs}
        omi, _ = rules[self.chosen.model]
        if self.stemi is not None:
            tests = self.tests[self.chosen.model].values()
            criteria = np.concatenate([self.stemi.loc[test.ecg_id].to_numpy(float) for test in tests])
            rules["STEMI criteria"] = (omi, criteria)
        rules |= {"treat all": (omi, np.ones(omi.size)), "treat none": (omi, np.zeros(omi.size))}
        return decision_curve_table(rules, self.simulated)

    def _groups(self, folds: list[FoldTest]) -> dict[str, list[np.ndarray]]:
        facts = [self.facts(test.ecg_id) for test in folds]
        names = dict.fromkeys((*GROUPS, self.chosen.split.leave_out or "site"))
        found = {name: [part[name].to_numpy(str) for part in facts] for name in names if name in facts[0]}
        return found | {"age": [age_bands(part["age"].to_numpy(float)) for part in facts]}

    def facts(self, ecg_ids: np.ndarray) -> pd.DataFrame:
        """Rows of ``ecgs.csv``."""
        data = self.data[0]
        assert data is not None, "asked only where the dataset is at hand"
        try:
            return data.ecgs.set_index("ecg_id").loc[ecg_ids]
        except KeyError as error:
            raise InputError(f"{self.chosen.path} has ECGs that {data.path} lacks: {error}", "altered") from None


def _check_comparable(runs: list[Run]) -> None:
    names = [run.model for run in runs]
    if unknown := [run for run in runs if run.model not in MODELS]:
        raise InputError(f"{unknown[0].path / 'config.json'}: unknown model {unknown[0].model!r}", "unknown_model")
    if len(set(names)) < len(names):
        raise InputError(f"two of the runs are of the same model ({', '.join(names)}); give one run per model")
    if any(run.config["dataset_sha256"] != runs[0].config["dataset_sha256"] for run in runs):
        raise InputError(
            f"{', '.join(str(run.path) for run in runs)} are runs of different datasets; compare like with like"
        )
