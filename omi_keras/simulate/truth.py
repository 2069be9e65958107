"""The truth about simulated ECGs on disk: columns beside the labels and, when asked for, the true beats."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np

from omi_keras.recordings.record import LEADS
from omi_keras.simulate.ecg import BEAT_SAMPLES, SimulatedECG

TRUE_BEATS = "true_beats.npy"
# Carried from labels.csv into ecgs.csv, never shown to a model.
TRUTH_COLUMNS = (
    "artery",
    "rhythm",
    "mimic",
    "fault",
    "noise_level",
    "injury_mv",
    "minutes",
    *(f"st_{lead}_mv" for lead in LEADS),  # 60 ms after the J point of the true beat
)


def truth_row(ecg: SimulatedECG) -> tuple[str, ...]:
    """The truth about one ECG as text, in the order of :data:`TRUTH_COLUMNS`; mV to the µV, minutes since onset."""
    t = ecg.truth
    numbers = (f"{t.noise_level:.3f}", f"{t.injury_mv:.3f}", f"{t.minutes:.1f}", *(f"{v:.3f}" for v in t.st_level_mv))
    return (t.artery, t.rhythm, t.mimic, t.fault, *numbers)


class TrueBeats:
    """Append true beats to ``true_beats.npy``, (n, 12, 600) float32 mV, with constant memory.

    Use as a context manager. With ``wanted`` False nothing is written.
    """

    def __init__(self, folder: Path, wanted: bool) -> None:
        self.count = 0
        self._file = (folder / TRUE_BEATS).open("wb") if wanted else None
        self._write_header()

    def add(self, ecg: SimulatedECG) -> None:
        """Append the true beat of one ECG."""
        if self._file is not None:
            self._file.write(np.ascontiguousarray(ecg.truth.true_beat, dtype="<f4").tobytes())
            self.count += 1

    def _write_header(self) -> None:
        # NumPy leaves room for the number of rows to grow.
        if self._file is not None:
            shape = (self.count, len(LEADS), BEAT_SAMPLES)
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> TrueBeats:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.seek(0)
            self._write_header()
            self._file.close()
