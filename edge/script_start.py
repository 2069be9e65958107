"""The beginning of ``device_parity.py``: nothing that lies beside that script can run in its place."""

import sys


def _leave_own_folder() -> None:
    """Take this script's folder off the path, where Python puts it before its own library.

    A bundle is data: no ``json.py`` and no ``numpy/`` in it may run. So nothing is imported before this but what is
    built into Python, not even ``__future__``, which is a file.
    """
    if sys.path and not getattr(sys.flags, "safe_path", sys.flags.isolated):
        del sys.path[0]
    system = sys.modules["posix" if "posix" in sys.builtin_module_names else "nt"]
    here = __file__[: max(__file__.rfind("/"), __file__.rfind("\\")) + 1] or "."

    def is_here(entry: str) -> bool:
        try:
            one, other = system.stat(entry or "."), system.stat(here)
        except (OSError, TypeError, ValueError):
            return False
        return one.st_ino != 0 and (one.st_ino, one.st_dev) == (other.st_ino, other.st_dev)

    sys.path[:] = [entry for entry in sys.path if not is_here(entry)]


if __name__ == "__main__":
    _leave_own_folder()
