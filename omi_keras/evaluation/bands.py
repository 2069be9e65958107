"""Three answers instead of two: from which probability on OMI is ruled in, below which it is ruled out, and open.

One threshold has to be wrong about the ECGs in the middle. With two, a person is asked about them.

Rule out: the highest threshold at which the sensitivity is at least a target, so that as many as possible are ruled out
and, of the ECGs at hand, at most one OMI in ten (0.9). Rule in: the lowest threshold at which the positive predictive
value is at least a target, so that at least every second alarm is OMI (0.5). Either may not exist.

A model may be so good that ruling in begins below the threshold for ruling out. No probability can mean both, so the
threshold for ruling out comes down to the other one, and no ECG is open: both targets are still met, fewer OMI are
ruled out, and what lay between is ruled in.

How much more the next patients may lose than these: :mod:`~omi_keras.evaluation.conformal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from omi_keras.evaluation.bootstrap import patient_numbers
from omi_keras.evaluation.conformal import conformal_threshold, omi_scores, patients_needed, ruled_out_at_most
from omi_keras.evaluation.metrics import operating_point_metrics, threshold_counts, threshold_from, validated
from omi_keras.evaluation.proportions import rate_intervals
from omi_keras.recordings.errors import InputError

RULE_OUT_SENSITIVITY = 0.9
RULE_IN_PPV = 0.5


def rule_out_threshold(
    omi: npt.ArrayLike, probability: npt.ArrayLike, sensitivity: float = RULE_OUT_SENSITIVITY
) -> float:
    """Return the threshold t of the **fewest alarms** at which ``probability >= t`` has at least this sensitivity.

    ECGs below t may be ruled out; no decision with fewer alarms misses so few. NaN without OMI. Between two observed
    probabilities, see :func:`~omi_keras.evaluation.metrics.threshold_from`.

    Raises
    ------
    InputError
        See :func:`~omi_keras.evaluation.metrics.validated`.
    """
    thresholds, true, _ = threshold_counts(omi, probability)
    if thresholds.size == 0 or true[-1] == 0:
        return np.nan
    # Descending thresholds: sensitivity only grows, the first that is enough is the highest. Counts, because 0.9 × 10
    # must be 9 whatever floats say.
    enough = true >= np.ceil(sensitivity * true[-1] - 1e-9)
    return threshold_from(thresholds, int(np.argmax(enough)))


def rule_in_threshold(omi: npt.ArrayLike, probability: npt.ArrayLike, ppv: float = RULE_IN_PPV) -> float:
    """Return the threshold t of the **most alarms** at which ``probability >= t`` has at least this PPV.

    PPV does not only grow with the threshold: somewhat higher thresholds than t may have a lower PPV. NaN where no
    threshold reaches it, and without ECGs. Between two observed probabilities, see
    :func:`~omi_keras.evaluation.metrics.threshold_from`.

    Raises
    ------
    InputError
        See :func:`~omi_keras.evaluation.metrics.validated`.
    """
    thresholds, true, false = threshold_counts(omi, probability)
    enough = np.flatnonzero(true >= ppv * (true + false) - 1e-9)
    return threshold_from(thresholds, int(enough[-1])) if enough.size else np.nan


def guaranteed_rule_out_threshold(
    omi: npt.ArrayLike,
    probability: npt.ArrayLike,
    patient_id: npt.ArrayLike | None = None,
    sensitivity: float = RULE_OUT_SENSITIVITY,
) -> float:
    """Return the highest threshold below which at most ``1 - sensitivity`` of **OMI patients to come** lie.

    With few patients lower than :func:`rule_out_threshold`, and NaN where there are too few of them: see
    :mod:`~omi_keras.evaluation.conformal`. Between two observed probabilities.

    Raises
    ------
    InputError
        When a patient_id is missing; and see :func:`~omi_keras.evaluation.metrics.validated`.
    """
    lowest = conformal_threshold(omi_scores(omi, probability, patient_id), 1 - sensitivity)
    if np.isnan(lowest):
        return np.nan
    thresholds = threshold_counts(omi, probability)[0]
    return threshold_from(thresholds, int(np.flatnonzero(thresholds == lowest)[0]))


def find_bands(
    omi: npt.ArrayLike,
    probability: npt.ArrayLike,
    patient_id: npt.ArrayLike | None = None,
    *,
    sensitivity: float = RULE_OUT_SENSITIVITY,
    ppv: float = RULE_IN_PPV,
    guaranteed: bool = False,
) -> dict[str, float | None]:
    """Return where a probability rules OMI out and in.

    Parameters
    ----------
    omi, probability
        (n,) labels 0 or 1, P(OMI).
    patient_id
        (n,) identifiers; None: every ECG is of another patient. Of use to ``guaranteed`` only.
    sensitivity, ppv
        The targets, above 0 and below 1.
    guaranteed
        Whether the sensitivity shall be that of patients to come
        (:func:`guaranteed_rule_out_threshold`), and not of these ECGs.

    Returns
    -------
    dict
        ``rule_out``: below it OMI is ruled out; ``rule_in``: from it on OMI is ruled in. None where no threshold
        reaches the target; ``rule_out`` is never above ``rule_in`` (see the top of this module).

    Raises
    ------
    InputError
        When a target is none, or an array is not valid.

    Examples
    --------
    >>> from omi_keras.evaluation.bands import find_bands
    >>> find_bands([0, 0, 1, 0, 0, 0, 0, 1, 1], [0.0, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5, 0.75, 1.0])
    {'rule_out': 0.3125, 'rule_in': 0.625}
    """
    for name, target in (("sensitivity", sensitivity), ("PPV", ppv)):
        if not 0 < target < 1:
            raise InputError(f"expected a {name} between 0 and 1 as the target, received {target}", "bad_target")
    low = (
        guaranteed_rule_out_threshold(omi, probability, patient_id, sensitivity)
        if guaranteed
        else rule_out_threshold(omi, probability, sensitivity)
    )
    high = rule_in_threshold(omi, probability, ppv)
    # A comparison with NaN is false.
    low = high if low > high else low
    return {"rule_out": _or_none(low), "rule_in": _or_none(high)}


def describe_bands(
    omi: npt.ArrayLike,
    probability: npt.ArrayLike,
    patient_id: npt.ArrayLike,
    bands: Mapping[str, float | None],
    *,
    sensitivity: float = RULE_OUT_SENSITIVITY,
    ppv: float = RULE_IN_PPV,
) -> dict[str, Any]:
    """Return what bands do on these ECGs, with 95 % intervals, and what they promise for other patients.

    Parameters
    ----------
    omi, probability, patient_id
        (n,) each. Where the bands were chosen on the same ECGs, their rates are a little better than those of others.
    bands
        As :func:`find_bands` gives them.
    sensitivity, ppv
        The targets that they were chosen for.

    Returns
    -------
    dict
        ``targets``; numbers of ``ecgs``, ``patients``, ``omi``, ``omi_patients``; ``rule_out``, ``rule_in``: see
        :func:`band_rates`; ``guarantee``: ``rule_out_at_most``, the share of OMI patients to come that ``rule_out``
        rules out at most, ``rule_out``, the highest threshold at which that is ``1 - sensitivity`` (None where too few
        OMI patients), and ``omi_patients_needed`` for one.

    Raises
    ------
    InputError
        When an array is not valid.
    """
    label, value = validated(omi, probability)
    patient = patient_numbers(patient_id, label.size)
    low, high = bands["rule_out"], bands["rule_in"]
    scores = omi_scores(label, value, patient)
    return {
        "targets": {"sensitivity": sensitivity, "ppv": ppv},
        "ecgs": label.size,
        "patients": np.unique(patient).size,
        "omi": int(label.sum()),
        "omi_patients": scores.size,
        **band_rates(label, None if low is None else value >= low, None if high is None else value >= high, patient),
        "guarantee": {
            "rule_out_at_most": None if low is None else ruled_out_at_most(scores, low),
            "rule_out": _or_none(guaranteed_rule_out_threshold(label, value, patient, sensitivity)),
            "omi_patients_needed": patients_needed(1 - sensitivity),
        },
    }


def chosen_bands(
    omi: npt.ArrayLike, probability: npt.ArrayLike, patient_id: npt.ArrayLike, **targets: Any
) -> dict[str, Any]:
    """Return ``bands`` and ``bands_details`` as ``model.json`` has them: :func:`find_bands`, :func:`describe_bands`."""
    bands = find_bands(omi, probability, patient_id, **targets)
    targets.pop("guaranteed", None)
    return {"bands": bands, "bands_details": describe_bands(omi, probability, patient_id, bands, **targets)}


def band_rates(
    omi: np.ndarray, not_ruled_out: np.ndarray | None, ruled_in: np.ndarray | None, patient: np.ndarray
) -> dict[str, dict[str, float] | None]:
    """Return what is ruled out and in, as shares of ECGs, and how rightly.

    Parameters
    ----------
    omi, not_ruled_out, ruled_in
        (n,) bool; None where there is no such threshold.
    patient
        (n,) numbers or names of patients.

    Returns
    -------
    dict
        ``rule_out`` → ``share`` of all ECGs that is ruled out, ``sensitivity`` and ``npv``; ``rule_in`` → ``share``,
        ``ppv`` and ``sensitivity``; the rates with ``_lo`` and ``_hi``, NaN where they are not defined.
    """
    return {
        "rule_out": None if not_ruled_out is None else _rates(omi, not_ruled_out, patient, False, "sensitivity", "npv"),
        "rule_in": None if ruled_in is None else _rates(omi, ruled_in, patient, True, "ppv", "sensitivity"),
    }


def _rates(omi: np.ndarray, alarm: np.ndarray, patient: np.ndarray, side: bool, *names: str) -> dict[str, float]:
    point = operating_point_metrics(omi, alarm.astype(np.float64), 0.5)
    found = rate_intervals(omi, alarm, patient)
    rates = {"share": float((alarm == side).mean()) if alarm.size else np.nan}
    for name in names:
        rates |= {name: point[name], f"{name}_lo": found[name][0], f"{name}_hi": found[name][1]}
    return rates


def _or_none(threshold: float) -> float | None:
    return None if np.isnan(threshold) else threshold
