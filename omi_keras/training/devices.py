"""The parts of one machine that several training processes share: as many GPUs each, or some of the cores."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

NVIDIA = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class Share:
    """What one process may use.

    Attributes
    ----------
    gpu
        The names of its GPUs as ``CUDA_VISIBLE_DEVICES`` lists them, or None without GPUs.
    cores
        Numbers of its processor cores; empty where the system cannot bind a process to cores.
    """

    gpu: str | None
    cores: tuple[int, ...]

    def take(self) -> None:
        """Restrict this process, before it loads a framework: those look once at what there is."""
        if self.gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpu
        if self.cores:
            os.sched_setaffinity(0, self.cores)


def visible_gpus() -> list[str]:
    """NVIDIA GPUs that this process may use, found without loading a framework, which would take their memory."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number in range(len(list(NVIDIA.iterdir())))] if NVIDIA.is_dir() else []


def divide_machine(processes: int, devices: int = 1) -> list[Share]:
    """A share for each process; with GPUs, ``devices`` of them for each, and no more processes than that gives."""
    gpus = visible_gpus()
    # What is left over, fewer than one process is to have, is used by nobody.
    groups = [",".join(gpus[first : first + devices]) for first in range(0, len(gpus) - devices + 1, devices)]
    processes = min(processes, len(groups)) if groups else processes
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    count = len(cores)
    return [
        Share(
            groups[number] if groups else None,
            # More processes than cores: they take turns on all of them.
            tuple(cores[number * count // processes : (number + 1) * count // processes]) if processes <= count else (),
        )
        for number in range(processes)
    ]
