"""The last ten seconds of a monitor's endless signal, and when to judge them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS, SAMPLING_RATE

WINDOW = 10 * SAMPLING_RATE


class RollingWindow:
    """A ring of the last 10 s that is due every so many seconds. Its memory never grows.

    Parameters
    ----------
    every
        Seconds between two moments that are due; the first is when 10 s are there.
    """

    def __init__(self, every: float) -> None:
        self._step = round(every * SAMPLING_RATE) if np.isfinite(every) else 0
        if self._step < 1:
            raise InputError(
                f"a result every {every} s is not possible; say how many seconds, such as 10", "wrong_step"
            )
        self._ring = np.empty((len(LEADS), WINDOW), np.float32)
        self._seen = 0

    def push(self, samples: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
        """Take samples and give (end in seconds, the last 10 s (12, 5000)) for every moment that became due.

        Parameters
        ----------
        samples
            (12, n) millivolts, 500 Hz, any n; values that are not finite stand for missing ones.
        """
        done = 0
        while done < samples.shape[1]:
            due = max(WINDOW, WINDOW + -(-(self._seen + 1 - WINDOW) // self._step) * self._step)
            place = self._seen % WINDOW
            part = samples[:, done : done + min(due - self._seen, WINDOW - place)]
            self._ring[:, place : place + part.shape[1]] = part
            self._seen += part.shape[1]
            done += part.shape[1]
            if self._seen == due:
                start = self._seen % WINDOW
                yield self._seen / SAMPLING_RATE, np.concatenate([self._ring[:, start:], self._ring[:, :start]], axis=1)


def check_samples(samples: np.ndarray) -> np.ndarray:
    """Refuse a chunk that is not (12, n) floating-point numbers, before any of it is taken."""
    samples = np.asarray(samples)
    if samples.ndim != 2 or samples.shape[0] != len(LEADS):
        raise InputError(f"expected samples of shape (12, n), received {samples.shape}", "wrong_shape")
    if samples.dtype.kind != "f":
        raise InputError(f"expected samples in millivolts as float32, received {samples.dtype}", "wrong_dtype")
    return samples
