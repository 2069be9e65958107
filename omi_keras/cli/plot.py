"""omi-keras plot: recordings → pictures, without a model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from omi_keras.cli.options import FOLDER, force_option, json_option, out_argument
from omi_keras.cli.terminal import BAD_INPUT, progress, result
from omi_keras.recordings.errors import InputError

FORMATS = ("svg", "png", "pdf")


@click.command()
@click.argument("files", type=FOLDER, nargs=-1, required=True, metavar="FILE [FILE ...]")
@out_argument
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="svg", show_default=True,
    help="Of the pictures, when OUT is a folder.",
)  # fmt: skip
@force_option
@json_option
def plot(files: tuple[Path, ...], out: Path, form: str, force: bool, as_json: bool) -> None:
    """Draw recording FILEs, without a model.

    To check leads, units and scale before anything else: recordings as they were read, 25 mm/s and 10 mm/mV, true to
    scale on A4 across; median beat with its marks, intervals, ST levels, quality. OUT is a picture (.svg, .png or .pdf,
    of one FILE), a page with one ECG after the other (.html), or else a new folder with one picture per FILE. SVG needs
    the base install only, the others the train extra.

    A file that cannot be read gets a sentence instead, the others are drawn, and the exit code is 2.

    \b
    Examples:
      omi-keras plot patient1.hea patient1.svg
      omi-keras plot recordings/*.xml pictures/
    """
    suffix = out.suffix.lower()
    if suffix[1:] in FORMATS and len(files) > 1:
        raise InputError(f"{out} is one picture, and there are {len(files)} recordings; name a folder or a .html page")
    rows = _drawn(files, out, suffix, form, force, as_json)
    refused = [row for row in rows if "error" in row]
    text = [f"{len(rows) - len(refused)} of {len(rows)} recordings drawn: {out}"] if len(rows) > len(refused) else []
    text += [f"no median beat: {row['refusal']}" for row in rows if "refusal" in row]
    if as_json or text:
        result(rows, as_json, "\n".join(text))
    if refused:
        raise SystemExit(BAD_INPUT)


def _drawn(
    files: tuple[Path, ...], out: Path, suffix: str, form: str, force: bool, as_json: bool
) -> list[dict[str, Any]]:
    """Draw the files and tell of each that cannot be read."""
    from omi_keras.drawing.plots import save_pictures
    from omi_keras.recordings.readers import SUFFIXES

    if suffix in SUFFIXES:
        raise InputError(f"{out} has the name of a recording; name what is to be made last", "bad_name")
    with progress("drawing") as tick:
        done = 0

        def tell(row: dict[str, Any]) -> None:
            nonlocal done
            done += 1
            tick(done, len(files))
            if "error" in row and not as_json:
                click.echo(f"omi-keras: {row['error']}", err=True)

        if suffix == ".html" or suffix[1:] in FORMATS:
            return _one_file(files, out, suffix, force, tell)
        return save_pictures(files, out, f".{form}", force=force, tell=tell)


def _one_file(files: Iterable[Path], out: Path, suffix: str, force: bool, tell: Any) -> list[dict[str, Any]]:
    """One picture, or one page of them; nothing is written where no file can be read."""
    from omi_keras.data.one_file import refuse_existing_file, write_file
    from omi_keras.drawing.files import picture_bytes
    from omi_keras.drawing.plots import DPI, drawn

    refuse_existing_file(out, force)
    rows, pictures = [], []
    for row, picture in drawn(files):
        if picture is not None:
            pictures.append(picture)
            row["picture"] = str(out)
        rows.append(row)
        tell(row)
    if pictures and suffix == ".html":
        from omi_keras.report.pictures import pictures_page

        write_file(out, pictures_page("Recordings", pictures).encode(), force=force)
    elif pictures:
        write_file(out, picture_bytes(pictures[0], suffix, DPI, str(out)), force=force)
    return rows
