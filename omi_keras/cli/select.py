"""omi-keras select: one fold's model out of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from omi_keras.cli.bands_text import bands_text
from omi_keras.cli.options import FOLDER, force_option, json_option, out_argument
from omi_keras.cli.terminal import progress, result


@click.command()
@click.argument("run", type=FOLDER)
@out_argument
@click.option(
    "--by", type=click.Choice(["validation", "test"]), default="validation", show_default=True,
    help="Score that chooses the fold; the paper chose by test, which is optimistic.",
)  # fmt: skip
@click.option(
    "--ensemble", is_flag=True,
    help="All folds as one model: the mean of the networks' logits, or of the forests' probabilities. Its threshold is "
    "from each fold's own test ECGs.",
)  # fmt: skip
@force_option
@json_option
@click.pass_context
def select(context: click.Context, run: Path, out: Path, by: Any, ensemble: bool, force: bool, as_json: bool) -> None:
    """Take the best fold's model, or with --ensemble all of them as one, out of RUN into a model folder OUT.

    An ensemble takes as many times the space and time as it has members, and no ECG of its dataset is left to judge it.

    \b
    Examples:
      omi-keras select run/ model/
      omi-keras select run/ model/ --ensemble
    """
    if ensemble and context.get_parameter_source("by") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--by chooses one fold and --ensemble takes all of them; give one of the two")
    from omi_keras.data.artifacts import refuse_existing
    from omi_keras.training.run import load_run

    refuse_existing(out, "model.json", force)
    if ensemble:
        from omi_keras.training.ensemble import ensemble_model

        with progress("members") as tick:
            model = ensemble_model(load_run(run), tick)
        which = f"ensemble of {model.members} folds"
    else:
        model = load_run(run).select(by)
        which = f"fold {model.info['fold']}"
    model.save(out, force=force)
    if model.folds is not None and "beat" not in model.folds:
        click.echo(
            f"the dataset of {run} is not at hand, so the model cannot know its ECGs again under other ids", err=True
        )
    own = ("members", "folds", "judged") if ensemble else ("fold", "selected_by")
    names = ("model", "simulated", "threshold", "bands", "metrics", *own)
    told = f"{model.name} of {which} in {out}, threshold {model.threshold:.4f}; "
    told += bands_text(model.bands or {}, model.info["bands_details"], model.simulated)
    result({name: model.info[name] for name in names}, as_json, told)
