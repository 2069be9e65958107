"""A LiteRT model file → an answer to a median beat. NumPy and LiteRT alone: a part of every ``device_parity.py``."""

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from edge.verified import LEADS, SAMPLES, BundleError

# Of the model: beat (1, 12, 600 or 400) float32 mV → probability (1,) and logits (1, 2).
SIGNATURE = "detect"
CROP = slice(150, 550)


def fitted(beat: np.ndarray, samples: int) -> np.ndarray:
    """A median beat (12, 600) or its window (12, 400) as a graph for (1, 12, samples) takes it, float32.

    Of 600 samples the middle 400 are what counts: they are cut out, or the outer ones are filled up.
    """
    if beat.shape not in [(LEADS, length) for length in SAMPLES]:
        raise ValueError(f"expected a median beat of shape (12, 600) or (12, 400), received {beat.shape}")
    if beat.shape[1] > samples:
        beat = beat[:, CROP]
    elif beat.shape[1] < samples:
        beat = np.pad(beat, ((0, 0), (CROP.start, SAMPLES[0] - CROP.stop)), mode="edge")
    return beat[None].astype(np.float32)


class Network:
    """A LiteRT interpreter of one model file: a median beat in mV in, logits and P(OMI) out."""

    def __init__(self, model: bytes, threads: int = 1) -> None:
        try:
            self._interpreter = interpreter_class()(model_content=model, num_threads=threads)
            with _without_chatter():
                self._interpreter.allocate_tensors()
            self._run = self._interpreter.get_signature_runner(SIGNATURE)
            shape = tuple(self._run.get_input_details()["beat"]["shape"])
        except (ValueError, RuntimeError, KeyError) as error:
            raise BundleError(f"the model of the bundle does not load: {error}") from None
        if shape not in [(1, LEADS, samples) for samples in SAMPLES]:
            raise BundleError(f"the model of the bundle takes an input of shape {shape}, not (1, 12, 600 or 400)")
        self._samples = shape[2]

    def judge(self, beat: np.ndarray) -> tuple[float, np.ndarray]:
        """P(OMI) and logits (2,) of a median beat (12, 600) or (12, 400), mV.

        Raises
        ------
        ValueError
            When the beat has another shape or values that are not finite.
        """
        given = fitted(beat, self._samples)
        try:
            out = self._run(beat=given)
            probability, logits = float(out["probability"][0]), out["logits"][0].astype(np.float64)
        except (RuntimeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"the network gives no probability and logits: {error}") from None
        if not (0 <= probability <= 1 and np.isfinite(logits).all()):
            raise ValueError("the network gives no number: the beat holds missing, infinite or absurd values")
        return probability, logits

    def probability(self, beat: np.ndarray) -> float:
        """P(OMI) of a median beat; see :meth:`judge`."""
        return self.judge(beat)[0]


_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """LiteRT tells on standard error, past Python, which delegate it made. All else that is said arrives."""
    with _one_at_a_time, contextlib.ExitStack() as stack:
        try:
            real = stack.enter_context(os.fdopen(os.dup(2), "wb", buffering=0))
            held = stack.enter_context(tempfile.TemporaryFile())
        except OSError:  # no place to hold it, or nobody to hear it
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real.fileno(), 2)
            held.seek(0)
            with contextlib.suppress(OSError):
                real.write(re.sub(rb"(?m)^INFO: .*\n?", b"", held.read()))


def interpreter_class() -> Any:
    """LiteRT's interpreter, or the older tflite-runtime's."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError:
            raise BundleError("LiteRT is not installed; run: pip install ai-edge-litert") from None
    return Interpreter
