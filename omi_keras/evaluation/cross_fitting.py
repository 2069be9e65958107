"""What local patients say of a finished model's logits: the map that calibrates them, and operating points.

Map, threshold and bands are found by all of the patients. How well these do, the same patients cannot tell: so that is
told by **cross-fitting**. Map, threshold and bands are found without a tenth of the patients and judge that tenth, ten
times.

Threshold and bands depend on the order of ECGs alone, in which the local patients had no part: only where the
thresholds lie among them is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omi_keras.data.folds import FOLDS, assign_folds
from omi_keras.data.identities import one_form
from omi_keras.evaluation.bands import band_rates, describe_bands, find_bands
from omi_keras.evaluation.bootstrap import patient_numbers
from omi_keras.evaluation.calibration import brier_score
from omi_keras.evaluation.calibration_fit import calibration_fit
from omi_keras.evaluation.metrics import best_f1_threshold, confusion_rates, ranking_metrics
from omi_keras.evaluation.platt import FEWEST_FOR_SLOPE, Platt, enough_for_slope, fit_platt, probability_of
from omi_keras.evaluation.proportions import rate_intervals
from omi_keras.recordings.errors import InputError

# An interval as wide as this says little.
WIDE = 0.2


def recalibration(
    omi: np.ndarray,
    logit: np.ndarray,
    patient_id: np.ndarray,
    *,
    sensitivity: float,
    ppv: float,
    guaranteed: bool,
    seed: int,
) -> dict[str, Any]:
    """What local patients say of a model's logits, for ``model.json``.

    Parameters
    ----------
    omi, logit, patient_id
        (n,) labels 0 or 1, the model's log odds of OMI, identifiers.
    sensitivity, ppv, guaranteed
        As :func:`omi_keras.evaluation.bands.find_bands`.

    Returns
    -------
    dict
        ``threshold``, ``bands``, ``bands_details``, ``metrics`` (cross-fitted) and ``calibration``.

    Raises
    ------
    InputError
        As :func:`omi_keras.evaluation.platt.fit_platt`, or when the patients cannot be divided.
    """
    patient = patient_numbers([one_form(str(name)) for name in patient_id], omi.size)
    targets = {"sensitivity": sensitivity, "ppv": ppv}
    slope = enough_for_slope(omi, patient)
    fit = fit_platt(omi, logit, patient, slope=slope)
    probability = probability_of(fit.log_odds(logit))
    bands = find_bands(omi, probability, patient, **targets, guaranteed=guaranteed)
    details = describe_bands(omi, probability, patient, bands, **targets)
    judged = _cross_fitted(omi, logit, patient, slope, {**targets, "guaranteed": guaranteed}, seed)
    both = {"before": probability_of(logit), "cross_fitted": judged["probability"]}
    # A side that has no threshold now had none that could be judged.
    sides = {name: None if bands[name] is None else judged[name] for name in bands}
    details |= band_rates(omi == 1, sides["rule_out"], sides["rule_in"], patient)
    return {
        "threshold": best_f1_threshold(omi, probability),
        "bands": bands,
        "bands_details": details | {"guaranteed": guaranteed, "rates": "cross-fitted"},
        "metrics": {"cross_fitted": _metrics(omi, judged["probability"], judged["alarm"], patient)},
        "calibration": {
            "method": "Platt scaling" if slope else "intercept of Platt scaling",
            "slope": fit.slope,
            "intercept": fit.intercept,
            "fit": _told(fit),
            "rule": f"the slope is fitted from {FEWEST_FOR_SLOPE} patients of either class on",
            **{name: details[name] for name in ("ecgs", "patients", "omi", "omi_patients")},
            "patients_without_omi": np.unique(patient[omi == 0]).size,
            "brier": {name: brier_score(omi, said) for name, said in both.items()},
            "calibration_fit": {name: calibration_fit(omi, said, patient) for name, said in both.items()},
            "folds": judged["folds"],
            "seed": seed,
        },
    }


def _cross_fitted(
    omi: np.ndarray, logit: np.ndarray, patient: np.ndarray, slope: bool, targets: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Probabilities and decisions about each patient (n,), found by the others."""
    patients = [np.unique(patient[omi == label]).size for label in (0, 1)]
    folds = min(FOLDS, *patients)
    fold = assign_folds(omi, patient, folds, seed)
    probability, alarm = np.empty(omi.size), np.empty(omi.size, bool)
    not_ruled_out, ruled_in = np.ones(omi.size, bool), np.zeros(omi.size, bool)
    for number in range(folds):
        rest, part = fold != number, fold == number
        fit = _fit(omi[rest], logit[rest], patient[rest], slope)
        others, probability[part] = (probability_of(fit.log_odds(logit[rows])) for rows in (rest, part))
        alarm[part] = probability[part] >= best_f1_threshold(omi[rest], others)
        bands = find_bands(omi[rest], others, patient[rest], **targets)
        if bands["rule_out"] is not None:
            not_ruled_out[part] = probability[part] >= bands["rule_out"]
        if bands["rule_in"] is not None:
            ruled_in[part] = probability[part] >= bands["rule_in"]
    found = {"probability": probability, "alarm": alarm, "rule_out": not_ruled_out, "rule_in": ruled_in}
    return {**found, "folds": folds}


def _fit(omi: np.ndarray, logit: np.ndarray, patient: np.ndarray, slope: bool) -> Platt:
    """Without a tenth of the patients a slope near 0 may fall below it, where the intercept alone can be moved."""
    try:
        return fit_platt(omi, logit, patient, slope=slope)
    except InputError as error:
        if error.reason != "no_order":
            raise
        return fit_platt(omi, logit, patient, slope=False)


def _metrics(omi: np.ndarray, probability: np.ndarray, alarm: np.ndarray, patient: np.ndarray) -> dict[str, float]:
    label = omi == 1
    counts = [label & alarm, ~label & alarm, label & ~alarm, ~label & ~alarm]
    rates = confusion_rates(*(np.asarray(rows.sum(), np.float64) for rows in counts))
    found = ranking_metrics(omi, probability) | {name: float(rate) for name, rate in rates.items()}
    for name, (low, high) in rate_intervals(label, alarm, patient).items():
        found |= {f"{name}_lo": low, f"{name}_hi": high}
    return found


def _told(fit: Platt) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in ("slope", "intercept"):
        low, high = fit.interval(name)
        found |= {name: getattr(fit, name), f"{name}_lo": low, f"{name}_hi": high}
    return found


def cannot_know(found: Mapping[str, Any], *, trained_on_simulated: bool, local_simulated: bool) -> list[str]:
    """What nobody knows from the local patients alone, a sentence each.

    Parameters
    ----------
    found
        What :func:`recalibration` returned.
    """
    calibration, details, bands = found["calibration"], found["bands_details"], found["bands"]
    patients, needed = details["omi_patients"], details["guarantee"]["omi_patients_needed"]
    target = details["targets"]["sensitivity"]
    said = []
    if trained_on_simulated != local_simulated:
        kinds = [("simulated" if kind else "recorded") for kind in (trained_on_simulated, local_simulated)]
        said.append(f"the model was trained on {kinds[0]} ECGs and recalibrated on {kinds[1]} ones")
    if "intercept" in calibration["method"]:
        fewest = min(patients, calibration["patients_without_omi"])
        said.append(
            f"with {fewest} patients of the rarer class, fewer than {FEWEST_FOR_SLOPE}, only the intercept was fitted: "
            "whether probabilities are too extreme is not known"
        )
    elif calibration["fit"]["slope_lo"] <= 0:
        said.append("that the model ranks these patients' ECGs better than chance is not certain")
    if patients < needed:
        said.append(
            f"with {patients} patients with OMI no threshold can promise a sensitivity of {target:g} among those to "
            f"come; that takes {needed}"
        )
    elif bands["rule_out"] is not None and details["guarantee"]["rule_out_at_most"] > 1 - target + 0.005:
        share = details["guarantee"]["rule_out_at_most"]
        said.append(
            f"below the rule-out threshold lie at most {1 - target:.0%} of these OMI ECGs, but of OMI patients to come "
            f"up to {share:.0%} on average"
        )
    for name, rate, shown in (("rule_out", "sensitivity", "sensitivity when ruling out"), ("rule_in", "ppv", "PPV")):
        side = details[name]
        if side is not None and not side[f"{rate}_hi"] - side[f"{rate}_lo"] < WIDE:
            low, high = side[f"{rate}_lo"], side[f"{rate}_hi"]
            said.append(f"the {shown} lies anywhere from {low:.2f} to {high:.2f}")
    share = calibration["omi"] / calibration["ecgs"]
    said.append(f"probabilities and PPV are right where {share:.0%} of the ECGs are OMI as here, and not elsewhere")
    return said
