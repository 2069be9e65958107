"""What TensorFlow, LiteRT and JAX say of themselves on standard error: kept from the terminal. Errors pass.

Their C++ code writes to the file descriptor, past Python, and much of it before anything can set a log level.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import BinaryIO, TextIO

# Information and warnings of the two forms of C++ log lines, and lines that no log level reaches.
_CHATTER = re.compile(
    rb"[IW]\d{4} [\d:.]+ +\d+ \S+\]"
    rb"|[\d-]+ [\d:.]+: [IW] "
    rb"|INFO: "
    rb"|WARNING: All log messages before absl::InitializeLog"
    rb"|To enable the following instructions: "
    rb"|fully_quantize: \d"
    # CUDA builds of TensorFlow, with and without a GPU; at level ERROR.
    rb"|.*(?:Unable to register cu\w+ factory|failed call to cuInit)"
)
_one_at_a_time = threading.RLock()
# Windows has fewer signals, and no fork.
_NOT_FOR_THE_FILTER = [
    getattr(signal, name) for name in ("SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
_filter_wanted = _filtered = False


def _plain_stream(number: int, encoding: str) -> TextIO:
    return os.fdopen(number, "w", buffering=1, encoding=encoding, errors="replace")


_stream: Callable[[int, str], TextIO] = _plain_stream


def quiet_process(stream: Callable[[int, str], TextIO] | None = None) -> None:
    """Make the process of a command quiet; for its very beginning, never for a process that is someone else's.

    Its standard streams are open. ``stream`` makes Python's own standard error of a file descriptor and an encoding.
    """
    global _filter_wanted, _stream
    _stream = stream or _plain_stream
    quiet_python()
    _filter_wanted = hasattr(os, "fork")


def quiet_python() -> None:
    """No warnings and no log messages below errors from Python code in this process; ``python -W`` brings warnings."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    # Level 3 would hide errors as well.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def filter_command() -> None:
    """In the process of a command, let a second process drop chatter from standard error until the end.

    For the moment before a backend is loaded. It is a process, and no thread, because what C++ code says before it
    aborts must arrive. Python's own ``sys.stderr`` goes past it.
    """
    global _filter_wanted, _filtered
    if not _filter_wanted:
        return
    _filter_wanted = False
    real = os.dup(2)
    source, sink = os.pipe()
    # Until the child ignores them: Ctrl-C reaches all of a terminal's processes.
    signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_THE_FILTER)
    try:
        child = os.fork()
        if child == 0:
            _filter(source)
    except OSError:  # no room for one more process: chatter is no reason to stop
        for number in (real, source, sink):
            os.close(number)
        return
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _NOT_FOR_THE_FILTER)
    _filtered = True
    os.dup2(sink, 2)
    os.close(source)
    os.close(sink)
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _stream(real, sys.stderr.encoding)


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Hold back what is written to the file descriptor of standard error; hand on all but chatter at the end."""
    with _one_at_a_time, contextlib.ExitStack() as stack:
        if _filtered:
            yield
            return
        try:
            real = stack.enter_context(os.fdopen(os.dup(2), "wb", buffering=0))
            held = stack.enter_context(tempfile.TemporaryFile())
        except OSError:  # no place to hold it, or nobody to hear it
            yield
            return
        stack.enter_context(_fatal_errors_to(real))
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real.fileno(), 2)
            held.seek(0)
            with contextlib.suppress(OSError):
                real.write(kept(held.read()))


def kept(text: bytes) -> bytes:
    """The lines that are no chatter."""
    return b"".join(line for line in text.splitlines(keepends=True) if not _CHATTER.match(line))


@contextlib.contextmanager
def _fatal_errors_to(real: BinaryIO) -> Iterator[None]:
    """What is held back dies with the process: Python then says at least where it died."""
    if faulthandler.is_enabled():
        yield
        return
    faulthandler.enable(real)
    try:
        yield
    finally:
        faulthandler.disable()


def _filter(source: int) -> None:
    """Copy lines from ``source`` to standard error until all writers have ended. Does not return."""
    try:
        # This one ends after those that it hears.
        for signum in _NOT_FOR_THE_FILTER:
            signal.signal(signum, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _NOT_FOR_THE_FILTER)
        os.dup2(source, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.closerange(3, 256)
        rest = b""
        while heard := os.read(0, 1 << 16):
            lines, newline, rest = (rest + heard).rpartition(b"\n")
            _write(kept(lines + newline))
        _write(kept(rest))
    finally:
        os._exit(0)


def _write(text: bytes) -> None:
    with contextlib.suppress(OSError):  # the terminal is gone; go on reading, or the writers would wait
        while text:
            text = text[os.write(2, text) :]
