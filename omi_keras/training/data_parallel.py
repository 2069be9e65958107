"""One fold on several devices of one machine: each computes its part of a batch. On JAX.

Where things lie is said by ``keras.distribution.DataParallel``; XLA divides the step accordingly. What is computed is
the step of one device: the mean loss of the whole batch, and batch normalisation over the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.training.devices import visible_gpus


@dataclass(frozen=True)
class Placement:
    """Where the values of a training step lie.

    Attributes
    ----------
    devices
        Their number.
    rows, whole
        JAX shardings: rows divided among the devices, and a copy on each of them.
    """

    devices: int
    rows: Any
    whole: Any

    def divided(self, array: Any) -> Any:
        """An array (batch, ...) with its rows divided among the devices, whose number divides the batch."""
        import jax

        return jax.device_put(array, self.rows)

    def copied(self, array: Any) -> Any:
        """The same array on every device."""
        import jax

        return jax.device_put(array, self.whole)


def placement(devices: int) -> Placement:
    """The first ``devices`` of what JAX computes on: GPUs where it has any, else the virtual devices of a CPU.

    Raises
    ------
    InputError
        As :func:`check_devices`.
    """
    check_devices(devices)
    parallel = keras.distribution.DataParallel(devices=keras.distribution.list_devices()[:devices])
    return Placement(
        devices,
        # Axes behind the first are whole on each device, however many there are.
        parallel.get_data_layout((devices,)).backend_layout,
        parallel.get_variable_layout(keras.Variable(np.zeros(()), trainable=False)).backend_layout,
    )


def check_devices(devices: int, processes: int = 1) -> None:
    """Make sure that each of ``processes`` on this machine can have ``devices``.

    Without ``processes``, training happens on other machines, whose processes look for themselves.

    Raises
    ------
    InputError
        When there are fewer, or the backend trains on one only.
    """
    if devices == 1:
        return
    if (backend := keras.backend.backend()) != "jax":
        raise InputError(
            f"--devices {devices} needs JAX and the backend is {backend}; set KERAS_BACKEND=jax in the environment, "
            "or leave --devices out",
            "backend",
        )
    if not processes:
        return
    if processes > 1 and (gpus := visible_gpus()):
        found, kind = len(gpus), "GPU"  # JAX would take their memory, which the other processes need
    else:
        import jax

        found, kind = jax.local_device_count(), jax.default_backend().upper()
    if devices * processes > found:
        wanted = f"--devices {devices}" + (f" for each of {processes} --jobs" if processes > 1 else "")
        raise InputError(
            f"{wanted}: this machine shows JAX {found} {kind} device{'s' * (found != 1)}; ask for no more than there "
            "are",
            "devices",
        )
