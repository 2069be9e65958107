"""omi-keras recalibrate: a finished model for the patients of another hospital."""

from __future__ import annotations

from pathlib import Path

import click

from omi_keras.cli.bands_text import bands_text
from omi_keras.cli.options import FOLDER, force_option, json_option, out_argument, seed_option
from omi_keras.cli.terminal import result

TARGET = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command()
@click.argument("model", type=FOLDER)
@click.argument("dataset", type=FOLDER)
@out_argument
@click.option(
    "--sensitivity", type=TARGET, default=0.9, show_default=True,
    help="Rule out below the highest threshold with at least this sensitivity.",
)  # fmt: skip
@click.option(
    "--ppv", type=TARGET, default=0.5, show_default=True,
    help="Rule in from the lowest threshold on with at least this positive predictive value.",
)  # fmt: skip
@click.option(
    "--guaranteed", is_flag=True,
    help="Rule out only as far as --sensitivity is promised for OMI patients to come; with few of them lower, or not "
    "at all.",
)  # fmt: skip
@click.option(
    "--other-patients", is_flag=True,
    help="Ids that are equal to some that the model was made with name other people, as two hospitals' own numbers do.",
)  # fmt: skip
@seed_option
@force_option
@json_option
def recalibrate(
    model: Path,
    dataset: Path,
    out: Path,
    sensitivity: float,
    ppv: float,
    guaranteed: bool,
    other_patients: bool,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Fit probabilities, threshold and bands of a MODEL to the patients of a local DATASET; writes a model folder OUT.

    The order of ECGs stays what it was. Probabilities are moved by Platt scaling, by its intercept alone where fewer
    than 20 patients have OMI; how well that does is found by cross-fitting over patients. Keep other patients apart to
    judge the result. What the patients are too few to tell is written to standard error and into OUT/model.json.

    \b
    Example:
      omi-keras recalibrate model/ local-dataset/ local-model/ --sensitivity 0.9 --ppv 0.5
    """
    from omi_keras.data.artifacts import refuse_existing
    from omi_keras.data.dataset import load_dataset
    from omi_keras.data.foreign import refuse_inside
    from omi_keras.model import load_model

    refuse_existing(out, "model.json", force)
    if force:
        for source in (model, dataset):
            refuse_inside(out, source)
    data = load_dataset(dataset)
    targets = {"sensitivity": sensitivity, "ppv": ppv, "guaranteed": guaranteed}
    found = load_model(model).recalibrate(data, **targets, other_patients=other_patients, seed=seed)
    found.save(out, force=force)
    calibration = found.info["calibration"]
    for sentence in calibration["cannot_know"]:
        click.echo(f"omi-keras: {sentence}", err=True)
    names = ("model", "simulated", "threshold", "bands", "bands_details", "metrics")
    about = {name: found.info[name] for name in names}
    about["calibration"] = {name: value for name, value in calibration.items() if name != "read_out"}
    moved = f"log odds × {calibration['slope']:.3f} {calibration['intercept']:+.3f}"
    told = f"{found.name} for {calibration['patients']} patients in {out}: {moved}, threshold {found.threshold:.4f}; "
    result(about, as_json, told + bands_text(found.bands or {}, found.info["bands_details"], found.simulated))
