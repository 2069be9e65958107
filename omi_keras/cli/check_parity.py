"""omi-keras check-parity: does a bundle compute what was trained?"""

from __future__ import annotations

from pathlib import Path

import click

from omi_keras.cli.options import FOLDER, json_option, verify_option
from omi_keras.cli.terminal import CHECK_FAILED, fail, parity_text, result
from omi_keras.recordings.errors import InputError


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
        from edge.export import check_bundle, judged_part
        from omi_keras.data.dataset import load_dataset
        from omi_keras.model import load_model

        trained = load_model(model)
        found["gate"] = check_bundle(bundle, manifest, contents, trained, load_dataset(dataset))
        found["failures"] += found["gate"]["failures"]
        found["passed"] = not found["failures"]
        seen[judged_part(trained)] = found["gate"]
    verdict = "parity: passed" if found["passed"] else "parity: failed"
    result(found, as_json, "\n".join([parity_text(seen, found["simulated"]), *found["failures"], verdict]))
    if not found["passed"]:
        raise SystemExit(CHECK_FAILED)
