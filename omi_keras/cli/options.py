"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path)
out_argument = click.argument("out", type=FOLDER)
force_option = click.option("--force", is_flag=True, help="Replace the output if it exists.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Source of all chance."
)
