"""Median beat → marks, intervals, ST levels, features, STEMI criteria. NumPy and SciPy only, also on the device."""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from omi_keras.measures.features import FEATURES as FEATURES
    from omi_keras.measures.features import beat_features as beat_features
    from omi_keras.measures.fiducials import Fiducials as Fiducials
    from omi_keras.measures.fiducials import delineate as delineate
    from omi_keras.measures.one_beat import BeatMeasures as BeatMeasures
    from omi_keras.measures.one_beat import measure_beat as measure_beat
    from omi_keras.measures.stemi import stemi_criteria as stemi_criteria

_HOME = {
    "FEATURES": "omi_keras.measures.features",
    "beat_features": "omi_keras.measures.features",
    "Fiducials": "omi_keras.measures.fiducials",
    "delineate": "omi_keras.measures.fiducials",
    "BeatMeasures": "omi_keras.measures.one_beat",
    "measure_beat": "omi_keras.measures.one_beat",
    "stemi_criteria": "omi_keras.measures.stemi",
}
__all__ = [*_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
