"""omi-keras predict: ECG files → probabilities and decisions."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omi_keras.cli.options import FOLDER, json_option, verify_option
from omi_keras.cli.terminal import BAD_INPUT, live, printable
from omi_keras.recordings.errors import InputError

if TYPE_CHECKING:
    from edge.detector import Detection
    from omi_keras.saliency.explain import Explain

SECONDS_BEFORE_PROGRESS, SECONDS_BETWEEN = 2.0, 0.2
# A browser holds several times as much in memory as a page has.
MB, MUCH_MB = 10**6, 100


@click.command()
@click.argument("model_or_bundle", type=FOLDER)
@click.argument("files", type=FOLDER, nargs=-1, required=True, metavar="FILE_OR_FOLDER [FILE_OR_FOLDER ...]")
@click.option("--csv", "table", type=FOLDER, metavar="FILE", help="Write a table with a row for each file.")
@click.option("--html", "page", type=FOLDER, metavar="FILE", help="Write a page with a picture of each ECG.")
@click.option("--force", is_flag=True, help="Replace a table and a page that predict wrote before.")
@verify_option
@json_option
def predict(
    model_or_bundle: Path, files: tuple[Path, ...], table: Path | None, page: Path | None, force: bool,
    public_key: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Judge ECG files with a bundle or a model folder: probability, decision at the operating point, band, quality.

    The band is rule-in, open or rule-out, of models that have such thresholds. Of a FOLDER every recording inside, and
    in folders inside it, is judged in the order of names; a WFDB header and its signal files are one recording, and
    what is no recording is passed over. A file that cannot be judged gets a sentence instead, the others are judged,
    and the exit code is 2.

    The page opens offline, lists all ECGs and prints one a sheet, true to scale on A4 across. Of a model folder, the
    median beats show what the network looks at.

    \b
    Examples:
      omi-keras predict bundle/ patient1.hea patient2.hea --json
      omi-keras predict bundle/ recordings/ --csv judged.csv --html judged.html
    """
    from omi_keras.cli.predict_page import picture_of
    from omi_keras.cli.predict_table import new_table, refuse_existing_table
    from omi_keras.recordings.folders import expand
    from omi_keras.report.ecg_page import new_page, refuse_existing_page

    if table and page and table.absolute() == page.absolute():
        raise InputError(f"{page} cannot be both the table and the page; name two files", "bad_name")
    if table:
        refuse_existing_table(table, force)
    if page:
        refuse_existing_page(page, force)
    model = _open(model_or_bundle, public_key, page is not None)
    from edge.many_files import judge_files

    seen = {"judged": 0, "OMI": 0, "refused": 0}
    written = " and ".join(str(path) for path in (table, page) if path)
    with (
        _printed(as_json, not written) as show, new_table(table, force) as add,
        new_page(page, force=force, simulated=model.simulated, note=model.note) as draw,
        _progress(as_json, written) as tick,
    ):  # fmt: skip
        for judged in judge_files(model.detect, expand(files)):
            row = judged.row
            show(row)
            add(row)
            if page:
                draw(row, picture_of(judged, model.simulated, model.explain))
            seen["refused" if "error" in row else "judged"] += 1
            seen["OMI"] += row.get("decision", False)
            tick(seen)
    if written and not as_json:
        refused = f", {seen['refused']} could not be judged" if seen["refused"] else ""
        click.echo(f"{seen['judged']} ECGs in {written}, {seen['OMI']} of them OMI{refused}")
    if page and (size := page.stat().st_size // MB) > MUCH_MB:
        click.echo(f"{page} has {size:,} MB, too much for many browsers; make pages of some hundred ECGs", err=True)
    if seen["refused"]:
        raise SystemExit(BAD_INPUT)


@contextmanager
def _printed(as_json: bool, as_text: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that prints a row: as the next of a JSON list, or as a line; what went wrong on standard error."""
    before = "["

    def show(row: dict[str, Any]) -> None:
        nonlocal before
        if as_json:
            click.echo(before + json.dumps(row, ensure_ascii=False, allow_nan=False), nl=False)
            before = ",\n "
        elif "error" in row:
            click.echo(f"omi-keras: {printable(row['error'])}", err=True)
        elif as_text:
            decision = "OMI" if row["decision"] else "no OMI"
            band = f"  {row['band']}" if row["band"] else ""
            quality = " ".join(row["quality"]) or "good"
            click.echo(
                f"{printable(row['file'])}  P(OMI) {row['probability']:.3f}  {decision}{band}  quality: {quality}"
            )

    yield show
    if as_json:
        click.echo("]" if before != "[" else "[]")


@contextmanager
def _progress(as_json: bool, written: str) -> Iterator[Callable[[dict[str, int]], None]]:
    """A function that tells on a terminal, after two seconds, how far it is, unless printed lines show that."""
    shown = live() and (sys.stdout is None or not sys.stdout.isatty() or (written and not as_json))
    start = last = time.monotonic()
    drawn = False

    def tick(seen: dict[str, int]) -> None:
        nonlocal last, drawn
        now = time.monotonic()
        if shown and now - start > SECONDS_BEFORE_PROGRESS and now - last > SECONDS_BETWEEN:
            done, last, drawn = seen["judged"] + seen["refused"], now, True
            click.echo(
                f"\r{done} files, {done / (now - start):.0f}/s, {seen['refused']} not judged ", nl=False, err=True
            )

    try:
        yield tick
    finally:
        if drawn:
            click.echo(err=True)


@dataclass(frozen=True)
class Opened:
    """A bundle (LiteRT, no TensorFlow) or a model folder.

    Attributes
    ----------
    detect
        ECG file → what is said of it.
    simulated
        Whether it was trained on simulated ECGs.
    explain
        What it looks at in a median beat; None where that is not known or not wanted.
    note
        What a person who looks at pictures should know of it.
    """

    detect: Callable[[Path], Detection]
    simulated: bool = False
    explain: Explain | None = None
    note: str = ""


def _open(path: Path, public_key: Path | None, explained: bool) -> Opened:
    if (path / "manifest.json").is_file():
        from edge.detector import Detector

        detector = Detector(path, public_key=public_key)
        return Opened(detector.detect_file, bool(detector.manifest["simulated"]))
    if public_key is not None:
        raise InputError(f"{path} is not a bundle, and only bundles are signed; leave --verify out", "bad_signature")
    if (path / "model.json").is_file():
        from omi_keras.model import load_model

        model = load_model(path)
        explain, note = None, ""
        if explained:
            from omi_keras.saliency.explain import explainer

            try:
                explain, note = explainer(model), "Colours: the gradient of the OMI logit."
            except InputError as error:
                note = f"No saliency: {error}."
        return Opened(model.predict, model.simulated, explain, note)
    raise InputError(f"{path} is neither a bundle (manifest.json) nor a model folder (model.json)", "not_found")
