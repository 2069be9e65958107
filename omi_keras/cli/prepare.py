"""omi-keras prepare: recordings and labels → a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from omi_keras.cli.options import FOLDER, force_option, json_option, out_argument
from omi_keras.cli.terminal import INTERRUPTED, fail, progress, result


@click.command()
@click.argument("records_dir", type=FOLDER)
@out_argument
@click.option("--labels", type=FOLDER, required=True, help="CSV with record, patient_id and the label column.")
@click.option("--label-column", default="omi", show_default=True, help="Column with 0 and 1.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Parallel processes.")
@click.option(
    "--scheduler", default="local", show_default=True, metavar="local|dask://HOST:PORT",
    help="Read on a Dask cluster whose workers see the same files (needs the distributed extra).",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on where an interruption stopped.")
@force_option
@json_option
def prepare(
    records_dir: Path, out: Path, labels: Path, label_column: str, jobs: int, scheduler: str, resume: bool,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Turn recordings in RECORDS_DIR into a dataset of median beats in folder OUT.

    Reads WFDB, Philips, MUSE and HL7 XML, DICOM, SCP-ECG, EDF, MATLAB, CSV and NumPy files. Recordings that cannot
    be used are listed in OUT/rejected.csv with a reason and stop nothing. With another --label-column than omi, a
    record may have no label: it is kept, and not used to train or to judge. Stop with Ctrl-C, go on with --resume.

    \b
    Example:
      omi-keras prepare recordings/ --labels recordings/labels.csv dataset/
    """
    from omi_keras.data.duplicates import duplicates_sentence
    from omi_keras.data.prepare import prepare_records

    notes: list[str] = []
    options: dict[str, Any] = {"jobs": jobs, "scheduler": scheduler, "resume": resume, "force": force}
    options["tell"] = notes.append
    try:
        with progress("preparing") as tick:
            info = prepare_records(records_dir, labels, out, label_column=label_column, **options, tick=tick)
    except KeyboardInterrupt:
        fail("stopped; go on with the same command and --resume", INTERRUPTED)
    for note in notes:
        click.echo(note, err=True)
    text = [f"{info['ecgs']} ECGs of {info['patients']} patients in {out}, {info['omi']} with {label_column} = 1"]
    if info["unlabelled"]:
        text.append(f"{info['unlabelled']} of them have no label in column {label_column} and will not be used")
    if info["rejected"]:
        text.append(f"{info['rejected']} rejected, reasons in {out / 'rejected.csv'}")
    if shared := duplicates_sentence(info["duplicate_beats"]):
        text.append(f"{shared}; listed in {out / 'dataset.json'}")
    result(info, as_json, "\n".join(text))
