"""omi-keras select: one fold's model out of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from omi_keras.cli.bands_text import bands_text
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
    from omi_keras.data.artifacts import refuse_existing
    from omi_keras.training.run import load_run

    refuse_existing(out, "model.json", force)
    model = load_run(run).select(by)
    model.save(out, force=force)
    if model.folds is not None and "beat" not in model.folds:
        click.echo(
            f"the dataset of {run} is not at hand, so the model cannot know its ECGs again under other ids", err=True
        )
    names = ("model", "simulated", "fold", "selected_by", "threshold", "bands", "metrics")
    told = f"{model.name} of fold {model.info['fold']} in {out}, threshold {model.threshold:.4f}; "
    told += bands_text(model.bands or {}, model.info["bands_details"], model.simulated)
    result({name: model.info[name] for name in names}, as_json, told)
