"""STEMI criteria by the millimetre: what an OMI detector is compared with.

Limits and leads of the Fourth Universal Definition of Myocardial Infarction (Thygesen et al., Circulation
2018;138:e618-e651, Tables 2 and 3), which the ESC guidelines for acute coronary syndromes share (Byrne et al., Eur
Heart J 2023;44:3720-3826): ST elevation at the J point in two contiguous leads, 0.1 mV, in V2-V3 0.2 mV in men from
40 years, 0.25 mV in younger men and 0.15 mV in women, without left ventricular hypertrophy or left bundle branch
block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from omi_keras.beats.model_inputs import BEAT_SAMPLES
from omi_keras.measures.fiducials import delineate
from omi_keras.measures.lead_groups import CONTIGUOUS
from omi_keras.measures.lead_measures import lead_measures
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS

LeftBundle = Literal["exclude", "read", "sgarbossa", "smith"]
Hypertrophy = Literal["exclude", "read"]

LIMIT_MV = 0.1
# In V2 and V3.
MEN_MV, YOUNG_MEN_MV, WOMEN_MV, YOUNG_YEARS = 0.2, 0.25, 0.15, 40.0
POSTERIOR_MV = 0.05
# Sgarbossa et al., N Engl J Med 1996;334:481-487: the two signs that reach 3 points alone. Smith et al., Ann Emerg
# Med 2012;60:766-776: discordant elevation counts from a quarter of the S wave.
CONCORDANT_MV, DISCORDANT_SHARE = 0.1, 0.25
# Surawicz et al., AHA/ACCF/HRS recommendations part III, J Am Coll Cardiol 2009;53:976-981, ask for 120 ms. From the
# first onset to the last end in any lead, as measured here, healthy people reach 116; complete block begins at 130 to
# 140 (Strauss et al., Am J Cardiol 2011;107:927-934).
LEFT_BUNDLE_MS = 130.0
# R in V1 of a left bundle branch block is small beside its S; in V6 or I nothing but R is left.
SMALL_R, SMALL_Q, SMALL_S = 0.3, 0.05, 0.35
# Cornell voltage: R in aVL and S in V3. Hancock et al., AHA/ACCF/HRS recommendations part V, J Am Coll Cardiol
# 2009;53:992-1002.
CORNELL_MEN_MV, CORNELL_WOMEN_MV = 2.8, 2.0
# Beats measured at a time: what bounds the memory.
CHUNK = 128
# Float32 millivolts: a limit is reached when it is missed by less than a thousandth of a µV.
TINY_MV = 1e-6
# The median of so many samples before the QRS complex is the reference level.
REFERENCE_SAMPLES = 8


def stemi_criteria(
    beats: ArrayLike,
    age: ArrayLike,
    sex: ArrayLike,
    *,
    posterior: bool = False,
    left_bundle: LeftBundle = "exclude",
    hypertrophy: Hypertrophy = "exclude",
) -> np.ndarray:
    """Whether median beats meet the STEMI criteria.

    Parameters
    ----------
    beats
        (n, 12, 600) median beats, mV, 500 Hz, R at sample 300, leads in the order of
        :data:`omi_keras.recordings.record.LEADS`; may be memory-mapped. Not changed.
    age
        (n,) years; NaN where unknown, which is read as 40 or older.
    sex
        (n,) ``"female"``, ``"male"`` or ``""``; where unknown the limits of men hold.
    posterior
        Also positive: ST depression of 0.05 mV with an upright T wave in two neighbours of V1 to V3, and no such
        depression in I, II, V5 or V6. The universal definition calls it equivalent to ST elevation in V7 to V9.
    left_bundle
        What a left bundle branch block means. ``"exclude"``: never positive, as the definition has it. ``"read"``: the
        same limits. ``"sgarbossa"``: instead, the original score of 3 points: 0.1 mV elevation where QRS is upright,
        or 0.1 mV depression in V1 to V3. ``"smith"``: these, or elevation of 0.1 mV and a quarter of the S wave.
    hypertrophy
        What left ventricular hypertrophy by the Cornell voltage means: ``"exclude"`` or ``"read"``, as above.

    Returns
    -------
    numpy.ndarray
        (n,) bool. Each value depends on its own beat alone.

    Raises
    ------
    InputError
        When a shape is wrong, a sample is missing or infinite, or an option or a sex is unknown.
    """
    for name, value, known in (("left_bundle", left_bundle, LeftBundle), ("hypertrophy", hypertrophy, Hypertrophy)):
        if value not in get_args(known):
            raise InputError(f"{name} must be one of {', '.join(get_args(known))}, received {value!r}")
    x, women, young = _checked(beats, age, sex)
    positive = np.zeros(len(x), dtype=bool)
    for start in range(0, len(x), CHUNK):
        part = slice(start, start + CHUNK)
        seen = _measure(x[part])
        found = _raised_together(seen, women[part], young[part]).any(axis=1)
        if posterior:
            found |= _posterior(seen)
        if hypertrophy == "exclude":
            found &= ~_hypertrophy(seen, women[part])
        if left_bundle != "read":
            found = np.where(_left_bundle(seen), _read_left_bundle(seen, left_bundle), found)
        positive[part] = found
    return positive


@dataclass(frozen=True)
class StemiReading:
    """What :func:`stemi_criteria` decides on by default, for a person who asks why.

    Attributes
    ----------
    positive
        (n,) bool, as :func:`stemi_criteria`.
    leads
        (n, 12) bool: leads that reach their limit beside a neighbour that does, whatever excludes them.
    left_bundle, hypertrophy
        (n,) bool: what excludes an ECG.
    """

    positive: np.ndarray
    leads: np.ndarray
    left_bundle: np.ndarray
    hypertrophy: np.ndarray


def stemi_reading(beats: ArrayLike, age: ArrayLike, sex: ArrayLike) -> StemiReading:
    """Which leads meet the STEMI criteria, and what speaks against reading them.

    Parameters are those of :func:`stemi_criteria`, with its defaults; all beats are measured at once.

    Raises
    ------
    InputError
        As :func:`stemi_criteria`.
    """
    x, women, young = _checked(beats, age, sex)
    seen = _measure(x)
    leads = _raised_together(seen, women, young)
    left_bundle, hypertrophy = _left_bundle(seen), _hypertrophy(seen, women)
    return StemiReading(leads.any(axis=1) & ~left_bundle & ~hypertrophy, leads, left_bundle, hypertrophy)


def limits_mv(women: np.ndarray, young: np.ndarray) -> np.ndarray:
    """ST elevation that counts in each lead, (n, 12) mV, for women and for the young (below 40), (n,) bool each."""
    limits = np.full((len(women), len(LEADS)), LIMIT_MV)
    in_v2_v3 = np.where(women, WOMEN_MV, np.where(young, YOUNG_MEN_MV, MEN_MV))
    limits[:, _places("V2", "V3")] = in_v2_v3[:, None]
    # aVR looks into the heart from above; no infarct of a wall is read from it.
    limits[:, LEADS.index("aVR")] = np.inf
    return limits


@dataclass(frozen=True)
class _Seen:
    """What the criteria look at: (n, 12) mV each, ``st`` at the J point; ``qrs_ms`` (n,)."""

    st: np.ndarray
    q: np.ndarray
    r: np.ndarray
    s: np.ndarray
    t: np.ndarray
    qrs_area: np.ndarray
    qrs_ms: np.ndarray


def _checked(beats: ArrayLike, age: ArrayLike, sex: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, years, who = np.asarray(beats), np.asarray(age, dtype=float), np.asarray(sex, dtype=str)
    if x.ndim != 3 or x.shape[1:] != (len(LEADS), BEAT_SAMPLES):
        raise InputError(
            f"median beats: expected shape (n, {len(LEADS)}, {BEAT_SAMPLES}), received {x.shape}", "wrong_shape"
        )
    for name, values in (("age", years), ("sex", who)):
        if values.shape != (len(x),):
            raise InputError(f"{name}: expected one value for each of {len(x)} beats, received {values.shape}")
    strange = sorted(set(who.tolist()) - {"female", "male", ""})
    if strange:
        raise InputError(f"sex must be female, male or empty, received {strange[0]!r}")
    return x, who == "female", years < YOUNG_YEARS


def _measure(beats: np.ndarray) -> _Seen:
    x = beats.astype(np.float64)
    if not np.isfinite(x).all():
        raise InputError("median beats: missing or infinite samples", "missing_samples")
    marks = delineate(x)
    # The definition takes the onset of QRS for the reference, which the PR segment need not reach.
    before = np.clip(marks.qrs_onset[:, None] - np.arange(REFERENCE_SAMPLES), 0, None)
    x = x - np.median(np.take_along_axis(x, before[:, None, :], axis=2), axis=2, keepdims=True)
    lead = lead_measures(x, marks)
    return _Seen(
        st=lead["st_j_mv"],
        q=lead["q_mv"],
        r=lead["r_mv"],
        s=np.minimum(lead["s_mv"], np.where(lead["r_mv"] == 0.0, lead["q_mv"], 0.0)),
        t=lead["t_mv"],
        qrs_area=lead["qrs_area_mv_ms"],
        qrs_ms=(marks.j - marks.qrs_onset) * 2.0,
    )


def _places(*leads: str) -> list[int]:
    return [LEADS.index(lead) for lead in leads]


def _raised_together(seen: _Seen, women: np.ndarray, young: np.ndarray) -> np.ndarray:
    """Leads that reach their limit beside a contiguous lead that does, (n, 12) bool."""
    raised = seen.st >= limits_mv(women, young) - TINY_MV
    found = np.zeros_like(raised)
    for leads in CONTIGUOUS:
        places = _places(*leads)
        both = raised[:, places[1:]] & raised[:, places[:-1]]
        found[:, places[1:]] |= both
        found[:, places[:-1]] |= both
    return found


def _posterior(seen: _Seen) -> np.ndarray:
    lowered = seen.st <= -POSTERIOR_MV + TINY_MV
    opposite = (lowered & (seen.t > 0.0))[:, _places("V1", "V2", "V3")]
    elsewhere = lowered[:, _places("I", "II", "V5", "V6")].any(axis=1)
    return np.asarray((opposite[:, 1:] & opposite[:, :-1]).any(axis=1) & ~elsewhere)


def _hypertrophy(seen: _Seen, women: np.ndarray) -> np.ndarray:
    """Cornell voltage."""
    voltage = seen.r[:, LEADS.index("aVL")] - seen.s[:, LEADS.index("V3")]
    return voltage > np.where(women, CORNELL_WOMEN_MV, CORNELL_MEN_MV)


def _left_bundle(seen: _Seen) -> np.ndarray:
    """Broad QRS, down in V1, nothing but R in V6 or I."""
    v1 = LEADS.index("V1")
    down = (seen.qrs_area[:, v1] < 0.0) & (seen.r[:, v1] < SMALL_R * -seen.s[:, v1])
    lateral = _places("I", "V6")
    q, r, s = (wave[:, lateral] for wave in (seen.q, seen.r, seen.s))
    only_r = (r > 0.0) & (-q <= SMALL_Q * r) & (-s <= SMALL_S * r)
    return (seen.qrs_ms >= LEFT_BUNDLE_MS) & down & only_r.any(axis=1)


def _read_left_bundle(seen: _Seen, how: LeftBundle) -> np.ndarray:
    if how == "exclude":
        return np.zeros(len(seen.st), dtype=bool)
    raised = seen.st >= CONCORDANT_MV - TINY_MV
    raised[:, LEADS.index("aVR")] = False
    upright = seen.qrs_area > 0.0
    lowered = seen.st[:, _places("V1", "V2", "V3")] <= -CONCORDANT_MV + TINY_MV
    down = ~upright[:, _places("V1", "V2", "V3")]
    found = np.asarray((raised & upright).any(axis=1) | (lowered & down).any(axis=1))
    if how == "smith":
        found |= (raised & ~upright & (seen.s < 0.0) & (seen.st >= DISCORDANT_SHARE * -seen.s)).any(axis=1)
    return found
