"""One way to ask a bundle or a model folder about an ECG file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.detector import Detection, Detector
from omi_keras.recordings.errors import InputError


def open_detector(path: Path, public_key: Path | None = None) -> Callable[[Path], Detection]:
    """A function from ECG file to :class:`edge.Detection`, for a bundle (LiteRT) or a model folder.

    Raises
    ------
    InputError
        When ``path`` is neither, was altered, or is not a bundle signed with the private half of ``public_key``.
    """
    if (path / "manifest.json").is_file():
        return Detector(path, public_key=public_key).detect_file
    if public_key is not None:
        raise InputError(f"{path} is not a bundle, and only bundles are signed; leave --verify out", "bad_signature")
    if (path / "model.json").is_file():
        return _model_detector(path)
    raise InputError(f"{path} is neither a bundle (manifest.json) nor a model folder (model.json)", "not_found")


def _model_detector(path: Path) -> Callable[[Path], Detection]:
    import time

    from omi_keras.beats.median_beats import median_beat
    from omi_keras.model import load_model
    from omi_keras.recordings.readers import read_record

    folder = load_model(path)

    def detect(file: Path) -> Detection:
        start = time.perf_counter()
        found = median_beat(read_record(file))
        ready = time.perf_counter()
        probability = float(folder.probability(found.beat[None])[0])
        timings = {"signal": 1e3 * (ready - start), "network": 1e3 * (time.perf_counter() - ready)}
        return Detection(probability, probability >= folder.threshold, folder.threshold, found.flags, timings)

    return detect
