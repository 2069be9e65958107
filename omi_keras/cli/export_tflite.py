"""omi-keras export-tflite: a model → a bundle for a device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from omi_keras.cli.options import FOLDER, force_option, json_option, out_argument, seed_option
from omi_keras.cli.terminal import CHECK_FAILED, fail, parity_text, progress, result


@click.command("export-tflite")
@click.argument("model", type=FOLDER)
@out_argument
@click.option(
    "--dataset", type=FOLDER, required=True, help="The dataset that the model was trained on, or recalibrated by."
)
@click.option(
    "--quantize",
    type=click.Choice(["float32", "float16", "dynamic", "int8"]),
    default="int8",
    show_default=True,
)
@click.option(
    "--samples",
    type=click.Choice(["600", "400"]),
    default="600",
    show_default=True,
    help="Length of the median beats that the model takes: whole, or what the crop leaves (R at sample 150).",
)
@click.option(
    "--limits", type=FOLDER, help='JSON file that tightens the gate, such as {"flips": 0, "max_delta": 0.05}.'
)
@click.option("--sign", "sign_with", type=FOLDER, metavar="KEY", help="PEM file of an Ed25519 private key; signs.")
@seed_option
@force_option
@json_option
def export_tflite(
    model: Path,
    out: Path,
    dataset: Path,
    quantize: Any,
    samples: str,
    limits: Path | None,
    sign_with: Path | None,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Turn a MODEL folder into a bundle OUT for a device.

    The model in the bundle takes median beats in millivolts. The bundle is written only if it passes the parity
    gate: its probabilities and decisions are those of the trained model on the validation and test ECGs. Exit code
    1 when it does not. A format leaves more layers in float when it has to; manifest.json says which. An ensemble
    becomes one graph; all ECGs of its dataset have taught some member, and two thirds of the patients' are judged.

    Keys are made by: openssl genpkey -algorithm ed25519 -out private.pem, and for --verify of other commands:
    openssl pkey -in private.pem -pubout -out public.pem

    \b
    Example:
      omi-keras export-tflite model/ bundle/ --dataset dataset/ --quantize int8 --sign private.pem
    """
    from omi_keras.data.artifacts import refuse_existing
    from omi_keras.data.dataset import load_dataset
    from omi_keras.model import load_model
    from omi_keras.models.backend import load_backend

    refuse_existing(out, "manifest.json", force)
    from edge.limits import tightened
    from edge.signature import read_private_key

    gate = tightened(quantize, limits)
    key = read_private_key(sign_with) if sign_with else None
    data = load_dataset(dataset)
    load_backend()
    from edge.export import ParityError, export_bundle

    def more_in_float(candidate: Any, failures: list[str]) -> None:
        if candidate.float_layers:
            click.echo(f"{quantize} with {', '.join(candidate.float_layers)} in float: {'; '.join(failures)}", err=True)
        else:
            click.echo(f"{quantize}: {'; '.join(failures)}", err=True)

    folder = load_model(model)
    options = {"quantization": quantize, "samples": int(samples), "limits": gate, "private_key": key}
    options |= {"seed": seed, "force": force, "refused": more_in_float}
    try:
        with progress("judging") as tick:
            manifest = export_bundle(folder, data, out, **options, tick=tick)
    except ParityError as error:
        fail(f"{error}; no bundle was written", CHECK_FAILED)
    size = (out / "model.tflite").stat().st_size / 1e6
    if folder.members > 1:
        click.echo(_cost(out, folder.members), err=True)
    kept = f", {', '.join(manifest['float_layers'])} in float" if manifest["float_layers"] else ""
    result(
        manifest,
        as_json,
        f"{quantize} bundle in {out}, {size:.2f} MB{kept}\n{parity_text(manifest['parity'], manifest['simulated'])}",
    )


def _cost(bundle: Path, members: int) -> str:
    """What an ensemble takes on a device, in a sentence."""
    from edge.parity import replay

    size, duration = (bundle / "model.tflite").stat().st_size / 1e6, replay(bundle)["latency_ms"]["median"]
    return (
        f"an ensemble of {members}: {size:.2f} MB, {duration:.2f} ms an ECG on one core of this machine; one member "
        f"takes about {size / members:.2f} MB, {duration / members:.2f} ms"
    )
