"""One 12-lead ECG in the form that everything downstream relies on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from omi_keras.recordings.errors import InputError

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SAMPLING_RATE = 500

Sex = Literal["female", "male"]


@dataclass(frozen=True)
class DeviceBeat:
    """A representative beat that the recording device itself computed.

    Attributes
    ----------
    beat
        (12, n) float32, millivolts, 500 Hz, leads in the order of :data:`LEADS`.
    r_sample
        Where R is, None when the file does not say.
    """

    beat: np.ndarray
    r_sample: int | None = None

    def __post_init__(self) -> None:
        x = self.beat
        if x.ndim != 2 or x.shape[0] != len(LEADS) or x.dtype != np.float32 or not np.isfinite(x).all():
            raise InputError(
                f"device beat: expected finite float32 (12, samples), received {x.dtype} {x.shape}", "wrong_shape"
            )


@dataclass(frozen=True)
class Record:
    """A 12-lead ECG recording.

    Attributes
    ----------
    signal
        (12, n_samples) float32, millivolts, 500 Hz, leads in the order of :data:`LEADS`.
    ecg_id, patient_id
        Identifiers as text. ``patient_id`` is empty where the file's reader was not told it.
    age
        Years, or None when unknown.
    sex
        ``"female"``, ``"male"``, or None when unknown.
    source
        Where the signal came from, for people (``"WFDB"``, ``"simulated"``).
    flags
        Quality flags that a reader raised (``"derived_leads"``, ``"checksum"`` ...), sorted, each once.
    device_beat
        The representative beat that the recording device computed, when its file carries one.

    Raises
    ------
    InputError
        When the signal is not (12, n) float32 with finite values.

    Examples
    --------
    >>> import numpy as np
    >>> import omi_keras as omi
    >>> omi.Record(np.zeros((12, 5000), np.float32), "p17-0001").signal.shape
    (12, 5000)
    """

    signal: np.ndarray
    ecg_id: str
    patient_id: str = ""
    age: float | None = None
    sex: Sex | None = None
    source: str = ""
    flags: tuple[str, ...] = ()
    device_beat: DeviceBeat | None = None

    def __post_init__(self) -> None:
        x = self.signal
        if x.ndim != 2 or x.shape[0] != len(LEADS):
            raise InputError(
                f"{self.ecg_id}: expected a signal of shape (12, samples), received {x.shape}", "wrong_shape"
            )
        if x.dtype != np.float32:
            raise InputError(f"{self.ecg_id}: expected float32 millivolts, received {x.dtype}", "wrong_dtype")
        bad = [lead for lead, row in zip(LEADS, x, strict=True) if not np.isfinite(row).all()]
        if bad:
            raise InputError(f"{self.ecg_id}: missing or infinite samples in {', '.join(bad)}", "missing_samples")

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.signal.shape[1] / SAMPLING_RATE

    def _repr_html_(self) -> str:
        from omi_keras.drawing.ecg_picture_sheet import ecg_picture

        return ecg_picture(self).svg()
