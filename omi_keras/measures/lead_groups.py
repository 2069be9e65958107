"""What leads say together about ST, T and R: territories, reciprocal leads, counts."""

from __future__ import annotations

import numpy as np

from omi_keras.recordings.record import LEADS

TERRITORIES = {
    "anterior": ("V1", "V2", "V3", "V4"),
    "septal": ("V1", "V2"),
    "lateral": ("I", "aVL", "V5", "V6"),
    "high_lateral": ("I", "aVL"),
    "inferior": ("II", "III", "aVF"),
    "V1_V3": ("V1", "V2", "V3"),  # depressed opposite a posterior infarct
}
RECIPROCAL = (("aVL", "III"), ("I", "III"), ("aVL", "aVF"), ("V2", "V6"))
# Leads in an order in which neighbours look at neighbouring walls of the heart.
CONTIGUOUS = (("V1", "V2", "V3", "V4", "V5", "V6"), ("II", "aVF", "III"), ("I", "aVL"))
ELEVATION_MV, DEPRESSION_MV = 0.1, 0.05
GROUPED: tuple[str, ...] = (
    # ST sums and differences: 60 ms after J. Depressions are counted positive.
    *(f"{name}_st_{way}_sum_mv" for name in TERRITORIES for way in ("elevation", "depression")),
    "max_st_elevation_mv",
    "max_st_depression_mv",
    *(f"{a}_{b}_st_difference_mv" for a, b in RECIPROCAL),
    "inferior_V1_V3_st_difference_mv",  # of the means
    "aVR_others_st_difference_mv",
    "V1_V6_t_difference_mv",
    "V1_V4_r_progression_mv",  # slope per lead
    "r_transition_lead",  # first of V1 to V6 with R >= |S|; 7: none
    "st_elevation_leads",  # at the J point: 0.1 mV or more, in how many leads
    "contiguous_st_elevation_leads",  # longest run of neighbours among them
    "st_depression_leads",  # 0.05 mV or more
)


def group_measures(lead: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All of :data:`GROUPED` from the (n, 12) measures of the leads, (n,) each; NaN leads make their groups NaN.

    Only the largest ST levels and the counts are taken over the leads that are there.
    """
    st, st_j, t = lead["st_j60_mv"], lead["st_j_mv"], lead["t_mv"]
    # Adding 0 turns −0 into 0.
    raised, lowered = np.maximum(st, 0.0) + 0.0, np.maximum(-st, 0.0) + 0.0
    found = {}
    for name, leads in TERRITORIES.items():
        found[f"{name}_st_elevation_sum_mv"] = raised[:, _places(leads)].sum(axis=1)
        found[f"{name}_st_depression_sum_mv"] = lowered[:, _places(leads)].sum(axis=1)
    found["max_st_elevation_mv"] = np.fmax.reduce(raised, axis=1)
    found["max_st_depression_mv"] = np.fmax.reduce(lowered, axis=1)
    for a, b in RECIPROCAL:
        found[f"{a}_{b}_st_difference_mv"] = st[:, LEADS.index(a)] - st[:, LEADS.index(b)]
    inferior, opposite = _places(TERRITORIES["inferior"]), _places(TERRITORIES["V1_V3"])
    found["inferior_V1_V3_st_difference_mv"] = st[:, inferior].mean(axis=1) - st[:, opposite].mean(axis=1)
    avr = LEADS.index("aVR")
    found["aVR_others_st_difference_mv"] = st[:, avr] - np.delete(st, avr, axis=1).mean(axis=1)
    found["V1_V6_t_difference_mv"] = t[:, LEADS.index("V1")] - t[:, LEADS.index("V6")]
    # Least-squares slope over four leads.
    r_grows = np.array([-1.5, -0.5, 0.5, 1.5]) / 5.0
    found["V1_V4_r_progression_mv"] = (lead["r_mv"][:, _places(TERRITORIES["anterior"])] * r_grows).sum(axis=1)
    found["r_transition_lead"] = _transition(lead)
    elevated = st_j >= ELEVATION_MV
    found["st_elevation_leads"] = elevated.sum(axis=1)
    found["contiguous_st_elevation_leads"] = _longest_run(elevated)
    found["st_depression_leads"] = (st_j <= -DEPRESSION_MV).sum(axis=1)
    return found


def _places(leads: tuple[str, ...]) -> list[int]:
    return [LEADS.index(lead) for lead in leads]


def _transition(lead: dict[str, np.ndarray]) -> np.ndarray:
    """Number of the first chest lead whose R reaches its S, 7 where none does, (n,)."""
    r, q, s = (lead[f"{wave}_mv"][:, LEADS.index("V1") :] for wave in "rqs")
    turned = (r > 0.0) & (r >= -s)
    number = np.where(turned.any(axis=1), 1.0 + np.argmax(turned, axis=1), 7.0)
    return np.where(np.isnan(r + q + s).any(axis=1), np.nan, number)


def _longest_run(elevated: np.ndarray) -> np.ndarray:
    """Most neighbouring leads in a row of :data:`CONTIGUOUS` that are elevated, (n, 12) bool → (n,)."""
    longest = np.zeros(len(elevated))
    for leads in CONTIGUOUS:
        run = np.zeros(len(elevated))
        for k in _places(leads):
            run = np.where(elevated[:, k], run + 1.0, 0.0)
            longest = np.maximum(longest, run)
    return longest
