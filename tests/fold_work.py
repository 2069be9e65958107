"""A job for processes and workers, which import it by name: what happens is the name of the run."""

import os
import time

from omi_keras.recordings.errors import InputError


def do(job, **callbacks):
    """Leave a mark for each attempt."""
    with (job.dataset / f"{job.run.name}-{job.fold}").open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    attempts = len(marks(job))
    if (job.run.name == "dies-once" and attempts == 1) or job.run.name == "dies":
        os._exit(9)
    if job.run.name == "refuses":
        raise InputError("this fold cannot be trained", "bad")
    if job.run.name == "broken":
        raise ZeroDivisionError("ours")
    if job.run.name == "talks":
        raise InputError("long " * 100_000, "bad")
    if job.run.name == "history":
        folder = job.run / f".fold-{job.fold:02d}.partial"
        folder.mkdir(parents=True)
        for epoch in (1, 2):
            rows = "".join(f"{n},{n / 10}\n" for n in range(1, epoch + 1))
            (folder / "history.csv").write_text("epoch,loss\n" + rows, encoding="utf-8")
            time.sleep(1.2)


def marks(job):
    return (job.dataset / f"{job.run.name}-{job.fold}").read_text(encoding="utf-8").splitlines()
