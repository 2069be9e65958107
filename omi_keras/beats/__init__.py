""":class:`~omi_keras.recordings.Record` → median beat → model input. NumPy and SciPy only, also on the device."""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from omi_keras.beats.contracts import CONTRACTS as CONTRACTS
    from omi_keras.beats.contracts import input_shape as input_shape
    from omi_keras.beats.filters import bandpass as bandpass
    from omi_keras.beats.median_beats import R_SAMPLE as R_SAMPLE
    from omi_keras.beats.median_beats import MedianBeat as MedianBeat
    from omi_keras.beats.median_beats import median_beat as median_beat
    from omi_keras.beats.model_inputs import BEAT_SAMPLES as BEAT_SAMPLES
    from omi_keras.beats.model_inputs import model_input as model_input

_HOME = {
    "CONTRACTS": "omi_keras.beats.contracts",
    "input_shape": "omi_keras.beats.contracts",
    "bandpass": "omi_keras.beats.filters",
    "R_SAMPLE": "omi_keras.beats.median_beats",
    "MedianBeat": "omi_keras.beats.median_beats",
    "median_beat": "omi_keras.beats.median_beats",
    "BEAT_SAMPLES": "omi_keras.beats.model_inputs",
    "model_input": "omi_keras.beats.model_inputs",
}
__all__ = [*_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
