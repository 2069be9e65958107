"""What asks a process to end, Ctrl-C or a scheduler's signal: heard at once, or as soon as it does no harm."""

from __future__ import annotations

import inspect
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

# What asks a process to end: Ctrl-C, a scheduler, a terminal that is closed (Windows has no such signal).
STOPS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
# An exception that comes up while these build a graph leaves TensorFlow's memory corrupt (after which the process
# aborts, now or later), and modules half loaded.
_NOT_INSIDE = {"tensorflow", "keras", "jax", "jaxlib", "importlib"}
# Who asks again after so long does not want to wait. Schedulers send the same signal to a process and to its group.
_AGAIN_SECONDS = 1.0


class Stopped(KeyboardInterrupt):
    """Ctrl-C, or the SIGTERM of a scheduler or the SIGHUP of a terminal that is closed, which mean the same."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


class CtrlC:
    """Makes :class:`Stopped` of what asks to end, in our own code and never in the middle of a backend's.

    Where TensorFlow, Keras, JAX or an import is at work, it waits until that returns, unless it is asked for once
    more. What is ignored, as ``nohup`` and shells do for work in the background, stays ignored. An exception inside a
    finaliser is reported and forgotten by Python: long work calls :meth:`check` as it goes on. And C code that it went
    through may make another exception of it: out of the block comes :class:`Stopped`.

    Parameters
    ----------
    signals
        Which are heard.
    """

    def __init__(self, signals: tuple[int, ...] = STOPS) -> None:
        self.signals = signals
        self.pressed: int | None = None
        self.before: dict[int, Any] = {}
        self._since = 0.0
        self._waiting = False
        self._home: FrameType | None = None
        self._watched: FrameType | None = None
        self._traced_before: Any = None

    def __enter__(self) -> CtrlC:
        if threading.current_thread() is threading.main_thread():
            self._home = _caller()
            for number in self.signals:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self.before[number] = signal.signal(number, self._press)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._home = None
        if self._watched is not None:
            sys.settrace(self._traced_before)
            self._watched.f_trace = None
            self._watched = None
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if self.pressed is None:
            return
        if isinstance(error, Exception):
            raise Stopped(self.pressed) from error
        if self._waiting and error is None:
            # For whoever hears it outside.
            signal.raise_signal(self.pressed)

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was pressed."""
        if self.pressed is not None:
            self._waiting = False
            raise Stopped(self.pressed)

    def _press(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        impatient = self._waiting and now - self._since > _AGAIN_SECONDS
        if self.pressed is None:
            self._since = now
        self.pressed = number
        caller = None if impatient else self._who_called_a_backend(frame)
        if caller is None:
            self.check()
        elif not self._waiting:
            self._waiting = True
            self._watched, self._traced_before = caller, sys.gettrace()
            caller.f_trace = self._returned
            sys.settrace(lambda *event: None)

    def _returned(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Python calls this as a debugger's, before the next line of whom the backend has returned to."""
        # At the end of an iterator Python forgets what is raised here; a line, or the frame's end, follows.
        if event != "exception":
            self.check()
        return self._returned

    def _who_called_a_backend(self, frame: FrameType | None) -> FrameType | None:
        """The frame from which a backend, or an import, is at work above; None: none is."""
        caller = None
        while frame is not None and frame is not self._home:
            if str(frame.f_globals.get("__name__")).partition(".")[0] in _NOT_INSIDE:
                caller = frame.f_back
            frame = frame.f_back
        return caller


def python_ctrl_c() -> CtrlC:
    """Hears Ctrl-C in a notebook or somebody's program, where nobody but Python itself does, and nothing elsewhere."""
    return CtrlC((signal.SIGINT,) if signal.getsignal(signal.SIGINT) is signal.default_int_handler else ())


def _caller() -> FrameType | None:
    """The frame that enters the block, perhaps by the block of another."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_name in ("_caller", "__enter__"):
        frame = frame.f_back
    return frame


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let what asks the process to end wait until the block has ended: for the few steps that belong together."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def note(number: int, frame: Any) -> None:
        caught.append(number)

    before: dict[int, Any] = {}
    try:
        for wanted in STOPS:
            handler = signal.getsignal(wanted)
            if handler is not None:  # None: not set from Python
                before[wanted] = handler
                signal.signal(wanted, note)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(caught[0])
