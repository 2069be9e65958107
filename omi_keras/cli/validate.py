"""omi-keras validate: finished models on ECGs that they never saw."""

from __future__ import annotations

from pathlib import Path

import click

from omi_keras.cli.options import (
    FOLDER,
    force_option,
    json_option,
    out_argument,
    pictures_option,
    records_option,
    seed_option,
)
from omi_keras.cli.terminal import progress, result


@click.command()
@click.argument("models", type=FOLDER, nargs=-1, required=True, metavar="MODEL_OR_BUNDLE [...]")
@out_argument
@click.option("--dataset", type=FOLDER, required=True, help="ECGs that no model was trained or validated on.")
@click.option(
    "--comparator", metavar="COLUMN",
    help="Column of the dataset that is 1 where a reader or a device says OMI, 0 where not. STEMI criteria are always "
    "compared with.",
)  # fmt: skip
@click.option(
    "--first-ecg-only", is_flag=True,
    help="Judge one ECG of each patient: the earliest by a time column, without one the first row.",
)  # fmt: skip
@click.option("--without-known", is_flag=True, help="Leave out the ECGs and patients that a model was made with.")
@click.option(
    "--other-patients", is_flag=True,
    help="Equal patient and ECG ids name other people, as two hospitals' own numbers do. Equal beats are refused.",
)  # fmt: skip
@pictures_option
@records_option
@seed_option
@force_option
@json_option
def validate(
    models: tuple[Path, ...],
    out: Path,
    dataset: Path,
    comparator: str | None,
    first_ecg_only: bool,
    without_known: bool,
    other_patients: bool,
    pictures: int,
    records: Path | None,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Judge finished models (model folders, or bundles as a device runs them) by a dataset that they never saw.

    Folder OUT: discrimination, calibration, decisions at each model's own threshold and bands, subgroups, decision
    curve, paired comparisons with each other, with the STEMI criteria and with a reader or device, and the ECGs to look
    at first, as pictures; open OUT/report.html to read it. ECGs that a model was trained or validated on are found by
    their beats, whatever their ids, by ids and by patients, and refused.

    \b
    Example:
      omi-keras validate model/ bundle/ validation/ --dataset elsewhere/ --comparator cardiologist
    """
    from omi_keras.data.artifacts import refuse_existing
    from omi_keras.data.dataset import load_dataset
    from omi_keras.data.foreign import refuse_inside

    refuse_existing(out, "report.json", force)
    for source in (dataset, *models):
        refuse_inside(out, source)
    data = load_dataset(dataset)
    from omi_keras.evaluation.tables import format_comparison, format_metrics
    from omi_keras.report.judges import open_judges
    from omi_keras.report.validation import validate as judged_by
    from omi_keras.report.validation_folder import content

    judges = open_judges(models)
    with progress("judging") as tick:
        found = judged_by(
            judges, data, comparator=comparator, first_ecg_only=first_ecg_only, without_known=without_known,
            other_patients=other_patients, pictures=pictures, records=records, seed=seed, tick=tick,
        )  # fmt: skip
    for sentence in (*found.warnings, *found.notes):
        click.echo(sentence, err=True)
    with progress("validate") as tick:
        found.save(out, force=force, tick=tick)
    for sentence in found.looks.notes if found.looks else ():
        click.echo(sentence, err=True)
    text = [format_metrics(found.metrics), format_comparison(found.comparison, "Paired differences [95 % interval]")]
    result(content(found), as_json, "\n\n".join([*text, f"to read: {out / 'report.html'}"]))
