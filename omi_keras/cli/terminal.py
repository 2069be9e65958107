"""What every command shares on the terminal: one-sentence failures, progress bars, results as text or JSON."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, NoReturn, TypeVar

import click

from omi_keras.recordings.errors import InputError

BAD_INPUT, CHECK_FAILED, INTERRUPTED = 2, 1, 130
# Which extra brings a missing package; what is not here comes with train.
EXTRAS = {
    "wfdb": "formats",
    "pydicom": "formats",
    "defusedxml": "formats",
    "dask": "distributed",
    "distributed": "distributed",
    "torch": "torch",
    "cryptography": "sign",
}


Item = TypeVar("Item")


class Commands(click.Group):
    """Turns what a user can mend into one sentence and exit code 2.

    Attributes
    ----------
    own_process
        Whether this was called as a program, and not by a test or another program's code.
    """

    own_process = False

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.own_process = True
        return super().__call__(*arguments, **options)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            fail("interrupted; nothing was left half-written", INTERRUPTED)
        except InputError as error:
            fail(str(error), BAD_INPUT)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package in ("", "omi_keras", "edge"):
                raise
            fail(
                f"this command needs {package}; run: pip install 'omi-keras[{EXTRAS.get(package, 'train')}]', or in a "
                f"checkout: pip install '.[{EXTRAS.get(package, 'train')}]'",
                BAD_INPUT,
            )
        except BrokenPipeError:
            raise
        except OSError as error:
            fail(f"{error.filename or 'file system'}: {error.strerror or error}", BAD_INPUT)


def fail(sentence: str, code: int) -> NoReturn:
    """Say what is wrong and leave."""
    click.echo(f"omi-keras: {sentence}", err=True)
    raise SystemExit(code)


def accept_any_terminal() -> None:
    """Let a terminal or pipe that has no Greek letters show question marks instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def live() -> bool:
    """Whether standard error is a terminal on which bars can move; it may also be closed."""
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse nan, which no range excludes."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a number")
    return value


def fold_list(text: str) -> list[int] | None:
    """``"0,3"`` → [0, 3], ``"all"`` → None."""
    if text == "all":
        return None
    try:
        return sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither all nor numbers like 0,3", param_hint="--folds") from None


def number_list(text: str, option: str) -> list[float]:
    """``"1e-5,1e-4"`` → [1e-5, 1e-4], positive and each once."""
    try:
        numbers = sorted({float(part) for part in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or not all(math.isfinite(number) and number > 0 for number in numbers):
        raise click.BadParameter(f"{text!r} is no list of positive numbers like 1e-5,1e-4", param_hint=option)
    return numbers


def result(content: Any, as_json: bool, text: str) -> None:
    """Print a command's result: text for people, or JSON on standard output for programs."""
    if as_json:
        from omi_keras.data.artifacts import plain

        text = json.dumps(plain(content), ensure_ascii=False, allow_nan=False)
    click.echo(text)


class CtrlC:
    """Hears Ctrl-C even where Python loses it: an exception raised inside a finaliser is reported and forgotten.

    Long work calls :meth:`check` as it goes on.
    """

    def __init__(self) -> None:
        self.pressed = False

    def __enter__(self) -> CtrlC:
        self.before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGINT, self.before)

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was pressed."""
        if self.pressed:
            raise KeyboardInterrupt

    def _press(self, *where: object) -> None:
        self.pressed = True
        raise KeyboardInterrupt


@contextmanager
def progress(label: str) -> Iterator[Callable[..., None]]:
    """A function of (done, total) or (done, total, rejected) that moves a bar on a terminal's standard error.

    The bar tells the rate, and how many were rejected. Elsewhere than on a terminal there is none.
    """
    if not live():
        yield lambda done, total, rejected=0: None
        return
    start = time.monotonic()
    with click.progressbar(length=1, label=label, file=sys.stderr, show_pos=True) as bar:
        first: int | None = None

        def move(done: int, total: int, rejected: int = 0) -> None:
            nonlocal first
            # A resumed run starts with what is done already.
            first = done - 1 if first is None else first
            rate = (done - first) / max(time.monotonic() - start, 1e-3)
            bar.label = f"{label}, {rate:.0f}/s" + (f", {rejected} rejected" if rejected else "")
            bar.length = total
            bar.update(done - bar.pos)

        yield move


def watched(items: Iterable[Item], tick: Callable[[int, int], None], total: int) -> Iterator[Item]:
    """Hand on the items and move a bar with each."""
    for done, item in enumerate(items, start=1):
        yield item
        tick(done, total)


def parity_text(measured: dict[str, dict[str, float]], simulated: bool) -> str:
    """One line per set of ECGs on which two models were compared."""
    mark = ", simulated" if simulated else ""
    return "\n".join(
        f"parity on {seen['n']} ECGs ({part.replace('_', ' ')}{mark}): max |Δp| {seen['max_delta']:.2g}, "
        f"p99 {seen['p99_delta']:.2g}, flips {seen['flips']:.2%}, |ΔAUC| {seen['delta_auc']:.2g}, "
        f"|ΔAP| {seen['delta_ap']:.2g}"
        for part, seen in measured.items()
    )
