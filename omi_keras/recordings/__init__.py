"""ECG file → :class:`Record`: twelve leads in millivolts at 500 Hz. NumPy and SciPy only, also on the device."""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from omi_keras.recordings.errors import InputError as InputError
    from omi_keras.recordings.folders import recordings_in as recordings_in
    from omi_keras.recordings.readers import find_record as find_record
    from omi_keras.recordings.readers import read_record as read_record
    from omi_keras.recordings.record import LEADS as LEADS
    from omi_keras.recordings.record import SAMPLING_RATE as SAMPLING_RATE
    from omi_keras.recordings.record import DeviceBeat as DeviceBeat
    from omi_keras.recordings.record import Record as Record
    from omi_keras.recordings.resampling import resample as resample

_HOME = {
    "InputError": "omi_keras.recordings.errors",
    "recordings_in": "omi_keras.recordings.folders",
    "find_record": "omi_keras.recordings.readers",
    "read_record": "omi_keras.recordings.readers",
    "LEADS": "omi_keras.recordings.record",
    "SAMPLING_RATE": "omi_keras.recordings.record",
    "DeviceBeat": "omi_keras.recordings.record",
    "Record": "omi_keras.recordings.record",
    "resample": "omi_keras.recordings.resampling",
}
__all__ = [*_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
