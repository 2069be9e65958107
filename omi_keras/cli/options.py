"""Arguments and options that several commands have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from omi_keras.recordings.paths import check_path


class NamedPath(click.Path):
    """A path whose name can be written into results; any other is refused before work begins."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return check_path(Path(os.fsdecode(super().convert(value, param, ctx))))


FOLDER = NamedPath(path_type=Path)
out_argument = click.argument("out", type=FOLDER)
force_option = click.option("--force", is_flag=True, help="Replace the output if it exists.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Source of all chance."
)
pictures_option = click.option(
    "--pictures", type=click.IntRange(0), default=10, show_default=True,
    help="How many missed OMI and how many false alarms report.html draws; 0: none.",
)  # fmt: skip
records_option = click.option(
    "--records", type=FOLDER, help="Folder of the recordings: what is drawn is drawn as it was recorded, too."
)
verify_option = click.option(
    "--verify",
    "public_key",
    type=FOLDER,
    metavar="KEY",
    help="PEM file of the Ed25519 public key that must have signed the bundle; nothing of it is used before that.",
)
