"""A whole cohort, one ECG after the other."""

from __future__ import annotations

from collections.abc import Iterator

from omi_keras.simulate.ecg import SimulatedECG, Truth, simulate_ecg
from omi_keras.simulate.plan import PlannedECG, plan_cohort

__all__ = ["PlannedECG", "SimulatedECG", "Truth", "plan_cohort", "simulate_cohort", "simulate_ecg"]


def simulate_cohort(
    n_ecgs: int = 10893, n_patients: int = 7297, prevalence: float = 0.066, seed: int = 0, site_shift: float = 0.0
) -> Iterator[SimulatedECG]:
    """Simulate a cohort, one ECG at a time, so that memory does not grow with it.

    Parameters
    ----------
    n_ecgs, n_patients, prevalence, seed, site_shift
        As :func:`omi_keras.simulate.plan.plan_cohort` takes them.

    Returns
    -------
    Iterator of SimulatedECG
        In the order of the plan. To share the work among processes, give each a part of the plan and call
        :func:`omi_keras.simulate.ecg.simulate_ecg`: the ECGs are the same.

    Raises
    ------
    InputError
        At once, when the sizes cannot be.
    """
    plans = plan_cohort(n_ecgs, n_patients, prevalence, seed, site_shift)
    return (simulate_ecg(plan, seed) for plan in plans)
