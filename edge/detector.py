"""ECG → probability and decision, on the device: a verified bundle and the signal code of the training."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from edge.parity import BundleError, Network, verify
from omi_keras.signal.errors import InputError
from omi_keras.signal.median_beat import median_beat
from omi_keras.signal.model_input import model_input
from omi_keras.signal.readers import read_record
from omi_keras.signal.record import Record


@dataclass(frozen=True)
class Detection:
    """What a detector says about one ECG.

    Attributes
    ----------
    probability
        P(OMI), 0 to 1.
    decision
        Whether the probability reaches the threshold.
    threshold
        The operating point, chosen on validation ECGs.
    quality
        Flags that a person should see beside the result (``"flat:V3"``, ``"einthoven:310uV"`` ...), empty when good.
    timings_ms
        Milliseconds spent on ``signal`` (recording → model input) and ``network``.
    """

    probability: float
    decision: bool
    threshold: float
    quality: tuple[str, ...]
    timings_ms: dict[str, float]


class Detector:
    """Runs one bundle. An instance may be shared between threads.

    Parameters
    ----------
    bundle
        Bundle folder; every file is verified before it is loaded.
    threads
        Threads of the interpreter.

    Raises
    ------
    InputError
        When the bundle is missing, altered, or of a newer format version.
    """

    def __init__(self, bundle: str | Path, threads: int = 1) -> None:
        bundle = Path(bundle)
        try:
            self.manifest = verify(bundle)
            self._network = Network((bundle / "model.tflite").read_bytes(), threads)
        except BundleError as error:
            raise InputError(str(error), "bad_bundle") from None
        self.threshold = float(self.manifest["threshold"])
        self._lock = Lock()

    def detect(self, record: Record) -> Detection:
        """Judge a 10-second recording.

        Raises
        ------
        InputError
            When the recording gives no reliable median beat; the message says why.
        """
        start = time.perf_counter()
        found = median_beat(record)
        return self._decide(found.beat, found.flags, start)

    def detect_file(self, path: str | Path) -> Detection:
        """Read an ECG file and judge it; raises InputError for a file that cannot be read or judged."""
        return self.detect(read_record(Path(path)))

    def detect_beat(self, beat: np.ndarray) -> Detection:
        """Judge a median beat (12, 600) in mV, 500 Hz, R peak at sample 300, such as a monitor computes itself."""
        start = time.perf_counter()
        beat = np.asarray(beat, np.float32)
        if beat.shape != (12, 600) or not np.isfinite(beat).all():
            raise InputError(
                f"expected a median beat of shape (12, 600) with finite millivolts, received {beat.shape}",
                "wrong_shape",
            )
        return self._decide(beat, (), start)

    def _decide(self, beat: np.ndarray, flags: tuple[str, ...], start: float) -> Detection:
        x = model_input(beat)
        ready = time.perf_counter()
        with self._lock:
            probability = self._network.probability(x)
        done = time.perf_counter()
        timings = {"signal": 1e3 * (ready - start), "network": 1e3 * (done - ready)}
        return Detection(probability, probability >= self.threshold, self.threshold, flags, timings)
