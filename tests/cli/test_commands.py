"""The command line as its users call it: the whole way, refusals in one sentence, output for programs."""

import csv
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers import run_cli

from omi_keras.cli import main
from omi_keras.data.dataset import load_dataset
from omi_keras.data.foreign import foreign_files
from omi_keras.simulate.cohort import simulate_cohort
from omi_keras.simulate.records import write_records

COMMANDS = (
    "simulate", "plot", "prepare", "train", "search-lr", "learning-curve", "evaluate", "select", "validate",
    "recalibrate", "saliency", "export-tflite", "check-parity", "predict", "import-torch",
)  # fmt: skip


def refused(result, code=2):
    """The one sentence of a refused command."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    sentences = [line for line in result.stderr.splitlines() if line.startswith("omi-keras: ")]
    assert len(sentences) == 1, result.stderr
    return sentences[0]


def test_every_command_is_there_and_teaches():
    assert set(main.commands) == set(COMMANDS)
    for command in COMMANDS:
        text = run_cli(command, "--help").output
        assert "Example" in text
        assert f"omi-keras {command} " in text
        assert "--json" in text


def test_the_run_folder(trained_run, easy_dataset):
    config = json.loads((trained_run / "config.json").read_text(encoding="utf-8"))
    assert (config["model"], config["seed"], config["balance"], config["simulated"]) == (
        "ecg-smart-net", 0, "batch", True,
    )  # fmt: skip
    assert config["dataset_sha256"] == load_dataset(easy_dataset).fingerprint()
    folds = pd.read_csv(trained_run / "folds.csv")
    assert list(folds.columns) == ["ecg_id", "patient_id", "fold"]
    assert folds.groupby("patient_id")["fold"].nunique().max() == 1
    fold = trained_run / "fold-00"
    assert {path.name for path in fold.iterdir()} == {
        "model.keras", "history.csv", "predictions.csv", "metrics.json",
    }  # fmt: skip
    history = pd.read_csv(fold / "history.csv")
    assert list(history.columns) == ["epoch", "loss", "val_loss", "val_auc", "val_ap", "val_score", "learning_rate"]
    metrics = json.loads((fold / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["best_epoch"] == history.loc[history["val_score"].idxmax(), "epoch"]
    predictions = pd.read_csv(fold / "predictions.csv")
    assert list(predictions.columns) == ["ecg_id", "split", "omi", "probability"]
    of = folds.set_index("ecg_id")["fold"]
    assert set(of[predictions.loc[predictions["split"] == "test", "ecg_id"]]) == {0}
    assert set(of[predictions.loc[predictions["split"] == "validation", "ecg_id"]]) == {1}
    assert metrics["test"]["auc"] > 0.9, "OMI is easy to see in this dataset"


def test_metrics_are_those_of_the_predictions(trained_run):
    from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

    metrics = json.loads((trained_run / "fold-00" / "metrics.json").read_text(encoding="utf-8"))
    predictions = pd.read_csv(trained_run / "fold-00" / "predictions.csv")
    for split in ("validation", "test"):
        part = predictions[predictions["split"] == split]
        auc, ap = (
            roc_auc_score(part["omi"], part["probability"]),
            average_precision_score(part["omi"], part["probability"]),
        )
        assert metrics[split]["auc"] == pytest.approx(auc)
        assert metrics[split]["score"] == pytest.approx(2 / 3 * auc + 1 / 3 * ap)
        f1 = f1_score(part["omi"], part["probability"] >= metrics["threshold"])
        assert metrics[split]["f1"] == pytest.approx(f1)
        if split == "validation":
            assert f1 == max(f1_score(part["omi"], part["probability"] >= t) for t in part["probability"])


def test_evaluate(trained_run, tmp_path):
    result = run_cli("evaluate", trained_run, tmp_path / "report")
    assert result.exit_code == 0
    assert "SIMULATED" in result.stdout
    table4 = pd.read_csv(tmp_path / "report" / "table4.csv")
    metrics = json.loads((trained_run / "fold-00" / "metrics.json").read_text(encoding="utf-8"))
    assert table4.loc[0, "test_auc_mean"] == pytest.approx(metrics["test"]["auc"])
    assert table4.loc[0, "folds"] == 1
    assert bool(table4.loc[0, "simulated"])
    table5 = pd.read_csv(tmp_path / "report" / "table5.csv").set_index("split")
    assert table5.loc["test", "f1"] == pytest.approx(metrics["test"]["f1"])
    assert table5.loc["test", "auc_lo"] <= table5.loc["test", "auc"] <= table5.loc["test", "auc_hi"]
    for name in ("figure5.png", "figure6.png"):
        assert (tmp_path / "report" / "figures" / name).read_bytes().startswith(b"\x89PNG")
    content = json.loads(run_cli("evaluate", trained_run, tmp_path / "again", "--json").stdout)
    assert content["selected"] == {
        "model": "ecg-smart-net", "fold": 0, "by": "validation", "threshold": metrics["threshold"],
    }  # fmt: skip


def test_evaluate_twice_the_same_model_is_refused(trained_run, tmp_path):
    assert "same model" in refused(run_cli("evaluate", trained_run, trained_run, tmp_path / "report"))


def test_select_by_test_and_by_validation(trained_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    shutil.copytree(run / "fold-00", run / "fold-01")
    path = run / "fold-01" / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    metrics["test"]["score"] += 1
    metrics["validation"]["score"] -= 1
    path.write_text(json.dumps(metrics), encoding="utf-8")
    for by, fold in (("validation", 0), ("test", 1)):
        info = json.loads(run_cli("select", run, tmp_path / by, "--by", by, "--json").stdout)
        assert info["fold"] == fold
        model = json.loads((tmp_path / by / "model.json").read_text(encoding="utf-8"))
        assert (model["test_fold"], model["validation_fold"]) == (fold, fold + 1)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    write_records(simulate_cohort(3, 3, 0.4, seed=21), folder)
    return folder


def test_predict_with_bundle_and_with_model_folder(int8_bundle, model_folder, recordings):
    files = sorted(recordings.glob("*.hea"))
    found = {}
    for name, path in (("bundle", int8_bundle), ("model", model_folder)):
        result = run_cli("predict", path, *files, "--json")
        assert result.exit_code == 0
        found[name] = json.loads(result.stdout)
        assert run_cli("predict", path, recordings, "--json").stdout == result.stdout, "labels.csv beside them is none"
        assert [set(row) for row in found[name]] == [
            {"file", "ecg_id", "probability", "decision", "threshold", "band", "quality"}
        ] * 3
    for a, b in zip(found["bundle"], found["model"], strict=True):
        assert a["probability"] == pytest.approx(b["probability"], abs=0.1)
    text = run_cli("predict", int8_bundle, files[0]).stdout
    assert "P(OMI)" in text
    assert "quality" in text


def test_predict_judges_the_other_files(int8_bundle, recordings, tmp_path):
    good = sorted(recordings.glob("*.hea"))[0]
    broken = tmp_path / "broken.hea"
    broken.write_text("", encoding="utf-8")
    result = run_cli("predict", int8_bundle, broken, good, tmp_path / "absent.hea", "--json")
    assert result.exit_code == 2
    rows = json.loads(result.stdout)
    assert [set(row) == {"file", "error"} for row in rows] == [True, False, True]
    assert "broken.hea" in rows[0]["error"]
    assert "absent.hea" in rows[2]["error"]


def test_prepare_then_train_refuses_what_cannot_be_learned(recordings, tmp_path):
    out = tmp_path / "dataset"
    assert run_cli("prepare", recordings, out, "--labels", recordings / "labels.csv").exit_code == 0
    sentence = refused(run_cli("train", out, tmp_path / "run"))
    assert "one class is too small" in sentence
    assert not (tmp_path / "run").exists()


def test_wrong_paths(tmp_path, easy_dataset, trained_run):
    missing = tmp_path / "missing"
    assert "not a dataset" in refused(run_cli("train", missing, tmp_path / "a"))
    assert "not a run" in refused(run_cli("evaluate", missing, tmp_path / "b"))
    assert "not a run" in refused(run_cli("select", easy_dataset, tmp_path / "c"))
    assert "not a model folder" in refused(
        run_cli("export-tflite", trained_run, tmp_path / "d", "--dataset", easy_dataset)
    )
    assert "neither a bundle" in refused(run_cli("predict", missing, "x.hea"))
    assert "not a bundle" in refused(run_cli("check-parity", missing))
    assert "not found" in refused(run_cli("prepare", tmp_path, tmp_path / "e", "--labels", missing))
    assert list(tmp_path.iterdir()) == [], "a refused command leaves nothing"


def test_wrong_options(easy_dataset, tmp_path):
    for options in (
        ["--folds", "x"],
        ["--seed", "4294967296"],
        ["--learning-rate", "nan"],
        ["--epochs", "0"],
        ["--model", "vgg"],
        ["--balance", "some"],
    ):
        assert run_cli("train", easy_dataset, tmp_path / "run", *options).exit_code == 2
    assert "fold 12 does not exist" in refused(run_cli("train", easy_dataset, tmp_path / "run", "--folds", "12"))
    assert "patients" in refused(run_cli("simulate", tmp_path / "s", "--ecgs", 5, "--patients", 10))
    assert list(tmp_path.iterdir()) == []


def test_outputs_are_never_overwritten_silently(trained_run, model_folder, easy_dataset, int8_bundle):
    calls = (
        ["simulate", easy_dataset],
        ["train", easy_dataset, trained_run],
        ["evaluate", trained_run, model_folder],
        ["select", trained_run, model_folder],
        ["export-tflite", model_folder, int8_bundle, "--dataset", easy_dataset],
    )
    for call in calls:
        assert "exists already" in refused(run_cli(*call))


def test_force_replaces_what_it_made(tmp_path):
    for kind in ("dataset", "records"):
        for seed in (1, 2):
            call = ["simulate", tmp_path / kind, "--ecgs", 4, "--patients", 4, "--as", kind, "--seed", seed]
            assert run_cli(*call, "--force").exit_code == 0
    assert "--force will not replace it" in refused(run_cli(*call[:1], tmp_path / "dataset", *call[2:], "--force"))


def test_nothing_that_a_command_makes_passes_for_somebodys(
    easy_dataset, trained_run, model_folder, small_bundle, tmp_path
):
    """Or --force would refuse its own output."""
    assert run_cli("simulate", tmp_path / "sim", "--ecgs", 4, "--patients", 4, "--true-beats").exit_code == 0
    records = ("simulate", tmp_path / "records", "--ecgs", 4, "--patients", 4, "--as", "records", "--true-beats")
    assert run_cli(*records).exit_code == 0
    assert run_cli("evaluate", trained_run, tmp_path / "report").exit_code == 0
    assert run_cli("saliency", model_folder, easy_dataset, tmp_path / "saliency").exit_code == 0
    made = {
        "dataset.json": (easy_dataset, tmp_path / "sim"),
        "simulation.json": (tmp_path / "records",),
        "config.json": (trained_run,),
        "report.json": (tmp_path / "report",),
        "model.json": (model_folder,),
        "manifest.json": (small_bundle,),
        "saliency.json": (tmp_path / "saliency",),
    }
    for marker, folders in made.items():
        for folder in folders:
            assert (folder / marker).is_file()
            assert foreign_files(folder, marker) == []
            assert foreign_files(folder.parent, marker) != []


@pytest.mark.parametrize("option", ["", "--force", "--resume"])
def test_an_output_that_is_a_link_to_itself(easy_dataset, tmp_path, option):
    """Python's own Path.resolve makes a RuntimeError of it."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    options = [option] if option else []
    call = ["train", easy_dataset, loop, "--model", "random-forest", "--n-folds", 5, *options]
    assert "loop" in refused(run_cli(*call))
    if option != "--resume":
        assert "loop" in refused(run_cli("simulate", loop, "--ecgs", 4, "--patients", 4, *options))
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_the_current_folder_is_never_replaced(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for out in (".", "..", tmp_path):
        assert "current folder" in refused(run_cli("simulate", out, "--ecgs", 4, "--patients", 4, "--force"))
    assert (tmp_path / "here").is_dir()


def test_a_damaged_checkpoint_is_named(easy_dataset, tmp_path):
    call = ["train", easy_dataset, tmp_path / "run", "--folds", 0, "--n-folds", 5, "--epochs", 1, "--resume"]
    from omi_keras.training import cross_validation

    def nothing(*arguments):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_validation, "train_fold", nothing)
        assert "--resume" in refused(run_cli(*call), code=130)
    partial = tmp_path / "run" / ".fold-00.partial"
    partial.mkdir()
    (partial / "checkpoint.npz").write_bytes(b"junk")
    assert "checkpoint.npz is not a checkpoint" in refused(run_cli(*call))


def test_force_does_not_replace_other_folders(easy_dataset, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("text", encoding="utf-8")
    sentence = refused(run_cli("train", easy_dataset, precious, "--folds", "0", "--force"))
    assert "--force will not replace it" in sentence
    assert (precious / "thesis.txt").exists()


def test_resume_wants_the_same_settings(trained_run, easy_dataset):
    sentence = refused(run_cli("train", easy_dataset, trained_run, "--folds", 0, "--n-folds", 5, "--resume"))
    assert "was started with epochs 2, not 100" in sentence


def test_resume_of_a_finished_run_reports_it(trained_run, easy_dataset):
    result = run_cli(
        "train", easy_dataset, trained_run, "--folds", 0, "--n-folds", 5, "--epochs", 2, "--batch-size", 16,
        "--learning-rate", 1e-3, "--resume", "--json",
    )  # fmt: skip
    assert result.exit_code == 0
    metrics = json.loads((trained_run / "fold-00" / "metrics.json").read_text(encoding="utf-8"))
    assert json.loads(result.stdout)["folds"]["0"] == metrics


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("config.json", b"\xff\x00junk", "cannot be read"),
        ("config.json", b"[]", "no format_version"),
        ("config.json", b'{"format_version": 1}', "lacks a good value of model, simulated"),
        ("config.json", b'{"format_version": 3}', "install a newer omi-keras"),
        ("config.json", b'{"format_version": true}', "no format_version"),
        ("folds.csv", b"ecg_id,patient_id,fold\na,p,0\na,p,1\n", "names an ECG twice"),
        ("folds.csv", b"a,b\n1,2\n", "lacks the column ecg_id"),
        ("fold-00/metrics.json", b'{"format_version": 1}', "lacks a good value of validation.score"),
        ("fold-00/history.csv", b"", "not readable"),
        ("fold-00/predictions.csv", b"ecg_id,split,omi,probability\na,test,x,0.5\n", "omi must be 0 or 1, found 'x'"),
    ],
)
def test_a_damaged_run_is_refused(trained_run, tmp_path, file, content, sentence):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    (run / file).write_bytes(content)
    assert sentence in refused(run_cli("evaluate", run, tmp_path / "report"))
    assert not (tmp_path / "report").exists()


def test_an_altered_model_is_refused(model_folder, recordings, tmp_path):
    altered = tmp_path / "model"
    shutil.copytree(model_folder, altered)
    with (altered / "model.keras").open("r+b") as file:
        file.seek(-100, 2)
        file.write(b"\0" * 100)
    assert "altered" in refused(run_cli("predict", altered, *recordings.glob("*.hea")))


def test_check_parity_fails_with_1_on_an_altered_bundle(int8_bundle, tmp_path):
    altered = tmp_path / "bundle"
    shutil.copytree(int8_bundle, altered)
    with (altered / "model.tflite").open("r+b") as file:
        file.seek(1_000_000)
        file.write(bytes([255 - file.read(1)[0]]))
    assert "model.tflite was altered" in refused(run_cli("check-parity", altered), code=1)


def test_simulate_is_deterministic_and_says_simulated(tmp_path):
    for name in ("a", "b"):
        assert run_cli("simulate", tmp_path / name, "--ecgs", 12, "--patients", 9, "--seed", 7).exit_code == 0
    for name in ("beats.npy", "ecgs.csv", "rejected.csv", "dataset.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert json.loads((tmp_path / "a" / "dataset.json").read_text(encoding="utf-8"))["simulated"] is True
    with (tmp_path / "a" / "ecgs.csv").open(encoding="utf-8") as file:
        assert {row["simulated"] for row in csv.DictReader(file)} == {"true"}
    other = run_cli("simulate", tmp_path / "c", "--ecgs", 12, "--patients", 9, "--seed", 8)
    assert other.exit_code == 0
    assert (load_dataset(tmp_path / "a").beats != load_dataset(tmp_path / "c").beats).any()


@pytest.mark.slow
def test_training_twice_gives_the_same_run(easy_dataset, tmp_path):
    for name in ("a", "b"):
        result = run_cli(
            "train", easy_dataset, tmp_path / name, "--folds", 0, "--n-folds", 5, "--epochs", 2, "--batch-size", 16,
            "--learning-rate", 1e-3,
        )  # fmt: skip
        assert result.exit_code == 0
    for name in ("folds.csv", "fold-00/history.csv", "fold-00/predictions.csv", "fold-00/metrics.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_real_recordings(shared, int8_bundle, tmp_path):
    ecg = shared / "ecg"
    result = run_cli("prepare", ecg, tmp_path / "real", "--labels", ecg / "labels.csv", "--label-column", "mi")
    assert result.exit_code == 0, result.output
    dataset = load_dataset(tmp_path / "real")
    labels = pd.read_csv(ecg / "labels.csv", dtype=str, keep_default_na=False).set_index("record")
    rejected = pd.read_csv(tmp_path / "real" / "rejected.csv").set_index("record")
    assert set(dataset.ecgs["ecg_id"]) == set(labels.index) - {"wfdb_cinc2021/JS20008"}
    assert rejected["reason"].to_dict() == {"wfdb_cinc2021/JS20008": "flat_leads"}
    assert rejected["message"].str.len().min() > 20
    assert not dataset.simulated
    expected = labels.loc[dataset.ecgs["ecg_id"], "mi"].to_numpy()
    assert ["" if pd.isna(omi) else str(omi) for omi in dataset.ecgs["omi"]] == list(expected)
    assert np.isfinite(dataset.beats).all()

    result = run_cli("predict", int8_bundle, *(ecg / "wfdb_ptbdb").glob("*.hea"))
    assert result.exit_code == 0
    assert "P(OMI)" in result.stdout
