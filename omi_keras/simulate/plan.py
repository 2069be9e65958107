"""Who is in a cohort: patients, sites, ages, labels and culprit arteries, before any ECG is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import Sex
from omi_keras.simulate.occlusion import ARTERIES, ARTERY_SHARES


@dataclass(frozen=True)
class PlannedECG:
    """One ECG to simulate.

    Attributes
    ----------
    index
        Place in the cohort, from 0; with the seed it decides everything that is this ECG's own.
    ecg_id, patient_id
        ``"sim-000123"``, ``"sim-p00042"``.
    patient
        Number of the patient; with the seed it decides the anatomy.
    serial
        0 for the patient's first ECG, then 1, 2 ...
    site
        ``"A"`` or ``"B"``.
    age
        Whole years.
    sex
        ``"female"`` or ``"male"``.
    omi
        1 in every ECG of a patient with an occlusion, else 0.
    artery
        One of :data:`omi_keras.simulate.occlusion.ARTERIES`, ``""`` without an occlusion.
    shift
        How different the site's recordings are: see :func:`plan_cohort`.
    """

    index: int
    ecg_id: str
    patient_id: str
    patient: int
    serial: int
    site: str
    age: int
    sex: Sex
    omi: int
    artery: str
    shift: float = 0.0


@dataclass(frozen=True)
class _SiteShape:
    """One hospital's row of the study's Table 3."""

    ecgs: int
    patients: int
    age_mean: float
    age_sd: float
    female: float
    omi: float


_TABLE_3 = {
    "A": _SiteShape(5088, 4127, 59.0, 16.0, 0.47, 0.063),
    "B": _SiteShape(5805, 3170, 60.0, 15.0, 0.44, 0.068),
}
_YOUNGEST, _OLDEST = 18, 100
# By how many years the patients of site B are older, for each unit of shift.
_OLDER = 8.0
MOST_SHIFT = 2.0


def plan_cohort(
    n_ecgs: int = 10893, n_patients: int = 7297, prevalence: float = 0.066, seed: int = 0, site_shift: float = 0.0
) -> list[PlannedECG]:
    """Plan a cohort in the shape of the study's Table 3.

    Parameters
    ----------
    n_ecgs, n_patients
        Sizes; every patient has at least one ECG. Sites share them as in the study.
    prevalence
        Share of patients with an occlusion; the count is exact, rounded half up.
    seed
        Not negative. The same seed gives the same plan.
    site_shift
        0 to 2: how different site B is from the study's, in its patients' age, in noise, electrodes and filters
        (:mod:`omi_keras.simulate.site_shift`). Site A stays as it is, to the bit.

    Returns
    -------
    list of PlannedECG
        Patients in random order, each one's ECGs together.

    Raises
    ------
    InputError
        When a size is below 1, there are fewer ECGs than patients, the prevalence is outside 0 to 1, or the shift
        outside 0 to 2.
    """
    _check(n_ecgs, n_patients, prevalence, seed)
    if not 0.0 <= site_shift <= MOST_SHIFT:
        raise InputError(f"The shift of site B is a number from 0 to {MOST_SHIFT:g}, received {site_shift}.")
    rng = np.random.default_rng([seed, 0])
    ecgs, patients = _site_sizes(n_ecgs, n_patients)
    occluded = _occlusions_per_site(patients, int(np.floor(prevalence * n_patients + 0.5)))

    site = np.repeat(list(_TABLE_3), patients)
    omi = np.concatenate([rng.permutation(np.arange(n) < k) for n, k in zip(patients, occluded, strict=True)])
    counts = np.concatenate([_ecgs_per_patient(rng, e, p) for e, p in zip(ecgs, patients, strict=True)])
    age, female = _ages_and_sexes(rng, site, omi, site_shift)
    artery = np.where(omi, rng.choice(ARTERIES, n_patients, p=ARTERY_SHARES), "")
    plans: list[PlannedECG] = []
    for number, p in enumerate(rng.permutation(n_patients)):
        for serial in range(counts[p]):
            plans.append(
                PlannedECG(
                    index=len(plans),
                    ecg_id=f"sim-{len(plans):06d}",
                    patient_id=f"sim-p{number:05d}",
                    patient=number,
                    serial=serial,
                    site=str(site[p]),
                    age=int(age[p]),
                    sex="female" if female[p] else "male",
                    omi=int(omi[p]),
                    artery=str(artery[p]),
                    shift=site_shift if site[p] == "B" else 0.0,
                )
            )
    return plans


def _check(n_ecgs: int, n_patients: int, prevalence: float, seed: int) -> None:
    if n_patients < 1:
        raise InputError(f"The number of patients must be at least 1, received {n_patients}.")
    if n_ecgs < n_patients:
        raise InputError(
            f"Every patient has at least one ECG: {n_ecgs} ECGs cannot be shared by {n_patients} patients; "
            "ask for more ECGs or fewer patients."
        )
    if not 0.0 <= prevalence <= 1.0:
        raise InputError(
            f"The prevalence is a share of patients between 0 and 1 (6.6 % is 0.066), received {prevalence}."
        )
    if seed < 0:
        raise InputError(f"The seed must be 0 or more, received {seed}.")


def _site_sizes(n_ecgs: int, n_patients: int) -> tuple[list[int], list[int]]:
    """ECGs and patients of sites A and B in the study's proportions; no ECGs without patients."""
    a, b = _TABLE_3["A"], _TABLE_3["B"]
    patients_a = round(n_patients * a.patients / (a.patients + b.patients))
    patients_b = n_patients - patients_a
    ecgs_a = round(n_ecgs * a.ecgs / (a.ecgs + b.ecgs))
    if patients_b == 0:
        ecgs_a = n_ecgs
    elif patients_a == 0:
        ecgs_a = 0
    ecgs_a = min(max(ecgs_a, patients_a), n_ecgs - patients_b)
    return [ecgs_a, n_ecgs - ecgs_a], [patients_a, patients_b]


def _occlusions_per_site(patients: list[int], total: int) -> list[int]:
    """Share the patients with occlusions out among sites A and B by the study's prevalences."""
    a, b = (n * shape.omi for n, shape in zip(patients, _TABLE_3.values(), strict=True))
    in_a = round(total * a / (a + b))
    in_a = min(max(in_a, total - patients[1]), patients[0])
    return [in_a, total - in_a]


def _ecgs_per_patient(rng: np.random.Generator, ecgs: int, patients: int) -> np.ndarray:
    """One ECG each, and the rest to few: (patients,) int with sum ``ecgs``."""
    if patients == 0:
        return np.zeros(0, dtype=int)
    weight = rng.exponential(size=patients)
    return 1 + rng.multinomial(ecgs - patients, weight / weight.sum())


def _ages_and_sexes(
    rng: np.random.Generator, site: np.ndarray, omi: np.ndarray, site_shift: float
) -> tuple[np.ndarray, np.ndarray]:
    """Whole years and a flag for women, (n_patients,) each; occlusions meet older people and more men."""
    shapes = [_TABLE_3[s] for s in site]
    age = rng.normal([s.age_mean for s in shapes], [s.age_sd for s in shapes]) + 2.0 * omi
    age += _OLDER * site_shift * (site == "B")
    female = rng.uniform(size=site.size) < np.array([s.female for s in shapes]) - 0.12 * omi
    return np.clip(np.rint(age), _YOUNGEST, _OLDEST), female
