"""Commands for devices: export-tflite, check-parity, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from omi_keras.cli.options import FOLDER, force_option, json_option, out_argument, seed_option
from omi_keras.cli.terminal import BAD_INPUT, CHECK_FAILED, fail, parity_text, progress, result
from omi_keras.recordings.errors import InputError

verify_option = click.option(
    "--verify",
    "public_key",
    type=FOLDER,
    metavar="KEY",
    help="PEM file of the Ed25519 public key that must have signed the bundle; nothing of it is used before that.",
)


@click.command("export-tflite")
@click.argument("model", type=FOLDER)
@out_argument
@click.option("--dataset", type=FOLDER, required=True, help="The dataset that the model was trained on.")
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
    1 when it does not. A format leaves more layers in float when it has to; manifest.json says which.

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
    kept = f", {', '.join(manifest['float_layers'])} in float" if manifest["float_layers"] else ""
    result(
        manifest,
        as_json,
        f"{quantize} bundle in {out}, {size:.2f} MB{kept}\n{parity_text(manifest['parity'], manifest['simulated'])}",
    )


@click.command("check-parity")
@click.argument("bundle", type=FOLDER)
@click.option("--dataset", type=FOLDER, help="Judge on this dataset too, with --model.")
@click.option("--model", type=FOLDER, help="The model folder that the bundle was made from, with --dataset.")
@verify_option
@json_option
def check_parity(
    bundle: Path, dataset: Path | None, model: Path | None, public_key: Path | None, as_json: bool
) -> None:
    """Prove that BUNDLE still computes what the trained model computed. Exit code 1 when it does not.

    Replays the beats in the bundle; with --dataset and --model, the whole gate of the export again; with --verify,
    who made it. A file that the bundle's manifest does not name is a failure, too.

    \b
    Example:
      omi-keras check-parity bundle/ --verify public.pem
    """
    from edge.parity import replayed
    from edge.signature import check_signature, read_public_key
    from edge.verified import BundleError, load

    if (dataset is None) != (model is None):
        raise click.UsageError("--dataset and --model go together")
    if not (bundle / "manifest.json").is_file():
        raise InputError(f"{bundle} is not a bundle: it has no manifest.json", "not_found")
    key = read_public_key(public_key) if public_key else None
    try:
        # Read once: the bytes whose signature is checked are the bytes that are judged.
        manifest, contents = load(bundle)
        if key is not None:
            check_signature(bundle, key, contents)
        found = replayed(manifest, contents)
    except (InputError, BundleError) as error:
        fail(str(error), CHECK_FAILED)
    seen = {"bundled": found["against_model"]}
    if dataset and model:
        from omi_keras.models.backend import load_backend

        load_backend()
        from edge.export import check_bundle
        from omi_keras.data.dataset import load_dataset
        from omi_keras.model import load_model

        found["gate"] = check_bundle(bundle, manifest, contents, load_model(model), load_dataset(dataset))
        found["failures"] += found["gate"]["failures"]
        found["passed"] = not found["failures"]
        seen["validation_and_test"] = found["gate"]
    verdict = "parity: passed" if found["passed"] else "parity: failed"
    result(found, as_json, "\n".join([parity_text(seen, found["simulated"]), *found["failures"], verdict]))
    if not found["passed"]:
        raise SystemExit(CHECK_FAILED)


@click.command()
@click.argument("model_or_bundle", type=FOLDER)
@click.argument("files", type=FOLDER, nargs=-1, required=True, metavar="FILE [FILE ...]")
@verify_option
@json_option
def predict(model_or_bundle: Path, files: tuple[Path, ...], public_key: Path | None, as_json: bool) -> None:
    """Judge ECG FILEs with a bundle or a model folder: probability, decision at the operating point, quality.

    A file that cannot be judged gets a sentence instead, the others are judged, and the exit code is 2.

    \b
    Example:
      omi-keras predict bundle/ patient1.hea patient2.hea --json
    """
    from omi_keras.predict import open_detector

    detect = open_detector(model_or_bundle, public_key)
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
                "quality": list(found.quality),
            }
        )
        if not as_json:
            decision = "OMI" if found.decision else "no OMI"
            quality = " ".join(found.quality) or "good"
            click.echo(f"{file}  P(OMI) {found.probability:.3f}  {decision}  quality: {quality}")
    if as_json:
        result(rows, as_json, "")
    if any("error" in row for row in rows):
        raise SystemExit(BAD_INPUT)
