"""Resampling by FFT as a convolution: what :func:`scipy.signal.resample` does, in operators that every runtime has.

Of a periodic signal, FFT, cut spectrum and inverse FFT are together one circular convolution of which every second
sample is kept. Laid out in chunks it is an ordinary convolution whose weights are 35 KB; written as the matrix that it
also is, it would be 320 KB in every bundle.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import resample

# Samples that stand beside each other as channels; as many filters as half of them.
CHUNK = 40


def halving_kernel(samples: int) -> np.ndarray:
    """Kernel (1, chunks, CHUNK, CHUNK / 2) float32 that halves the rate of a periodic signal of ``samples``.

    Over two periods (…, 2 × samples / CHUNK, CHUNK), ``valid`` and with stride one, it gives (…, samples / CHUNK,
    CHUNK / 2).
    """
    # What sample j of a period is worth for the first output; for output k it is that of sample j − 2 k.
    weight = resample(np.eye(samples), samples // 2, axis=1)[:, 0]
    place = np.arange(samples + CHUNK)[:, None] - 2 * np.arange(CHUNK // 2)
    inside = (place >= 0) & (place < samples)
    kernel = np.where(inside, weight[place % samples], 0.0)
    return kernel.reshape(1, -1, CHUNK, CHUNK // 2).astype(np.float32)
