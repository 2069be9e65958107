"""omi-keras validate as a user calls it: a model and its bundle, what they know, and what is refused."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers import run_cli

import omi_keras as omi
from edge.detector import Detector
from edge.verified import load
from omi_keras.data.artifacts import sha256
from omi_keras.data.beat_sums import beat_sums, unpacked


@pytest.fixture(scope="module")
def elsewhere(easy_dataset, tmp_path_factory):
    """28 ECGs of the easy kind under other names and of other patients, which are no copies; a reader's statement."""
    data = omi.load_dataset(easy_dataset)
    rows = np.arange(60, 88)  # fewer than a batch: none compiles
    rng = np.random.default_rng(0)
    beats = data.beats[rows] * 1.1 + rng.normal(0, 0.01, (28, 12, 600)).astype(np.float32)
    part = data.ecgs.iloc[rows]
    other = omi.Dataset.from_arrays(
        beats, part["omi"].astype(int), "b-" + part["patient_id"], simulated=True, ecg_id="b-" + part["ecg_id"],
        site=part["site"], age=part["age"], sex=part["sex"], reader=(rng.random(28) < 0.5).astype(int).astype(str),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("elsewhere") / "dataset"
    other.save(folder)
    return folder


def renamed(data, folder, rows, *, ecg_id="other-", patient_id="other-", factor=1.0):
    """A dataset of some ECGs of another, with other ids where a prefix is given."""
    part = data.ecgs.iloc[rows]
    omi.Dataset.from_arrays(
        data.beats[rows] * np.float32(factor), part["omi"].astype(int), patient_id + part["patient_id"], simulated=True,
        ecg_id=ecg_id + part["ecg_id"],
    ).save(folder)  # fmt: skip
    return folder


def trained_rows(model_folder, data):
    model = omi.load_model(model_folder)
    known = model.folds.loc[model.folds["fold"] != model.info["test_fold"], "ecg_id"]
    return np.flatnonzero(data.ecgs["ecg_id"].isin(known))


def test_a_model_remembers_its_beats_and_its_bundle_those_that_made_it(model_folder, int8_bundle, easy_dataset):
    data, model = omi.load_dataset(easy_dataset), omi.load_model(model_folder)
    of_all = dict(zip(data.ecgs["ecg_id"], beat_sums(data.beats), strict=True))
    assert model.folds.set_index("ecg_id")["beat"].to_dict() == of_all
    manifest = load(int8_bundle)[0]
    known = {of_all[name] for name in data.ecgs["ecg_id"].to_numpy()[trained_rows(model_folder, data)]}
    assert unpacked(manifest["seen_beats"]["model"]) == known
    calibrated = {of_all[name] for name in manifest["calibration"]}
    assert unpacked(manifest["seen_beats"]["calibration"]) == calibrated <= known
    # Hashes only: no id of a patient leaves with a bundle.
    assert not re.search(r"sim-p\d", (int8_bundle / "manifest.json").read_text(encoding="utf-8"))


def test_a_bundle_next_to_its_model(model_folder, int8_bundle, elsewhere, tmp_path):
    out = tmp_path / "out"
    done = run_cli(
        "validate", model_folder, int8_bundle, out, "--dataset", elsewhere, "--comparator", "reader", "--json"
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    names = ["ecg-smart-net", "ecg-smart-net int8"]
    assert [row["model"] for row in told["metrics"]] == names
    table = pd.read_csv(out / "predictions.csv").set_index(["model", "ecg_id"])
    data, detector = omi.load_dataset(elsewhere), Detector(int8_bundle)
    model = omi.load_model(model_folder)
    of_model = dict(zip(data.ecgs["ecg_id"], model.probability(data.beats), strict=True))
    for row, name in enumerate(data.ecgs["ecg_id"]):
        found = table.loc[(names[0], name)]
        assert found["probability"] == of_model[name]
        assert found["decision"] == (of_model[name] >= model.threshold)
        found, said = table.loc[(names[1], name)], detector.detect_beat(data.beats[row])
        assert found["probability"] == said.probability
        assert found["decision"] == said.decision
    assert {model["source"]["SHA-256"] for model in told["models"]} == {
        sha256(model_folder / "model.keras"),
        load(int8_bundle)[0]["manifest_sha256"],
    }
    again = run_cli("validate", model_folder, int8_bundle, out, "--dataset", elsewhere)
    assert again.exit_code == 2 and "exists already" in again.stderr
    only = run_cli("validate", int8_bundle, out, "--dataset", elsewhere, "--force", "--first-ecg-only")
    assert only.exit_code == 0 and "One ECG of each patient" in only.stderr
    patients = pd.read_csv(out / "predictions.csv")["patient_id"]
    assert patients.is_unique and set(patients) == set(data.ecgs["patient_id"])


@pytest.mark.parametrize(
    ("sign", "how", "count"),
    [
        ("their median beat", {}, 8),
        ("ecg_id", {"ecg_id": "", "factor": 1.1}, 8),
        ("patient", {"patient_id": "", "factor": 1.1}, 8),
    ],
)
def test_what_made_the_model_is_refused(sign, how, count, model_folder, easy_dataset, tmp_path):
    data = omi.load_dataset(easy_dataset)
    rows = trained_rows(model_folder, data)[:8]
    folder = renamed(data, tmp_path / "data", rows, **how)
    done = run_cli("validate", model_folder, tmp_path / "out", "--dataset", folder)
    assert done.exit_code == 2 and not (tmp_path / "out").exists()
    assert f"was trained or validated on 8 (8 by {sign}) of the 8 labelled ECGs" in done.stderr
    assert done.stderr.count("\n") == 1
    other = run_cli("validate", model_folder, tmp_path / "out", "--dataset", folder, "--other-patients")
    assert other.exit_code == (2 if sign == "their median beat" else 0), other.output


def test_a_bundle_knows_beats_by_any_name(int8_bundle, model_folder, easy_dataset, tmp_path):
    data = omi.load_dataset(easy_dataset)
    rows = trained_rows(model_folder, data)[:8]
    folder = renamed(data, tmp_path / "data", rows, factor=1.0000001)
    done = run_cli("validate", int8_bundle, tmp_path / "out", "--dataset", folder, "--other-patients")
    assert done.exit_code == 2 and "8 (8 by their median beat) of the 8" in done.stderr


def test_without_what_is_known_the_test_fold_is_left(model_folder, easy_dataset, tmp_path):
    refused = run_cli("validate", model_folder, tmp_path / "out", "--dataset", easy_dataset)
    assert refused.exit_code == 2
    assert "is the dataset that it was made of, whose test folds omi-keras evaluate judges" in refused.stderr
    done = run_cli("validate", model_folder, tmp_path / "out", "--dataset", easy_dataset, "--without-known")
    assert done.exit_code == 0, done.output
    model = omi.load_model(model_folder)
    test = model.folds.loc[model.folds["fold"] == model.info["test_fold"], "ecg_id"]
    assert set(pd.read_csv(tmp_path / "out" / "predictions.csv")["ecg_id"]) == set(test)
    assert f"{160 - len(test)} ECGs that a model was trained or validated on are left out" in done.stderr
    assert "are left out: ecg-smart-net" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    # What was found with its run is found again.
    row = pd.read_csv(tmp_path / "out" / "metrics.csv").iloc[0]
    assert row["auc"] == pytest.approx(model.info["metrics"]["test"]["auc"], abs=1e-9)


def test_a_model_from_before_there_were_sums(model_folder, elsewhere, easy_dataset, tmp_path):
    old = omi.load_model(model_folder)
    old.folds = old.folds.drop(columns="beat")
    old.save(tmp_path / "old")
    done = run_cli("validate", tmp_path / "old", tmp_path / "out", "--dataset", elsewhere)
    assert done.exit_code == 0 and "does not know all the ECGs that it was made with by their beats" in done.stderr
    by_id = run_cli("validate", tmp_path / "old", tmp_path / "again", "--dataset", easy_dataset)
    assert by_id.exit_code == 2 and " by ecg_id) of the 160" in by_id.stderr


def test_sums_that_are_none_are_refused(model_folder, elsewhere, tmp_path):
    bad = omi.load_model(model_folder)
    bad.folds = bad.folds.assign(beat="not a checksum")
    bad.save(tmp_path / "bad")
    done = run_cli("validate", tmp_path / "bad", tmp_path / "out", "--dataset", elsewhere)
    assert done.exit_code == 2 and "beat must be a checksum" in done.stderr


def test_a_run_without_its_dataset_gives_a_model_that_says_so(trained_run, tmp_path):
    shutil.copytree(trained_run, tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    moved = json.loads(config.read_text(encoding="utf-8")) | {"dataset": "/nowhere", "dataset_from_run": "../nowhere"}
    config.write_text(json.dumps(moved), encoding="utf-8")
    done = run_cli("select", tmp_path / "run", tmp_path / "model")
    assert done.exit_code == 0 and "cannot know its ECGs again" in done.stderr
    assert "beat" not in pd.read_csv(tmp_path / "model" / "folds.csv")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--comparator", "nobody"), "the dataset has no column nobody"),
        (("--comparator", "age"), "column age must be 1 where it says OMI"),
        (("--comparator", "omi"), "omi is the label"),
        (("--comparator", ""), "the dataset has no column '';"),
    ],
)
def test_hostile_comparators(options, sentence, model_folder, elsewhere, tmp_path):
    done = run_cli("validate", model_folder, tmp_path / "out", "--dataset", elsewhere, *options)
    assert done.exit_code == 2 and sentence in done.stderr, done.output
    assert done.stderr.count("\n") == 1 and not (tmp_path / "out").exists()


def test_what_is_no_model_no_dataset_or_given_twice(model_folder, elsewhere, tmp_path):
    for arguments, sentence in (
        ((elsewhere, tmp_path / "out", "--dataset", elsewhere), "neither a model folder"),
        ((tmp_path / "gone", tmp_path / "out", "--dataset", elsewhere), "neither a model folder"),
        ((model_folder, tmp_path / "out", "--dataset", model_folder), "is not a dataset"),
        ((model_folder, model_folder, tmp_path / "out", "--dataset", elsewhere), "given twice"),
    ):
        done = run_cli("validate", *arguments)
        assert done.exit_code == 2 and sentence in done.stderr, done.output
        assert not (tmp_path / "out").exists()
    inside = tmp_path / "validation"
    inside.mkdir()
    (inside / "report.json").write_text('{"kind": "validation"}', encoding="utf-8")
    done = run_cli("validate", model_folder, inside, "--dataset", inside / "dataset", "--force")
    assert done.exit_code == 2 and "would be deleted with it" in done.stderr
