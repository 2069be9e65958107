"""Who works on a run: several processes may train different folds of it, none may replace it meanwhile.

Three kinds of lock, which the system frees when their process dies:

``.NAME.train.lock`` beside the run
    taken for a moment to begin work on a run, to replace it, or to take another of its locks
``.train-*.lock`` in the run
    held by each command that trains folds of it, from its beginning to its end
``.fold-NN.lock`` in the run, beside the fold's folder
    held by the process that trains the fold, which may be a worker on another machine
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from omi_keras.data.artifacts import remove, remove_half_written
from omi_keras.data.exclusive import only_one
from omi_keras.models.archive import HALF_NETWORK
from omi_keras.recordings.errors import InputError
from omi_keras.training.run import FEATURES_FILE, FEATURES_LOCK, PARTIAL_FEATURES_FILE, fold_folder, partial_folder

WAIT_SECONDS = 0.02


@contextmanager
def beginning(run: Path) -> Iterator[None]:
    """Let one process at a time begin something with the run, which need not exist yet; others wait for their turn."""
    place = Path(os.path.realpath(run))
    made = [parent for parent in place.parents if not parent.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    busy = f"{run} is being started by another process; try again"
    try:
        # Where no lock can be made, no run can be replaced either.
        free = os.access(place.parent, os.W_OK)
        with in_turn(place.with_name(f".{place.name}.train.lock"), busy) if free else nullcontext():
            yield
    finally:
        for parent in made:  # a refused command leaves nothing
            with contextlib.suppress(OSError):
                parent.rmdir()


@contextmanager
def in_turn(lock: Path, busy: str, patience: float = 600) -> Iterator[None]:
    """As :func:`omi_keras.data.exclusive.only_one`, but wait for ``patience`` seconds until the lock is free."""
    deadline = time.monotonic() + patience
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(only_one(lock, busy))
                break
            except InputError as error:
                if error.reason != "busy" or time.monotonic() > deadline:
                    raise
            time.sleep(WAIT_SECONDS)
        yield


@contextmanager
def at_work(run: Path) -> Iterator[None]:
    """Nobody replaces the run, which must exist, before the block ends. Enter within :func:`beginning`."""
    with ExitStack() as claim:
        claim.enter_context(only_one(run / f".train-{uuid.uuid4().hex}.lock", f"{run} is busy"))
        try:
            yield
        finally:
            with beginning(run):
                claim.close()
                clear_leftovers(run)


@contextmanager
def fold_at_work(run: Path, fold: int) -> Iterator[None]:
    """Keep other processes from training the same fold.

    Raises
    ------
    InputError
        When another process is training it, or the run is gone.
    """
    busy = f"fold {fold} of {run} is being trained by another process; wait for it, or stop it"
    with ExitStack() as stack:
        with beginning(run):
            if not run.is_dir():
                raise InputError(f"{run} was removed while it was being trained; start it again", "not_found")
            stack.enter_context(only_one(fold_lock(run, fold), busy))
        yield


def fold_lock(run: Path, fold: int) -> Path:
    """The lock of a fold, beside its folder, which is renamed."""
    return run / f".{fold_folder(run, fold).name}.lock"


def refuse_busy(run: Path) -> None:
    """Raise InputError when any process trains a fold of the run, or of a run inside it. Within :func:`beginning`."""
    busy = f"{run} is being trained by another process; wait for it, stop it, or choose another name"
    for lock in _locks(run):
        with only_one(lock, busy):
            pass


def clear_leftovers(run: Path) -> None:
    """Remove what processes that were killed left in the run and no resumption needs. Within :func:`beginning`."""
    held = False
    for lock in _locks(run):
        try:
            # The file of a lock that nobody holds goes as it is given back.
            with only_one(lock, "held"):
                fold = re.fullmatch(r"\.fold-(\d+)\.lock", lock.name)
                if fold:
                    clear_partial(lock.parent, int(fold[1]))
        except InputError:
            held = True
    if not held:
        for name in (FEATURES_FILE, PARTIAL_FEATURES_FILE, FEATURES_LOCK):
            with contextlib.suppress(OSError):  # Windows keeps what somebody reads
                (run / name).unlink(missing_ok=True)


def clear_partial(run: Path, fold: int) -> None:
    """Leave of an unfinished fold what its resumption needs. Within :func:`fold_at_work`."""
    partial = partial_folder(run, fold)
    if (partial / "checkpoint.npz").exists():
        remove_half_written(partial)
        for name in (HALF_NETWORK, "lock"):  # omi-keras 0.1.0 had its lock there
            (partial / name).unlink(missing_ok=True)
    else:
        remove(partial)


def _locks(run: Path) -> list[Path]:
    return [path for pattern in (".train-*.lock", ".fold-*.lock") for path in sorted(run.rglob(pattern))]
