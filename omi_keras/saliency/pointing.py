"""Do maps of simulated OMI point to the injury that was simulated? Pointing game against chance."""

from __future__ import annotations

import numpy as np
import pandas as pd

from omi_keras.beats.model_inputs import CROP_START, CROP_STOP
from omi_keras.evaluation.bootstrap import interval, patient_draws, patient_numbers
from omi_keras.evaluation.proportions import proportion_interval
from omi_keras.measures.fiducials import delineate
from omi_keras.simulate.heart_vector import project
from omi_keras.simulate.occlusion import TERRITORIES

# A lead shows the injury if it sees at least this share of what the lead that sees most of it does.
INJURED_SHARE = 0.5
REGIONS = ("ST-T", "injured leads", "ST-T of injured leads")
COLUMNS = (
    "region", "ecgs", "patients", "share", "share_lo", "share_hi", "hits", "hits_lo", "hits_hi", "chance", "simulated",
)  # fmt: skip
RESAMPLES = 2000


def injured_leads(artery: str) -> np.ndarray:
    """Return (12,) bool: the leads that an occlusion of ``artery`` elevates or, from the far side, depresses most.

    From the simulator's usual direction of the injured wall, seen by its standard chest.
    """
    seen = np.abs(project(np.asarray(TERRITORIES[artery], np.float64)[:, None])[:, 0])
    return seen >= INJURED_SHARE * seen.max()


def pointing_game(
    maps: np.ndarray, beats: np.ndarray, artery: np.ndarray, patient_id: np.ndarray, seed: int = 0
) -> pd.DataFrame:
    """Return how much saliency, and how often its peak, falls where the injury was simulated.

    Regions: ST-T, from the J point to the end of the T wave, measured on the median beat; the leads of the occluded
    artery (:func:`injured_leads`); both. Chance is the region's share of the map: what a map without information
    would give, by its saliency and by its peak.

    Parameters
    ----------
    maps
        (n, 12, 400) saliency, or (n, 12, 200) of ``maxabs-200``.
    beats
        (n, 12, 600) median beats, mV.
    artery
        (n,) names of :data:`omi_keras.simulate.occlusion.TERRITORIES`; ECGs of other names are left out.
    patient_id
        (n,) identifiers: 95 % intervals are by resampling patients, of the hits as of any proportion
        (:mod:`~omi_keras.evaluation.proportions`); NaN where one patient is all there is to resample.
    seed
        Of the resampling.

    Returns
    -------
    DataFrame
        One row per region, columns :data:`COLUMNS`; empty where no artery is known.

    References
    ----------
    Zhang et al., Top-down neural attention by excitation backprop, ECCV 2016 (pointing game).
    """
    known = np.isin(artery, list(TERRITORIES))
    if not known.any():
        return pd.DataFrame(columns=list(COLUMNS))
    maps, beats, artery = maps[known], beats[known], artery[known]
    patient = patient_numbers(patient_id[known], len(maps))
    marks = delineate(beats)
    # In samples of the beat; a network that sees fewer sees every second one.
    sample = np.arange(CROP_START, CROP_STOP, (CROP_STOP - CROP_START) // maps.shape[2])
    st_t = (sample >= marks.j[:, None]) & (sample <= marks.t_end[:, None])
    leads = np.stack([injured_leads(name) for name in artery])
    everywhere = np.ones(maps.shape, bool)
    inside = {
        "ST-T": everywhere & st_t[:, None, :],
        "injured leads": everywhere & leads[:, :, None],
        "ST-T of injured leads": st_t[:, None, :] & leads[:, :, None],
    }
    total = maps.sum(axis=(1, 2), dtype=np.float64)
    peak = maps.reshape(len(maps), -1).argmax(axis=1)
    rows = []
    for region, mask in inside.items():
        share = np.divide((maps * mask).sum(axis=(1, 2)), total, out=np.zeros(len(maps)), where=total > 0)
        hits = mask.reshape(len(maps), -1)[np.arange(len(maps)), peak]
        limits = {"share": _mean_interval(share, patient, seed), "hits": proportion_interval(hits, patient)}
        row = {"region": region, "ecgs": len(maps), "patients": int(patient.max()) + 1}
        for name, values in (("share", share), ("hits", hits)):
            row |= {name: values.mean(), f"{name}_lo": limits[name][0], f"{name}_hi": limits[name][1]}
        rows.append(row | {"chance": mask.mean(), "simulated": True})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _mean_interval(values: np.ndarray, patient: np.ndarray, seed: int) -> tuple[float, float]:
    total, ecgs = np.bincount(patient, values), np.bincount(patient).astype(float)
    drawn = np.concatenate(list(patient_draws(values.size, ecgs.size, RESAMPLES, seed)))
    return interval((drawn @ total) / (drawn @ ecgs))
