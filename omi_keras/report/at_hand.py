"""The recording of a dataset's ECG, found again, and only if it is the one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omi_keras.beats.median_beats import median_beat
from omi_keras.data.read_beats import locate
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import Record

# What rounding in a file and the last bits of another processor may change in a median beat, mV; two ECGs of one person
# differ by more.
SAME_MV = 0.02


@dataclass(frozen=True)
class AtHand:
    """A recording, or a sentence that says why it cannot be shown."""

    record: Record | None
    why: str = ""


def recording_at_hand(records: Path, ecg_id: str, beat: np.ndarray) -> AtHand:
    """Return the recording that ``beat`` (12, 600) mV of a dataset was made of.

    Parameters
    ----------
    records
        Folder in which it is searched by its name, as ``prepare`` does.
    """
    try:
        record = read_record(locate(records, ecg_id), ecg_id=ecg_id)
        found = median_beat(record).beat
    except InputError as error:
        said = str(error)
        return AtHand(None, said if said.startswith(ecg_id) else f"{ecg_id}: {said}")
    except OSError as error:
        return AtHand(None, f"{ecg_id} cannot be read: {error.strerror or error}")
    apart = float(np.abs(found - beat).max())
    if not apart <= SAME_MV:
        return AtHand(
            None,
            f"{ecg_id}: the recording in {records} has another median beat than the dataset ({apart:.2f} mV apart)",
        )
    return AtHand(record)
