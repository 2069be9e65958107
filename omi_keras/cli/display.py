"""What a person sees of training: a line for each epoch and, on a terminal, one bar over the folds below them."""

from __future__ import annotations

import math
import sys
from types import TracebackType

import click

from omi_keras.cli.terminal import CtrlC

WIDTH = 20
CLEAR_LINE = "\r\x1b[2K"


class Display:
    """Lines and bar on standard error.

    Parameters
    ----------
    folds
        Number of folds to train.
    already
        How many are finished before this begins.
    alone
        Whether one fold is trained at a time, so that its steps can be shown.
    """

    def __init__(self, folds: int, already: int = 0, *, alone: bool = True) -> None:
        self.folds, self.done, self.alone = folds, already, alone
        self.steps = ""
        self.live = sys.stderr.isatty()
        self.ctrl_c = CtrlC()

    def __enter__(self) -> Display:
        self.ctrl_c.__enter__()
        self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ctrl_c.__exit__()
        if self.live:
            click.echo(CLEAR_LINE, nl=False, err=True)

    def epoch(self, label: str, row: dict[str, float]) -> None:
        """One line per epoch, the columns of history.csv; a forest has candidates and no learning rate."""
        self.ctrl_c.check()
        step, further = "epoch", f"lr {row['learning_rate']:.2g}"
        if math.isnan(row["learning_rate"]):
            step, further = "candidate", f"leaf {row['min_samples_leaf']:.0f}, features {row['max_features']:.0%}"
        line = (
            f"{label} {step} {row['epoch']:.0f}: loss {row['loss']:.4f}  val loss {row['val_loss']:.4f}  "
            f"val AUC {row['val_auc']:.4f}  val AP {row['val_ap']:.4f}  val score {row['val_score']:.4f}  {further}"
        )
        click.echo((CLEAR_LINE if self.live else "") + line, err=True)
        self._draw()

    def step(self, step: int, steps: int) -> None:
        """Where the epoch stands."""
        self.ctrl_c.check()
        self.steps = f"  step {step}/{steps}"
        self._draw()

    def fold_done(self) -> None:
        """Move the bar."""
        self.done += 1
        self._draw()

    def _draw(self) -> None:
        if self.live:
            filled = WIDTH * self.done // max(self.folds, 1)
            bar = "#" * filled + "-" * (WIDTH - filled)
            click.echo(f"{CLEAR_LINE}folds [{bar}] {self.done}/{self.folds}{self.steps}", nl=False, err=True)
