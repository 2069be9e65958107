"""Set up the process that trains: the same numbers twice, and memory that is kept for the next step."""

from __future__ import annotations

import ctypes
import platform

# glibc's names for mallopt, from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


def prepare_process() -> None:
    """Call once before training."""
    _be_deterministic()
    _keep_freed_memory()


def _be_deterministic() -> None:
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _keep_freed_memory() -> None:
    """Do not give freed memory back to the kernel between steps.

    TensorFlow frees and asks again for the same hundreds of megabytes at every step. By default glibc maps them
    anew each time and the kernel clears every page: half of the time of a step of 18 ECGs on two cores.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
