"""ECGs that a finished model was made with are none that it never saw: found by beats, by ids and by patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omi_keras.data.beat_sums import are_among
from omi_keras.data.identities import one_form
from omi_keras.recordings.errors import InputError
from omi_keras.report.judges import Judge
from omi_keras.report.part import Part


@dataclass(frozen=True)
class Overlap:
    """Which ECGs of a dataset a model knows, each counted once, by the first of three signs.

    Attributes
    ----------
    beats, ecg_ids, patients
        (n,) bool: by an equal median beat; else by an equal ecg_id; else because the patient is one of the model's.
    """

    judge: Judge
    beats: np.ndarray
    ecg_ids: np.ndarray
    patients: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """(n,) bool: all of them."""
        return self.beats | self.ecg_ids | self.patients

    def told(self) -> str:
        """``17: 12 by their median beat, 3 by ecg_id, 2 by patient_id``."""
        named = (("their median beat", self.beats), ("ecg_id", self.ecg_ids), ("patient", self.patients))
        parts = ", ".join(f"{rows.sum()} by {sign}" for sign, rows in named if rows.any())
        return f"{self.rows.sum()} ({parts})"


def overlaps(judges: Sequence[Judge], data: Part, *, other_patients: bool = False) -> list[Overlap]:
    """Return what each model knows of some of a dataset's ECGs.

    Parameters
    ----------
    other_patients
        Equal ids name other ECGs and other people, as two hospitals' own numbers do. Of a patient one of whose beats is
        known, all ECGs are known whatever this says.
    """
    ecg_ids = data.ecgs["ecg_id"].to_numpy(str)
    people = np.array([one_form(str(name)) for name in data.ecgs["patient_id"]], dtype=str)
    found = []
    for judge in judges:
        known = judge.known
        beats = are_among(data, known.beats)
        same_ecg, patients = np.zeros(len(ecg_ids), bool), set(people[beats])
        if not other_patients:
            same_ecg = np.isin(ecg_ids, list(known.ecg_ids or ()))
            patients |= {one_form(name) for name in known.patient_ids or ()} | set(people[same_ecg])
        same_ecg &= ~beats
        found.append(Overlap(judge, beats, same_ecg, np.isin(people, list(patients)) & ~beats & ~same_ecg))
    return found


def refuse_known(found: Sequence[Overlap], data: Part, *, without_known: bool, other_patients: bool) -> None:
    """Raise InputError when a model knows some of the ECGs, and they are not left out.

    Raises
    ------
    InputError
        With the number of ECGs; also when a model is of this very dataset and does not say which ECGs it knows, so that
        none can be left out.
    """
    place = str(data.dataset.path or "the dataset")
    for overlap in found:
        judge = overlap.judge
        same = judge.known.dataset_sha256 == data.dataset.fingerprint()
        if same and not judge.known.complete and judge.known.ecg_ids is None:
            raise InputError(
                f"{judge.place} was made of {place} and does not say of which of its ECGs; give the model folder, or "
                "another dataset",
                "known_ecgs",
            )
        if without_known or not overlap.rows.any():
            continue
        own = (
            f"; {place} is the dataset that it was made of, whose test folds omi-keras evaluate judges" if same else ""
        )
        by_name = not same and not other_patients and (overlap.ecg_ids | overlap.patients).any()
        other = ", or, if equal ids name other people, add --other-patients" if by_name else ""
        raise InputError(
            f"{judge.place} was trained or validated on {overlap.told()} of the {len(data)} labelled ECGs of "
            f"{place}, and can be judged only by ECGs that it never saw; leave them out (--without-known){other}{own}",
            "known_ecgs",
        )


def cannot_be_checked(judge: Judge, judges: Sequence[Judge]) -> str:
    """Return what a reader has to know of a model that does not know all its ECGs and patients again, or nothing."""
    known = judge.known
    if not known.complete:
        if known.ecg_ids is None:
            return (
                f"{judge.name} does not say what it was trained on; that it never saw these ECGs could not be checked."
            )
        return (
            f"{judge.name} does not know all the ECGs that it was made with by their beats: that none is here under "
            "another id could not be checked."
        )
    # Beside the model that a bundle was made from, its patients are known.
    beside = any(of.known.patient_ids is not None and known.beats <= of.known.beats for of in judges)
    if known.patient_ids is None and not beside:
        return (
            f"{judge.name} is a bundle, which names no patients: that none of its patients is here with another ECG "
            "could not be checked."
        )
    return ""
