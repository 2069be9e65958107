"""What every command shares on the terminal: one-sentence failures, progress bars, results as text or JSON."""

from __future__ import annotations

import errno
import json
import math
import os
import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from omi_keras.data.stops import CtrlC, Stopped
from omi_keras.recordings.errors import InputError

BAD_INPUT, CHECK_FAILED, INTERRUPTED = 2, 1, 130
READER_LEFT = 13  # SIGPIPE, which Windows does not know
# Which extra brings a missing package; what is not here comes with train.
EXTRAS = {
    "wfdb": "formats",
    "pydicom": "formats",
    "defusedxml": "formats",
    "dask": "distributed",
    "distributed": "distributed",
    "cryptography": "sign",
    "jax": "jax",
    "jaxlib": "jax",
}


Item = TypeVar("Item")


class Commands(click.Group):
    """Turns what a user can mend into one sentence and exit code 2, and ends well whatever happens to the terminal.

    Attributes
    ----------
    own_process
        Whether this was called as a program, and not by a test or another program's code.
    """

    own_process = False

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.own_process = True
        return super().__call__(*arguments, **options)

    def main(self, *arguments: Any, **options: Any) -> Any:
        mend_streams()
        with CtrlC():
            try:
                return super().main(*arguments, **options)
            except OutputLost as lost:
                # A reader that has seen enough is no failure of the work, which is done.
                if lost.error.errno == errno.EPIPE:
                    raise SystemExit(128 + READER_LEFT) from None
                fail(f"standard output: {lost.error.strerror}", BAD_INPUT)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **options)
        except KeyboardInterrupt:
            fail("interrupted", INTERRUPTED)

    def invoke(self, context: click.Context) -> Any:
        try:
            with CtrlC():
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
            fail(f"{printable(error.filename or 'file system')}: {error.strerror or error}", BAD_INPUT)


def fail(sentence: str, code: int) -> NoReturn:
    """Say what is wrong and leave; with ``INTERRUPTED``, the code is that of the signal being handled."""
    error = sys.exc_info()[1]
    if code == INTERRUPTED and isinstance(error, Stopped):
        code = error.code
    click.echo(f"omi-keras: {sentence}", err=True)
    raise SystemExit(code)


def printable(name: Any) -> str:
    """A file's name as a terminal can show it."""
    return "".join(c if c.isprintable() else "?" for c in os.fsdecode(name))


class OutputLost(Exception):
    """Standard output cannot be written to."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class _Stream(FileIO):
    """Standard output or error as it is in a pipe, on a full disk, or after the terminal has gone.

    What the reader of a pipe is slow to take is waited for, whether or not the pipe blocks. Messages on standard error
    that nobody can read are dropped, as the work is worth more than they are; a result on standard output is not.
    """

    def write(self, content: Any) -> int:
        try:
            while (written := super().write(content)) is None:  # a full pipe that does not block
                select.select([], [self], [])
        except OSError as error:
            # What Python or C++ still holds back goes nowhere, instead of failing again at the end.
            _open_nowhere(self.fileno())
            if self.fileno() == 1:
                raise OutputLost(error) from None
            return len(content)
        return written


def mend_streams() -> None:
    """Let a process begin with its standard streams closed, a terminal without Greek letters, or a pipe that breaks.

    A closed one would otherwise be the number of the next file that is opened, and C++ writes to that number.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _open_nowhere(number)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            stream = Path(os.devnull).open("w" if number else "r", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)
        elif number and isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
            if os.name != "nt" and stream is getattr(sys, f"__{name}__") and stream.fileno() == number:
                stream.flush()
                setattr(sys, name, unbreakable(number, stream.encoding, stream.line_buffering or number == 2))


def unbreakable(number: int, encoding: str = "utf-8", lines: bool = True) -> TextIOWrapper:
    """A text stream on a file descriptor that may be a pipe whose reader leaves, or a full disk."""
    raw = _Stream(number, "wb", closefd=False)
    return TextIOWrapper(BufferedWriter(raw), encoding, "replace", line_buffering=lines)


def _open_nowhere(number: int) -> None:
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)


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


def number_list(text: str, option: str, example: str) -> list[float]:
    """``"1e-5,1e-4"`` → [1e-5, 1e-4], positive and each once."""
    try:
        numbers = sorted({float(part) for part in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or not all(math.isfinite(number) and number > 0 for number in numbers):
        raise click.BadParameter(f"{text!r} is no list of positive numbers like {example}", param_hint=option)
    return numbers


def result(content: Any, as_json: bool, text: str) -> None:
    """Print a command's result: text for people, or JSON on standard output for programs."""
    if as_json:
        from omi_keras.data.artifacts import plain

        text = json.dumps(plain(content), ensure_ascii=False, allow_nan=False)
    click.echo(text)


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
