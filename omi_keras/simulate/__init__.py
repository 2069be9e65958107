"""A cohort of simulated chest-pain patients, from the heart vector to the recording. NumPy only."""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from omi_keras.simulate.cohort import simulate_cohort as simulate_cohort
    from omi_keras.simulate.ecg import SimulatedECG as SimulatedECG
    from omi_keras.simulate.records import write_records as write_records

_HOME = {
    "simulate_cohort": "omi_keras.simulate.cohort",
    "SimulatedECG": "omi_keras.simulate.ecg",
    "write_records": "omi_keras.simulate.records",
}
__all__ = [*_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
