"""omi-keras select: one fold's model out of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from omi_keras.cli.options import FOLDER, force_option, json_option, out_argument
from omi_keras.cli.terminal import result


@click.command()
@click.argument("run", type=FOLDER)
@out_argument
@click.option(
    "--by", type=click.Choice(["validation", "test"]), default="validation", show_default=True,
    help="Score that chooses the fold; the paper chose by test, which is optimistic.",
)  # fmt: skip
@force_option
@json_option
def select(run: Path, out: Path, by: Any, force: bool, as_json: bool) -> None:
    """Take the best fold's model out of RUN into a model folder OUT.

    \b
    Example:
      omi-keras select run/ model/
    """
    from omi_keras.training.select import select_model

    info = select_model(run, out, by=by, force=force)
    result(info, as_json, f"{info['model']} of fold {info['fold']} in {out}, threshold {info['threshold']:.4f}")
