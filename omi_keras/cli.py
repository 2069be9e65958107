"""The command line. Thin: it reads options, shows progress and prints; the work is done in the other rooms.

Rooms are imported inside the commands, because TensorFlow takes seconds to import and --help must not wait.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from omi_keras import __version__
from omi_keras.signal.errors import InputError
from omi_keras.terminal import (
    BAD_INPUT,
    CHECK_FAILED,
    INTERRUPTED,
    Commands,
    accept_any_terminal,
    fail,
    finite,
    fold_list,
    parity_text,
    progress,
    result,
    show_epoch,
    show_step,
    watched,
)

FOLDER = click.Path(path_type=Path)
out_argument = click.argument("out", type=FOLDER)
force_option = click.option("--force", is_flag=True, help="Replace the output if it exists.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Source of all chance."
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="omi-keras")
def main() -> None:
    """Find occlusion myocardial infarction (OMI) in 12-lead ECGs.

    Research software, not a medical device.

    \b
    From recordings to a device:
      omi-keras prepare recordings/ --labels labels.csv dataset/
      omi-keras train dataset/ run/ --model ecg-smart-net
      omi-keras evaluate run/ report/
      omi-keras select run/ model/
      omi-keras export-tflite model/ bundle/ --dataset dataset/
      omi-keras predict bundle/ patient.hea

    Without recordings of your own, start with: omi-keras simulate dataset/
    """
    accept_any_terminal()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")


@main.command()
@out_argument
@click.option("--ecgs", type=int, default=10893, show_default=True, help="Number of ECGs.")
@click.option("--patients", type=int, default=7297, show_default=True, help="Number of patients.")
@click.option("--prevalence", type=float, default=0.066, show_default=True, help="Fraction of patients with OMI.")
@click.option(
    "--as", "kind", type=click.Choice(["dataset", "records"]), default="dataset", show_default=True,
    help="A dataset to train on, or WFDB recordings with labels.csv to prepare.",
)  # fmt: skip
@seed_option
@force_option
@json_option
def simulate(
    out: Path, ecgs: int, patients: int, prevalence: float, kind: str, seed: int, force: bool, as_json: bool
) -> None:
    """Simulate a cohort of chest-pain patients into folder OUT.

    The default has the size and shape of the paper's Table 3.

    \b
    Example:
      omi-keras simulate cohort/ --ecgs 2000 --patients 1400 --prevalence 0.2
    """
    from omi_keras.data.artifacts import new_folder, versions, write_json
    from omi_keras.data.prepare import prepare_cohort
    from omi_keras.simulate.cohort import simulate_cohort
    from omi_keras.simulate.records import write_records

    cohort = simulate_cohort(ecgs, patients, prevalence, seed)
    config = {"ecgs": ecgs, "patients": patients, "prevalence": prevalence, "seed": seed}
    with progress("simulating") as tick:
        if kind == "records":
            info = {"format_version": 1, "kind": "records", "simulated": True, "rejected": 0, "simulation": config}
            with new_folder(out, "simulation.json", force=force) as folder:
                info["ecgs"] = write_records(watched(cohort, tick, ecgs), folder)
                write_json(folder / "simulation.json", info | {"versions": versions()})
        else:
            info = prepare_cohort(cohort, out, config=config, force=force, tick=tick)
    result(info, as_json, f"{info['ecgs']} simulated ECGs in {out}, {info['rejected']} rejected")


@main.command()
@click.argument("records_dir", type=FOLDER)
@out_argument
@click.option("--labels", type=FOLDER, required=True, help="CSV with record, patient_id and the label column.")
@click.option("--label-column", default="omi", show_default=True, help="Column with 0 and 1.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Parallel processes.")
@force_option
@json_option
def prepare(
    records_dir: Path, out: Path, labels: Path, label_column: str, jobs: int, force: bool, as_json: bool
) -> None:
    """Turn recordings in RECORDS_DIR into a dataset of median beats in folder OUT.

    Reads WFDB, Philips, MUSE and HL7 XML, DICOM, SCP-ECG, EDF, MATLAB, CSV and NumPy files. Recordings that cannot
    be used are listed in OUT/rejected.csv with a reason and stop nothing. A record without a label is kept, and is
    not used to train or to judge.

    \b
    Example:
      omi-keras prepare recordings/ --labels recordings/labels.csv dataset/
    """
    from omi_keras.data.prepare import prepare_records

    with progress("preparing") as tick:
        info = prepare_records(records_dir, labels, out, label_column=label_column, jobs=jobs, force=force, tick=tick)
    text = [f"{info['ecgs']} ECGs of {info['patients']} patients in {out}, {info['omi']} with {label_column} = 1"]
    if info["unlabelled"]:
        text.append(f"{info['unlabelled']} of them have no label in column {label_column} and will not be used")
    if info["rejected"]:
        text.append(f"{info['rejected']} rejected, reasons in {out / 'rejected.csv'}")
    result(info, as_json, "\n".join(text))


@main.command()
@click.argument("dataset", type=FOLDER)
@click.argument("run", type=FOLDER)
@click.option("--model", type=click.Choice(["ecg-smart-net"]), default="ecg-smart-net", show_default=True)
@click.option("--folds", default="all", show_default=True, help="all, or test folds by number: 0,3")
@click.option("--n-folds", type=click.IntRange(3, 100), default=10, show_default=True, help="Folds to divide into.")
@click.option("--epochs", type=click.IntRange(1), default=100, show_default=True)
@click.option("--batch-size", type=click.IntRange(2), default=128, show_default=True)
@click.option(
    "--learning-rate",
    callback=finite,
    type=click.FloatRange(0, 10, min_open=True),
    help="Initial rate  [default: the paper's]",
)
@click.option(
    "--balance", type=click.Choice(["batch", "class"]), default="batch", show_default=True,
    help="batch: undersample within each batch, as the paper; class: full batches, half of them OMI.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Continue a run that was interrupted.")
@seed_option
@force_option
@json_option
@click.pass_context
def train(
    context: click.Context, dataset: Path, run: Path, model: str, folds: str, n_folds: int, epochs: int,
    batch_size: int, learning_rate: float | None, balance: Any, resume: bool, seed: int, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Cross-validate a model on DATASET into folder RUN, by the paper's protocol.

    Patient-grouped stratified folds; each is tested once, the next one validates, the others train. The epoch
    with the best validation score (2/3 AUC + 1/3 average precision) is kept. Progress is saved after every
    epoch: stop with Ctrl-C, continue with --resume.

    \b
    Example:
      omi-keras train dataset/ run/ --model ecg-smart-net --folds 0 --epochs 20 --learning-rate 1e-4
    """
    wanted = fold_list(folds)
    from omi_keras.data.artifacts import refuse_existing

    if not resume:
        refuse_existing(run, "config.json", force)
    from omi_keras.data.dataset import load_dataset
    from omi_keras.data.folds import most_folds

    data = load_dataset(dataset)
    ecgs = data.ecgs.iloc[data.labelled()]
    possible = most_folds(ecgs["omi"].to_numpy(int), ecgs["patient_id"].to_numpy(str), n_folds)
    if possible < n_folds:
        click.echo(f"only {possible} patients have the rarer label: {possible} folds instead of {n_folds}", err=True)
    from omi_keras.models.backend import load_backend
    from omi_keras.models.catalogue import LEARNING_RATES

    load_backend()
    from omi_keras.training.cross_validation import cross_validate
    from omi_keras.training.fit import Protocol

    protocol = Protocol(model, epochs, batch_size, learning_rate or LEARNING_RATES[model], balance, seed)
    try:
        results = cross_validate(
            data, run, protocol, folds=wanted, n_folds=possible, resume=resume, force=force,
            fold_starts=lambda fold: click.echo(f"fold {fold}", err=True),
            epoch_done=show_epoch, step_done=show_step,
        )  # fmt: skip
    except KeyboardInterrupt:
        fail(
            f"stopped; continue with the same command and --resume: omi-keras train {dataset} {run} ... --resume",
            INTERRUPTED,
        )
    mark = " (simulated)" if data.simulated else ""
    text = [
        f"fold {fold}{mark}: validation AUC {m['validation']['auc']:.3f}, AP {m['validation']['ap']:.3f}; "
        f"test AUC {m['test']['auc']:.3f}, AP {m['test']['ap']:.3f}; best epoch {m['best_epoch']}"
        for fold, m in results.items()
    ]
    result({"run": str(run), "simulated": data.simulated, "folds": results}, as_json, "\n".join(text))


@main.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUN [RUN ...]")
@out_argument
@seed_option
@force_option
@json_option
def evaluate(runs: tuple[Path, ...], out: Path, seed: int, force: bool, as_json: bool) -> None:
    """Judge one or more RUNs: Tables 4 and 5, Figures 5 and 6 of the paper, in folder OUT.

    \b
    Example:
      omi-keras evaluate run/ report/
    """
    from omi_keras.report import write_report

    content = write_report(list(runs), out, seed=seed, force=force)
    text = content.pop("text")
    result(content, as_json, f"{text['table4']}\n\n{text['table5']}\n\nfigures in {out / 'figures'}")


@main.command()
@click.argument("run", type=FOLDER)
@out_argument
@click.option(
    "--by", type=click.Choice(["validation", "test"]), default="validation", show_default=True,
    help="Score that chooses the fold; the paper chose by test, which is optimistic.",
)  # fmt: skip
@force_option
@json_option
def select(run: Path, out: Path, by: Any, force: bool, as_json: bool) -> None:
    """Take the best fold's model out of RUN into a model folder OUT.

    \b
    Example:
      omi-keras select run/ model/
    """
    from omi_keras.training.select import select_model

    info = select_model(run, out, by=by, force=force)
    result(info, as_json, f"{info['model']} of fold {info['fold']} in {out}, threshold {info['threshold']:.4f}")


@main.command("export-tflite")
@click.argument("model", type=FOLDER)
@out_argument
@click.option("--dataset", type=FOLDER, required=True, help="The dataset that the model was trained on.")
@click.option(
    "--quantize",
    type=click.Choice(["float32", "float16", "dynamic", "int8"]),
    default="int8",
    show_default=True,
)
@seed_option
@force_option
@json_option
def export_tflite(model: Path, out: Path, dataset: Path, quantize: Any, seed: int, force: bool, as_json: bool) -> None:
    """Turn a MODEL folder into a bundle OUT for a device.

    The bundle is written only if it passes the parity gate: its probabilities and decisions are those of the
    trained model on the validation and test ECGs. Exit code 1 when it does not. int8 leaves more layers in float
    when it has to; manifest.json says which.

    \b
    Example:
      omi-keras export-tflite model/ bundle/ --dataset dataset/ --quantize int8
    """
    from omi_keras.data.artifacts import refuse_existing
    from omi_keras.data.dataset import load_dataset
    from omi_keras.models.backend import load_backend
    from omi_keras.models.folder import load_model_folder

    refuse_existing(out, "manifest.json", force)
    data = load_dataset(dataset)
    load_backend()
    from edge.export import ParityError, export_bundle

    def more_in_float(candidate: Any, failures: list[str]) -> None:
        click.echo(f"int8 with {', '.join(candidate.float_layers)} in float: {'; '.join(failures)}", err=True)

    folder = load_model_folder(model)
    options = {"quantization": quantize, "seed": seed, "force": force, "refused": more_in_float}
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


@main.command("check-parity")
@click.argument("bundle", type=FOLDER)
@click.option("--dataset", type=FOLDER, help="Judge on this dataset too, with --model.")
@click.option("--model", type=FOLDER, help="The model folder that the bundle was made from, with --dataset.")
@json_option
def check_parity(bundle: Path, dataset: Path | None, model: Path | None, as_json: bool) -> None:
    """Prove that BUNDLE still computes what the trained model computed. Exit code 1 when it does not.

    Replays the beats in the bundle; with --dataset and --model, the whole gate of the export again.

    \b
    Example:
      omi-keras check-parity bundle/
    """
    from edge.parity import BundleError, replay

    if (dataset is None) != (model is None):
        raise click.UsageError("--dataset and --model go together")
    if not (bundle / "manifest.json").is_file():
        raise InputError(f"{bundle} is not a bundle: it has no manifest.json", "not_found")
    try:
        found = replay(bundle)
    except BundleError as error:
        fail(str(error), CHECK_FAILED)
    seen = {"bundled": found["against_model"]}
    if dataset and model:
        from omi_keras.models.backend import load_backend

        load_backend()
        from edge.export import check_bundle
        from omi_keras.data.dataset import load_dataset
        from omi_keras.models.folder import load_model_folder

        found["gate"] = check_bundle(bundle, load_model_folder(model), load_dataset(dataset))
        found["failures"] += found["gate"]["failures"]
        found["passed"] = not found["failures"]
        seen["validation_and_test"] = found["gate"]
    verdict = "parity: passed" if found["passed"] else "parity: failed"
    result(found, as_json, "\n".join([parity_text(seen, found["simulated"]), *found["failures"], verdict]))
    if not found["passed"]:
        raise SystemExit(CHECK_FAILED)


@main.command()
@click.argument("model_or_bundle", type=FOLDER)
@click.argument("files", type=FOLDER, nargs=-1, required=True, metavar="FILE [FILE ...]")
@json_option
def predict(model_or_bundle: Path, files: tuple[Path, ...], as_json: bool) -> None:
    """Judge ECG FILEs with a bundle or a model folder: probability, decision at the operating point, quality.

    A file that cannot be judged gets a sentence instead, the others are judged, and the exit code is 2.

    \b
    Example:
      omi-keras predict bundle/ patient1.hea patient2.hea --json
    """
    from omi_keras.predict import open_detector

    detect = open_detector(model_or_bundle)
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
