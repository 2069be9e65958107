"""What a person sees of training: a line for each epoch and, on a terminal, bars over folds and steps below them."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import click

from omi_keras.cli.terminal import live
from omi_keras.data.stops import CtrlC

if TYPE_CHECKING:
    from rich.progress import Progress

# Steps of small networks take a millisecond.
SECONDS_BETWEEN_DRAWINGS = 0.1
# The rate behind the time that is left: folds differ little, epochs of a fold hardly.
RATE_SECONDS = 3600.0


class Display:
    """Lines and bars on standard error. When nobody can hear them any more, training goes on.

    Parameters
    ----------
    folds
        Number of folds to train.
    already
        How many are finished before this begins.
    epochs
        Epochs of each fold, or candidates of a forest.
    """

    def __init__(self, folds: int, already: int = 0, *, epochs: int = 1) -> None:
        self.folds, self.already, self.epochs = folds, already, epochs
        # What each fold that was heard of has behind it, 0 to 1.
        self.trained: dict[str, float] = {}
        self.step_of = (0, 0)
        self.heard, self.drawn = True, -math.inf
        self.bars: Progress | None = _bars() if live() else None
        self.ctrl_c = CtrlC()

    def __enter__(self) -> Display:
        self.ctrl_c.__enter__()
        if self.bars:
            where = f"{self.already}/{self.folds}"
            self.folds_bar = self.bars.add_task("folds", total=self.folds, completed=self.already, where=where)
            self.steps_bar = self.bars.add_task("epoch", total=None, visible=False, where="")
            self._write(self.bars.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C here would leave the terminal without its cursor.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.bars:
            with contextlib.suppress(OSError, ValueError):
                self.bars.stop()
        self.ctrl_c.__exit__(kind, error, trace)

    def epoch(self, label: str, row: dict[str, float]) -> None:
        """One line per epoch, the columns of history.csv; a forest has candidates and no learning rate."""
        self.ctrl_c.check()
        step, further = "epoch", f"lr {row['learning_rate']:.2g}"
        if math.isnan(row["learning_rate"]):
            step, further = "candidate", f"leaf {row['min_samples_leaf']:.0f}, features {row['max_features']:.0%}"
        self._line(
            f"{label} {step} {row['epoch']:.0f}: loss {row['loss']:.4f}  val loss {row['val_loss']:.4f}  "
            f"val AUC {row['val_auc']:.4f}  val AP {row['val_ap']:.4f}  val score {row['val_score']:.4f}  {further}"
        )
        first = not self.trained
        self.trained[label] = min(row["epoch"] / self.epochs, 1.0)
        self.step_of = (0, 0)
        if self.bars and first:
            # What a resumed fold had behind it took no time here.
            self.bars.reset(self.folds_bar, completed=self._progress(), where="")  # type: ignore[arg-type]
        self._draw(now=True)

    def step(self, step: int, steps: int) -> None:
        """Where the epoch stands."""
        self.ctrl_c.check()
        self.step_of = (step, steps)
        self._draw()

    def fold_done(self, label: str) -> None:
        """Move the bar over folds."""
        self.trained[label] = 1.0
        self._draw(now=True)

    def _progress(self) -> float:
        """Folds that are trained, with the parts of those that are being trained."""
        step, steps = self.step_of
        return min(self.already + sum(self.trained.values()) + step / max(steps, 1) / self.epochs, float(self.folds))

    def _folds_done(self) -> str:
        return f"{self.already + sum(part >= 1 for part in self.trained.values())}/{self.folds}"

    def _line(self, text: str) -> None:
        if self.bars:
            # Only text: no line breaks, markup or colours of rich's own.
            console = self.bars.console
            self._write(lambda: console.print(text, markup=False, highlight=False, soft_wrap=True))
        else:
            self._write(lambda: click.echo(text, err=True))

    def _draw(self, now: bool = False) -> None:
        if not self.bars or not (now or time.monotonic() - self.drawn >= SECONDS_BETWEEN_DRAWINGS):
            return
        self.drawn = time.monotonic()
        step, steps = self.step_of
        self.bars.update(self.folds_bar, completed=self._progress(), where=self._folds_done())
        self.bars.update(
            self.steps_bar, total=steps, completed=step, visible=steps > 0, where=f"step {step}/{steps}"
        )  # fmt: skip
        self._write(self.bars.refresh)

    def _write(self, write: Callable[[], None]) -> None:
        """Write, as long as standard error takes it: a terminal that closes must not end hours of training."""
        if self.heard:
            try:
                write()
            except (OSError, ValueError):
                self.heard = False


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[where]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        # Drawn where training calls, and not by a thread: a signal or a worker process finds no lock held.
        auto_refresh=False,
        speed_estimate_period=RATE_SECONDS,
        transient=True,
        redirect_stdout=False,
    )
