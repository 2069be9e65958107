"""Set up the process that trains: the same numbers twice, and memory that is kept for the next step."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from omi_keras.models.catalogue import Precision
from omi_keras.models.fast.memory import keep_freed_memory

# What Linux says of the processor.
CPU = Path("/proc/cpuinfo")


def prepare_process(threads: int = 0) -> None:
    """Call before training, and before anything else has used the backend; ``threads`` as :func:`use_threads`."""
    _be_deterministic()
    use_threads(threads)
    keep_freed_memory()


def available_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_threads(threads: int) -> None:
    """Let the backend compute on a CPU with so many threads; 0 leaves their number to it.

    A backend that is at work already keeps what it has.
    """
    if not threads:
        return
    # XLA's pool of threads, which JAX makes when it computes for the first time.
    os.environ["PJRT_NPROC"] = str(threads)
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(threads)


def has_gpu() -> bool:
    """Whether the backend computes on a GPU."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def mixed_precision() -> Precision:
    """The 16-bit form that this machine is made for: float16 on a GPU, bfloat16 on a CPU that has it."""
    return "mixed_bfloat16" if not has_gpu() and _cpu_has_bfloat16() else "mixed_float16"


def precision_sentence(precision: Precision) -> str:
    """Which 16-bit form a run takes, and why."""
    form = {"mixed_float16": "float16 with loss scaling", "mixed_bfloat16": "bfloat16"}[precision]
    if precision != mixed_precision():
        return f"computing in {form}, as the run was started; this machine is made for another form"
    if has_gpu():
        return f"computing in {form}: GPUs are made for it"
    if precision == "mixed_bfloat16":
        return f"computing in {form}: this processor has instructions for it"
    return f"computing in {form}: this processor has no instructions for bfloat16"


def _cpu_has_bfloat16() -> bool:
    try:
        flags = CPU.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)


def _be_deterministic() -> None:
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
