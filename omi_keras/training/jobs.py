"""Folds are independent: one after the other here, several processes on this machine, or a Dask cluster.

A job is told where the dataset and the run are, and leaves its fold in the run's folder. Its checkpoint lies there
too, so that whoever takes up the job of a worker that died goes on where that one stopped.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from omi_keras.chatter import quiet_python
from omi_keras.data.stops import STOPS, CtrlC, Stopped
from omi_keras.data.workers import dask_client
from omi_keras.recordings.errors import InputError
from omi_keras.training.devices import Share, divide_machine
from omi_keras.training.run import fold_folder, partial_folder

# How often a fold is taken up again after its worker died: killed by the system, or its machine lost.
RETRIES = 3
LOOK_SECONDS = 0.5
# How long a process that is to end may take: a step of the largest network, and to remove what it was writing.
CLEAR_UP_SECONDS = 10

Ended = tuple["Job", InputError | None]


@dataclass(frozen=True)
class Job:
    """One fold of one run."""

    dataset: Path
    run: Path
    fold: int
    imagenet_weights: Path | None = None
    tested: bool = True
    tensorboard: bool = False


JobEpochDone = Callable[[Job, dict[str, float]], None]


class Train(Protocol):
    """What does a job; importable by name, because other processes call it."""

    def __call__(self, job: Job, **callbacks: Any) -> None: ...


def run_jobs(
    train: Train, jobs: list[Job], processes: int, scheduler: str, *, devices: int = 1, epoch_done: JobEpochDone
) -> Generator[Ended]:
    """Do all jobs elsewhere; yield each with its error, or None, as it ends.

    Parameters
    ----------
    train
        Does one job.
    processes
        Processes on this machine that share its GPUs, or its cores.
    scheduler
        ``"local"``, or ``"dask://HOST:PORT"``, whose workers see the same files; ``processes`` and ``devices``
        then mean nothing.
    devices
        GPUs of each process.
    epoch_done
        Called with job and row of ``history.csv`` for every epoch that a job has finished meanwhile.
    """
    elsewhere = (
        _on_this_machine(train, jobs, processes, devices) if scheduler == "local" else _on_dask(train, jobs, scheduler)
    )
    seen = {job: _read_history(job) for job in jobs}
    # Closed at once when this is: what is at work elsewhere ends before anybody clears up after it.
    with closing(elsewhere):
        for finished in elsewhere:
            for job, rows in seen.items():
                for row in _read_history(job)[len(rows) :]:
                    rows.append(row)
                    epoch_done(job, row)
            if finished:
                yield finished


def _on_this_machine(train: Train, jobs: list[Job], processes: int, devices: int) -> Generator[Ended | None]:
    # A fresh interpreter for each fold: TensorFlow does not survive a fork, and all memory is given back.
    context = multiprocessing.get_context("spawn")
    left, deaths = deque(jobs), Counter[Job]()
    free = divide_machine(min(processes, len(jobs)), devices)
    # By what a process tells through, not by its end: one that has much to tell cannot end before it is heard.
    busy: dict[Any, tuple[Any, Job, Share]] = {}
    try:
        while left or busy:
            while left and free:
                job, share = left.popleft(), free.pop()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(train, job, share, sender), daemon=True)
                try:
                    process.start()
                finally:
                    # Ctrl-C may come between the two.
                    if process.pid is not None:
                        busy[receiver] = process, job, share
                sender.close()
            for told in wait(list(busy), LOOK_SECONDS):
                process, job, share = busy[told]
                died, error = _outcome(process, told)
                del busy[told]
                free.append(share)
                deaths[job] += died
                if died and deaths[job] <= RETRIES:
                    left.appendleft(job)
                elif died:
                    yield job, InputError(f"its process died {deaths[job]} times, perhaps for want of memory", "died")
                else:
                    yield job, _for_the_user(error)
            yield None
    finally:
        _end([process for process, *_ in busy.values()])


def _end(processes: list[Any]) -> None:
    """End processes, those that do not clear up in time by force: also when Ctrl-C is pressed once more meanwhile."""
    try:
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + CLEAR_UP_SECONDS
        for process in processes:
            process.join(max(0, deadline - time.monotonic()))
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


def _work(train: Train, job: Job, share: Share, sender: Connection) -> None:
    """Do one job in a process of its own, which ends when its parent ends."""
    # Ctrl-C, or a terminal's closing, reaches all its processes: the parent ends the others, by a signal that lets them
    # clear up.
    for number in STOPS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    error = None
    try:
        with CtrlC():
            quiet_python()
            threading.Thread(target=_end_with_parent, daemon=True).start()
            share.take()
            train(job)
    except Stopped as stopped:
        raise SystemExit(stopped.code) from None
    except Exception as exception:  # handed to the parent, who raises what is not for the user
        error = exception
    sender.send(error)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _outcome(process: Any, receiver: Any) -> tuple[bool, Exception | None]:
    """Whether the process died, and otherwise the error of its job."""
    with receiver:
        try:
            return False, receiver.recv()
        except (EOFError, OSError):  # OSError: died in the middle of it
            return True, None
        finally:
            process.join()


def _on_dask(train: Train, jobs: list[Job], scheduler: str) -> Generator[Ended | None]:
    with dask_client(scheduler) as client:
        futures = {client.submit(train, job, pure=False, retries=RETRIES): job for job in jobs}
        waiting = set(futures)
        try:
            while waiting:
                ended = {future for future in waiting if future.done()}
                for future in ended:
                    yield futures[future], _for_the_user(future.exception() if future.status == "error" else None)
                waiting -= ended
                yield None
                time.sleep(LOOK_SECONDS)
        finally:
            client.cancel(list(waiting), force=True)


def _for_the_user(error: Exception | None) -> InputError | None:
    """The error as a sentence; what is our mistake, and not the user's, is raised."""
    if error is None or isinstance(error, InputError):
        return error
    if type(error).__name__ == "KilledWorker":
        return InputError("the Dask workers that trained it died, perhaps for want of memory", "died")
    raise error


def _read_history(job: Job) -> list[dict[str, float]]:
    for folder in (fold_folder(job.run, job.fold), partial_folder(job.run, job.fold)):
        try:
            return pd.read_csv(folder / "history.csv").to_dict("records")  # type: ignore[return-value]
        except (OSError, ValueError):
            continue
    return []
