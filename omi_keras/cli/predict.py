"""omi-keras predict: ECG files → probabilities and decisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omi_keras.cli.options import FOLDER, json_option, verify_option
from omi_keras.cli.terminal import BAD_INPUT, result
from omi_keras.recordings.errors import InputError

if TYPE_CHECKING:
    from edge.detector import Detection


@click.command()
@click.argument("model_or_bundle", type=FOLDER)
@click.argument("files", type=FOLDER, nargs=-1, required=True, metavar="FILE [FILE ...]")
@verify_option
@json_option
def predict(model_or_bundle: Path, files: tuple[Path, ...], public_key: Path | None, as_json: bool) -> None:
    """Judge ECG FILEs with a bundle or a model folder: probability, decision at the operating point, band, quality.

    The band is rule-in, open or rule-out, of models that have such thresholds.

    A file that cannot be judged gets a sentence instead, the others are judged, and the exit code is 2.

    \b
    Example:
      omi-keras predict bundle/ patient1.hea patient2.hea --json
    """
    detect = _open(model_or_bundle, public_key)
    rows: list[dict[str, Any]] = []
    for file in files:
        try:
            found = detect(file)
        except InputError as error:
            # A recording is known by its id further on; here by its file.
            sentence = f"{file.name}: {str(error).removeprefix(f'{file.name}: ').removeprefix(f'{file.stem}: ')}"
            rows.append({"file": str(file), "error": sentence})
            if not as_json:
                click.echo(f"omi-keras: {sentence}", err=True)
            continue
        rows.append(
            {
                "file": str(file),
                "ecg_id": file.stem,
                "probability": found.probability,
                "decision": bool(found.decision),
                "threshold": found.threshold,
                "band": found.band,
                "quality": list(found.quality),
            }
        )
        if not as_json:
            decision = "OMI" if found.decision else "no OMI"
            band = f"  {found.band}" if found.band else ""
            quality = " ".join(found.quality) or "good"
            click.echo(f"{file}  P(OMI) {found.probability:.3f}  {decision}{band}  quality: {quality}")
    if as_json:
        result(rows, as_json, "")
    if any("error" in row for row in rows):
        raise SystemExit(BAD_INPUT)


def _open(path: Path, public_key: Path | None) -> Callable[[Path], Detection]:
    """A function from ECG file to what is said of it, for a bundle (LiteRT, no TensorFlow) or a model folder."""
    if (path / "manifest.json").is_file():
        from edge.detector import Detector

        return Detector(path, public_key=public_key).detect_file
    if public_key is not None:
        raise InputError(f"{path} is not a bundle, and only bundles are signed; leave --verify out", "bad_signature")
    if (path / "model.json").is_file():
        from omi_keras.model import load_model

        return load_model(path).predict
    raise InputError(f"{path} is neither a bundle (manifest.json) nor a model folder (model.json)", "not_found")
