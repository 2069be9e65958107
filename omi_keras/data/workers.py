"""Where the recordings are read: in this process, in several on this machine, or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from joblib import Parallel, delayed, parallel_config

from omi_keras.recordings.errors import InputError

__all__ = ["dask_client", "delayed", "workers"]

DASK = "dask://"
CONNECT_SECONDS = 20


@contextmanager
def workers(jobs: int, scheduler: str) -> Iterator[Any]:
    """A function of ``delayed`` calls that gives their results in order, as they come.

    Parameters
    ----------
    jobs
        Processes on this machine.
    scheduler
        ``"local"``, or ``"dask://HOST:PORT"``: a Dask scheduler, whose workers see the same files and have
        omi-keras installed; ``jobs`` then means nothing.

    Raises
    ------
    InputError
        When the scheduler's address is not one, or nobody answers there.
    """
    if scheduler == "local":
        yield Parallel(n_jobs=jobs, return_as="generator")
        return
    with dask_client(scheduler), parallel_config("dask", wait_for_workers_timeout=CONNECT_SECONDS):
        yield Parallel(return_as="generator")


@contextmanager
def dask_client(scheduler: str) -> Iterator[Any]:
    """A client of the Dask scheduler at ``dask://HOST:PORT``.

    Raises
    ------
    InputError
        When the address is not one, or nobody answers there.
    """
    if not scheduler.startswith(DASK):
        raise InputError(f"--scheduler {scheduler}: expected local or dask://HOST:PORT", "scheduler")
    from distributed import Client

    try:
        client = Client(f"tcp://{scheduler.removeprefix(DASK)}", timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {scheduler}: {error}", "scheduler") from None
    with client:
        yield client
