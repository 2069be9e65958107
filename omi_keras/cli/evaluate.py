"""omi-keras evaluate: how good the models of runs are."""

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
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUN [RUN ...]")
@out_argument
@click.option(
    "--dataset", type=FOLDER,
    help="The runs' dataset, for subgroups and STEMI criteria  [default: where train found it, or beside the run where "
    "both were moved together]",
)  # fmt: skip
@pictures_option
@records_option
@seed_option
@force_option
@json_option
def evaluate(
    runs: tuple[Path, ...], out: Path, dataset: Path | None, pictures: int, records: Path | None, seed: int,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Judge one or more RUNs in folder OUT; open OUT/report.html to read it.

    The paper's Tables 4 and 5 and Figures 5 and 6; 95 % intervals with the ECGs of a patient clustered; paired tests
    between models (DeLong for AUC, bootstrap for average precision, Holm's correction); thresholds to rule in and
    out; calibration, decision curve; subgroups; the ECGs to look at first, as pictures.

    \b
    Example:
      omi-keras evaluate run/ forest/ report/
    """
    from omi_keras.data.artifacts import refuse_existing
    from omi_keras.report import write_report

    refuse_existing(out, "report.json", force)
    with progress("evaluate") as tick:
        content = write_report(
            list(runs), out, dataset=dataset, pictures=pictures, records=records, seed=seed, force=force, tick=tick
        )
    text = content.pop("text")
    notes = [*content["notes"], *(content["to_look_at_first"] or {"notes": []})["notes"]]
    result(content, as_json, "\n\n".join([*text.values(), *notes, f"to read: {out / 'report.html'}"]))
