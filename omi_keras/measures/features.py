"""Engineered features of median beats: what the OMI literature measures by ruler, for trees and for rules.

The families are those of the machine-learning work on ischaemia in the prehospital ECG: Al-Zaiti et al., Machine
learning-based prediction of acute coronary syndrome using only the pre-hospital 12-lead electrocardiogram, Nat
Commun 2020;11:3966; and Al-Zaiti et al., Machine learning for ECG diagnosis and risk stratification of occlusion
myocardial infarction, Nat Med 2023;29:1804-1813 (a random forest of 73 morphological features of median beats).
ST is measured against the PR segment from the J point on, and leads are grouped, as in the Fourth Universal
Definition of Myocardial Infarction (Thygesen et al., Circulation 2018;138:e618-e651).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from omi_keras.beats.model_inputs import BEAT_SAMPLES, CROP_START, CROP_STOP, FLAT_SD
from omi_keras.measures.beat_arrays import MS
from omi_keras.measures.fiducials import INDEPENDENT, Fiducials, delineate
from omi_keras.measures.heart_axes import frontal_axis, principal_components, spatial_angle, wrapped
from omi_keras.measures.lead_groups import GROUPED, group_measures
from omi_keras.measures.lead_measures import PER_LEAD, lead_measures, t_onset
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS

# Raised when a beat is measured otherwise than before: what a forest was grown on is then no longer what it is asked
# with. 1: omi-keras 0.1.0. 2: onsets and ends where cardiologists put them.
MEASURES = 2
# Beats measured at a time: what bounds the memory, at about 40 MB.
CHUNK = 128

OVERALL: tuple[str, ...] = (
    "qrs_duration_ms",
    "qt_interval_ms",
    "pr_interval_ms",
    "t_peak_to_end_ms",
    "frontal_qrs_axis_deg",
    "frontal_t_axis_deg",
    "frontal_qrs_t_angle_deg",
    "spatial_qrs_t_angle_deg",
    *(f"{wave}_pca_{kind}_ratio" for wave in ("qrs", "st", "t") for kind in ("second_to_first", "rest_to_total")),
    *GROUPED,
)
FEATURES: tuple[str, ...] = (*(f"{lead}_{measure}" for lead in LEADS for measure in PER_LEAD), *OVERALL)


def beat_features(beats: ArrayLike) -> np.ndarray:
    """Measure median beats.

    Parameters
    ----------
    beats
        (n, 12, 600) median beats, mV, 500 Hz, R at sample 300, PR segment at zero, leads in the order of
        :data:`omi_keras.recordings.record.LEADS`; may be memory-mapped. Not changed.

    Returns
    -------
    numpy.ndarray
        (n, len(FEATURES)) float32, columns in the order of :data:`FEATURES`: mV, ms, mV·ms, mV/s, degrees in
        (−180, 180]. NaN where a feature is undefined: a ratio to nothing, a flat lead and all that needs it,
        P and PR without a P wave, everything of a beat with missing or infinite samples. A wave that is absent
        has amplitude and duration 0. Each row depends on its own beat alone.

    Raises
    ------
    InputError
        When the shape is not (n, 12, 600).
    """
    x = np.asarray(beats)
    if x.ndim != 3 or x.shape[1:] != (len(LEADS), BEAT_SAMPLES):
        raise InputError(
            f"median beats: expected shape (n, {len(LEADS)}, {BEAT_SAMPLES}), received {x.shape}", "wrong_shape"
        )
    features = np.empty((len(x), len(FEATURES)), dtype=np.float32)
    for start in range(0, len(x), CHUNK):
        features[start : start + CHUNK] = _measure(x[start : start + CHUNK])
    return features


def _measure(beats: np.ndarray) -> np.ndarray:
    """Features of some beats, (n, 12, 600) → (n, features)."""
    # What float32 cannot hold is no millivolts either.
    with np.errstate(over="ignore"):
        x = beats.astype(np.float32).astype(np.float64)
    bad = ~np.isfinite(x).all(axis=(1, 2))
    x[bad] = 0.0
    flat = x[:, :, CROP_START:CROP_STOP].std(axis=2) < FLAT_SD
    marks = delineate(x)
    lead = lead_measures(x, marks)
    for values in lead.values():
        values[flat] = np.nan
    overall = _intervals(marks) | _directions(lead) | _complexity(x, marks, flat) | group_measures(lead)
    table = np.stack([lead[name] for name in PER_LEAD], axis=2).reshape(len(x), -1)
    table = np.concatenate([table, np.stack([overall[name] for name in OVERALL], axis=1)], axis=1)
    table[bad | flat[:, INDEPENDENT].all(axis=1)] = np.nan
    return table.astype(np.float32)


def _intervals(marks: Fiducials) -> dict[str, np.ndarray]:
    return {
        "qrs_duration_ms": (marks.j - marks.qrs_onset) * MS,
        "qt_interval_ms": (marks.t_end - marks.qrs_onset) * MS,
        "pr_interval_ms": np.where(marks.p_found, (marks.qrs_onset - marks.p_onset) * MS, np.nan),
        "t_peak_to_end_ms": (marks.t_end - marks.t_peak) * MS,
    }


def _directions(lead: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    qrs, t = lead["qrs_area_mv_ms"], lead["t_area_mv_ms"]
    qrs_axis, t_axis = frontal_axis(qrs), frontal_axis(t)
    return {
        "frontal_qrs_axis_deg": qrs_axis,
        "frontal_t_axis_deg": t_axis,
        "frontal_qrs_t_angle_deg": np.abs(wrapped(qrs_axis - t_axis)),
        "spatial_qrs_t_angle_deg": spatial_angle(qrs, t),
    }


def _complexity(x: np.ndarray, marks: Fiducials, flat: np.ndarray) -> dict[str, np.ndarray]:
    """Principal components of QRS, ST and T; NaN with a flat lead, whose share nobody knows."""
    onset = t_onset(marks)
    stretches = {"qrs": (marks.qrs_onset, marks.j), "st": (marks.j, onset), "t": (onset, marks.t_end)}
    found = {}
    for name, (first, last) in stretches.items():
        second, rest = principal_components(x, first, last)
        found[f"{name}_pca_second_to_first_ratio"] = np.where(flat.any(axis=1), np.nan, second)
        found[f"{name}_pca_rest_to_total_ratio"] = np.where(flat.any(axis=1), np.nan, rest)
    return found
