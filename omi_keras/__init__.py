"""omi-keras: find occlusion myocardial infarction (OMI) in 12-lead ECGs.

Everything that a user needs stands here, ``import omi_keras as omi``; a name is loaded when it is first used, so that
importing the package costs nothing.
"""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from edge.detector import Detection as Detection
    from edge.detector import Detector as Detector
    from omi_keras.beats.median_beats import MedianBeat as MedianBeat
    from omi_keras.beats.median_beats import median_beat as median_beat
    from omi_keras.beats.model_inputs import model_input as model_input
    from omi_keras.data.dataset import Dataset as Dataset
    from omi_keras.data.dataset import load_dataset as load_dataset
    from omi_keras.model import Model as Model
    from omi_keras.model import load_model as load_model
    from omi_keras.models.catalogue import build as build
    from omi_keras.recordings.errors import InputError as InputError
    from omi_keras.recordings.readers import read_record as read_record
    from omi_keras.recordings.record import Record as Record
    from omi_keras.report.validation import Validation as Validation
    from omi_keras.training.cross_validation import cross_validate as cross_validate
    from omi_keras.training.run import Run as Run
    from omi_keras.training.run import load_run as load_run

__version__ = "0.1.0"

_HOME = {
    # Recordings and beats
    "Record": "omi_keras.recordings.record",
    "read_record": "omi_keras.recordings.readers",
    "MedianBeat": "omi_keras.beats.median_beats",
    "median_beat": "omi_keras.beats.median_beats",
    "model_input": "omi_keras.beats.model_inputs",
    # Training
    "Dataset": "omi_keras.data.dataset",
    "load_dataset": "omi_keras.data.dataset",
    "build": "omi_keras.models.catalogue",
    "cross_validate": "omi_keras.training.cross_validation",
    "Run": "omi_keras.training.run",
    "load_run": "omi_keras.training.run",
    # What was trained
    "Model": "omi_keras.model",
    "load_model": "omi_keras.model",
    "Validation": "omi_keras.report.validation",
    # On the device
    "Detection": "edge.detector",
    "Detector": "edge.detector",
    "InputError": "omi_keras.recordings.errors",
}
__all__ = ["__version__", *_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
