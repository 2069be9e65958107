"""Costly folders that several test files share: made once, also when several processes run the tests."""

import fcntl
from collections.abc import Callable
from pathlib import Path


def once(tmp_path_factory, name: str, make: Callable[[Path], None]) -> Path:
    """Return folder ``name``, filled by ``make``.

    Processes of one test run have their folders side by side; the first that comes makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    if base.name.startswith("popen-"):
        base = base.parent
    folder, done = base / f"once-{name}", base / f"once-{name}.done"
    with (base / f"once-{name}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
