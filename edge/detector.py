"""ECG → probability and decision, on the device: a verified bundle and the signal code of the training."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

import numpy as np

from edge.bands import band_of
from edge.device_beat import check_beat
from edge.network import Network
from edge.stream import RollingWindow, check_samples
from edge.verified import BundleError, load
from omi_keras.beats.median_beats import MedianBeat, median_beat
from omi_keras.beats.model_inputs import BEAT_SAMPLES
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import Record


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
        Milliseconds spent on ``signal`` (recording → median beat) and ``network``.
    band
        ``rule-in``, ``open`` or ``rule-out``; None of a model that has no bands.
    bands
        Their edges, as in the model.
    record, beat
        What was judged, for its picture: a notebook shows it. None where there was no recording, or only 400 samples.

    Examples
    --------
    >>> import omi_keras as omi
    >>> found = omi.Detector(bundle).detect(record)
    >>> found.decision == (found.probability >= found.threshold)
    True
    """

    probability: float
    decision: bool
    threshold: float
    quality: tuple[str, ...]
    timings_ms: dict[str, float]
    band: str | None = None
    bands: dict[str, float | None] | None = field(default=None, repr=False, compare=False)
    record: Record | None = field(default=None, repr=False, compare=False)
    beat: MedianBeat | np.ndarray | None = field(default=None, repr=False, compare=False)

    def _repr_html_(self) -> str | None:
        if self.beat is None:
            return None  # the numbers, as everywhere
        from omi_keras.drawing.ecg_picture_sheet import ecg_picture

        says = {"probability": self.probability, "threshold": self.threshold, "bands": self.bands}
        return ecg_picture(self.record, self.beat, quality=self.quality, **says).svg()  # type: ignore[arg-type]


@dataclass(frozen=True)
class StreamResult:
    """What a detector says about the last ten seconds of a stream.

    Attributes
    ----------
    seconds
        Where those ten seconds end, since the stream began.
    detection
        None when they cannot be judged.
    refusal
        Why they cannot be judged, empty when they can.
    """

    seconds: float
    detection: Detection | None
    refusal: str


class Detector:
    """Runs one bundle. An instance may be shared between threads.

    It decides at the threshold, yes or no, and says the band: ``rule-in`` (of the validation ECGs from there on, at
    least every second was OMI), ``rule-out`` (below it, at most one OMI in ten was lost; these are the usual targets),
    and ``open`` between the two, where a person should be asked.

    Parameters
    ----------
    bundle
        Bundle folder; every file is verified before it is loaded, and one that the manifest does not name is refused.
    threads
        Threads of the interpreter.
    every
        Seconds between two results of :meth:`push`.
    public_key
        PEM file of an Ed25519 key that must have signed the bundle; needs the extra ``sign``.

    Raises
    ------
    InputError
        When the bundle is missing, altered, of a newer format version, or not signed with the key.

    Examples
    --------
    >>> import omi_keras as omi
    >>> detector = omi.Detector(bundle)
    >>> 0 <= detector.detect_file(ecg_file).probability <= 1
    True
    >>> len(detector.push(record.signal))  # ten seconds of a stream
    1
    """

    def __init__(
        self, bundle: str | Path, threads: int = 1, *, every: float = 10.0, public_key: str | Path | None = None
    ) -> None:
        bundle = Path(bundle)
        try:
            self.manifest, contents = load(bundle)
            if public_key is not None:
                from edge.signature import check_signature, read_public_key

                check_signature(bundle, read_public_key(Path(public_key)), contents)
            self._network = Network(contents["model.tflite"], threads)
        except BundleError as error:
            raise InputError(str(error), "bad_bundle") from None
        self.threshold = float(self.manifest["threshold"])
        self.bands: dict[str, float | None] | None = self.manifest.get("bands")
        self._lock = Lock()
        self._every = every
        self._window = RollingWindow(every)
        self._stream_lock = Lock()

    def detect(self, record: Record) -> Detection:
        """Judge a 10-second recording.

        Raises
        ------
        InputError
            When the recording gives no reliable median beat; the message says why.
        """
        start = time.perf_counter()
        found = median_beat(record)
        return replace(self._decide(found.beat, found.flags, start), record=record, beat=found)

    def detect_file(self, path: str | Path) -> Detection:
        """Read an ECG file and judge it; raises InputError for a file that cannot be read or judged."""
        return self.detect(read_record(Path(path)))

    def detect_beat(self, beat: np.ndarray) -> Detection:
        """Judge a median beat such as a monitor computes itself.

        Parameters
        ----------
        beat
            (12, 600) with R at sample 300, or (12, 400) with R at sample 150; mV, 500 Hz.

        Raises
        ------
        InputError
            As :func:`edge.device_beat.check_beat`.
        """
        start = time.perf_counter()
        checked, flags = check_beat(beat)
        whole = checked if checked.shape[1] == BEAT_SAMPLES else None
        return replace(self._decide(checked, flags, start), beat=whole)

    def push(self, samples: np.ndarray) -> list[StreamResult]:
        """Take the next samples of a stream; judge its last ten seconds, every ``every`` seconds.

        Each result is :meth:`detect`'s for those ten seconds, however the stream was cut into chunks. Ten seconds
        that hold missing samples (NaN), or that are no ECG, give a refusal and the stream goes on.

        Parameters
        ----------
        samples
            (12, n) mV, 500 Hz, any n, floating point.

        Returns
        -------
        The results that became due, mostly none.

        Raises
        ------
        InputError
            When the samples have another shape or type; none of them is taken.
        """
        samples = check_samples(samples)
        with self._stream_lock:
            return [self._rolled(seconds, last) for seconds, last in self._window.push(samples)]

    def reset(self) -> None:
        """Forget the stream, as for the next patient."""
        with self._stream_lock:
            self._window = RollingWindow(self._every)

    def _rolled(self, seconds: float, last: np.ndarray) -> StreamResult:
        try:
            return StreamResult(seconds, self.detect(Record(last, f"stream at {seconds:g} s")), "")
        except InputError as error:
            return StreamResult(seconds, None, str(error))

    def _decide(self, beat: np.ndarray, flags: tuple[str, ...], start: float) -> Detection:
        ready = time.perf_counter()
        try:
            with self._lock:
                probability = self._network.probability(beat)
        except ValueError as error:
            raise InputError(str(error), "not_finite") from None
        done = time.perf_counter()
        timings = {"signal": 1e3 * (ready - start), "network": 1e3 * (done - ready)}
        band = band_of(probability, self.bands)
        return Detection(probability, probability >= self.threshold, self.threshold, flags, timings, band, self.bands)
