"""Stratified folds that keep every patient's ECGs together (paper section II.B)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from omi_keras.data.identities import one_form
from omi_keras.recordings.errors import InputError

FOLDS = 10
FEWEST_FOLDS = 3  # one to test, one to validate, one to train


def most_folds(omi: np.ndarray, patient_id: np.ndarray, wanted: int = FOLDS) -> int:
    """The number of folds that small data allow: at most the patients of the rarer class, at most ``wanted``.

    Raises
    ------
    InputError
        When fewer than three patients have, or have not, OMI: no fold could then be trained, validated and
        tested on both classes.
    """
    patient = _patients(patient_id)
    patients = [len(np.unique(patient[omi == label])) for label in (0, 1)]
    folds = min(wanted, *patients)
    if folds < FEWEST_FOLDS:
        raise InputError(
            f"one class is too small for cross-validation: {patients[1]} patients with OMI and {patients[0]} "
            f"without, and training, validation and test need {FEWEST_FOLDS} of each; add recordings",
            "one_class",
        )
    return folds


def assign_folds(omi: np.ndarray, patient_id: np.ndarray, folds: int = FOLDS, seed: int = 0) -> np.ndarray:
    """Fold of each ECG, stratified by label, no patient in two folds.

    Parameters
    ----------
    omi, patient_id
        (n,) labels 0/1 and patient ids.
    folds
        Number of folds; see :func:`most_folds`.

    Returns
    -------
    (n,) int array of 0 .. folds − 1; the same seed gives the same folds.
    """
    # The patients are shuffled here and not by scikit-learn, whose own shuffle spoils the stratification in older
    # versions and gives other folds in newer ones.
    patient = _patients(patient_id)
    patient = np.random.default_rng(seed).permutation(patient.max() + 1)[patient]
    splitter = StratifiedGroupKFold(folds)
    fold = np.full(len(omi), -1)
    with warnings.catch_warnings():
        # scikit-learn counts ECGs, not patients; most_folds has made sure that the split is possible.
        warnings.filterwarnings("ignore", message="The least populated class in y")
        for number, (_, held_out) in enumerate(splitter.split(omi, omi, patient)):
            fold[held_out] = number
    return fold


def nested_part(omi: np.ndarray, patient_id: np.ndarray, fraction: float, seed: Sequence[int]) -> np.ndarray:
    """A part of some ECGs: whole patients, the same share of those with and of those without OMI.

    Parameters
    ----------
    omi, patient_id
        (n,) labels 0/1 and patient ids.
    fraction
        Share of the patients, above 0 to 1; at least one with and one without OMI is taken where there are any.
    seed
        The same seed gives nested parts: a smaller one lies in every larger one.

    Returns
    -------
    (n,) bool.
    """
    patient = _patients(patient_id)
    order = np.random.default_rng(seed).permutation(patient.max() + 1)
    with_omi = np.bincount(patient, omi)[order] > 0
    taken = [group[: max(1, round(fraction * len(group)))] for group in (order[with_omi], order[~with_omi])]
    return np.isin(patient, np.concatenate(taken))


def _patients(patient_id: np.ndarray) -> np.ndarray:
    """Number of each ECG's patient, (n,); identifiers that look the same are one patient."""
    return np.unique([one_form(str(name)) for name in patient_id], return_inverse=True)[1]


def rotation(test_fold: int, folds: int = FOLDS) -> tuple[list[int], int, int]:
    """(training folds, validation fold, test fold) of one round: each fold is tested once and validated once."""
    validation = (test_fold + 1) % folds
    training = [fold for fold in range(folds) if fold not in (test_fold, validation)]
    return training, validation, test_fold


def check_both_classes(omi: np.ndarray, fold: np.ndarray, test_fold: int, folds: int) -> None:
    """Raise InputError when training, validation or test of a round has one class only."""
    training, validation, test = rotation(test_fold, folds)
    parts = {"training": training, "validation": [validation], "test": [test]}
    labels = {name: omi[np.isin(fold, part)] for name, part in parts.items()}
    check_parts(f"fold {test_fold}", labels, "use another --seed, fewer folds (--n-folds) or more recordings")


def check_parts(name: str, parts: Mapping[str, np.ndarray], instead: str) -> None:
    """Raise InputError when one of the parts, name → labels of its ECGs, has one class only.

    Parameters
    ----------
    name
        Of what is parted, for the message.
    instead
        What to do, for the message.
    """
    for part, labels in parts.items():
        if len(np.unique(labels)) < 2:
            raise InputError(
                f"{name}: its {part} part has one class only ({len(labels)} ECGs, {labels.sum()} with OMI), so AUC is "
                f"undefined; {instead}",
                "one_class",
            )
