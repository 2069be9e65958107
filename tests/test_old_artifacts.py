"""What older versions wrote still opens: tests/artifacts/VERSION holds one of each kind, and says how it was made."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import run_cli

from edge import Detector
from edge.verified import load, parity_set
from omi_keras.data.beat_sums import beat_sums
from omi_keras.data.dataset import Dataset, load_dataset
from omi_keras.measures.features import FEATURES, MEASURES, beat_features
from omi_keras.model import load_model
from omi_keras.models.catalogue import build
from omi_keras.recordings.errors import InputError
from omi_keras.training.optimizer import TorchAdam
from omi_keras.training.run import load_run

ARTIFACTS = Path(__file__).resolve().parent / "artifacts"
NETWORK = ("--model", "mayo-alvd", "--n-folds", 3, "--folds", 0, "--epochs", 2, "--learning-rate", 0.03)
FOREST = ("--model", "random-forest", "--n-folds", 3, "--folds", 0)
TRAINED = {"run": (*NETWORK, "--batch-size", 10), "forest-run": FOREST}
MODELS = {"run": "model", "forest-run": "forest-model"}


@pytest.fixture(scope="module", params=sorted(path.name for path in ARTIFACTS.iterdir() if path.is_dir()))
def version(request):
    return ARTIFACTS / request.param


@pytest.fixture(scope="module")
def old(version, tmp_path_factory):
    """The folders of a version, which no test changes."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(version / "artifacts.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def copy(old, tmp_path):
    """The same, to be changed."""
    return Path(shutil.copytree(old, tmp_path / "copy"))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_dataset(old):
    dataset = load_dataset(old / "dataset")
    assert dataset.simulated
    assert dataset.beats.shape == (len(dataset.ecgs), 12, 600)
    assert dataset.ecgs["ecg_id"].tolist() == [f"sim-{number:06d}" for number in range(10)]
    assert (
        dataset.fingerprint() == json.loads((old / "run" / "config.json").read_text(encoding="utf-8"))["dataset_sha256"]
    )


def test_a_network_says_what_it_said(old):
    model, dataset = load_model(old / "model"), load_dataset(old / "dataset")
    predictions = load_run(old / "run").results[0].predictions
    rows = dataset.ecgs.reset_index().set_index("ecg_id").loc[predictions["ecg_id"], "index"].to_numpy(int)
    stored = predictions["probability"].to_numpy(float)
    assert np.ptp(stored) > 1e-3, "ECGs taken for one another would not be noticed"
    np.testing.assert_allclose(model.probability(dataset.beats[rows]), stored, atol=1e-5)


@pytest.mark.parametrize("run", MODELS)
def test_a_run_gives_its_model(run, old, tmp_path):
    done = run_cli("select", old / run, tmp_path / "model")
    assert done.exit_code == 0, done.output
    found, stored = (
        json.loads((folder / "model.json").read_text(encoding="utf-8"))
        for folder in (tmp_path / "model", old / MODELS[run])
    )
    # What a later version has to tell may come to it.
    for part in (lambda info: info, lambda info: info["metrics"]["test"], lambda info: info["provenance"]):
        new, was = part(found), part(stored)
        told = set(was) - {"versions", "metrics", "format_version", "input", "sha256"}
        assert {name: new.get(name) for name in told} == {name: was[name] for name in told}
    assert contents(tmp_path / "model").keys() == {*contents(old / MODELS[run]), "MODEL_CARD.md"}
    weights = next(name for name in stored["sha256"] if name != "folds.csv")
    assert found["sha256"][weights] == stored["sha256"][weights]
    folds, were = (pd.read_csv(folder / "folds.csv", dtype=str) for folder in (tmp_path / "model", old / MODELS[run]))
    assert folds.drop(columns="beat").equals(were)
    assert folds["beat"].tolist() == beat_sums(load_dataset(old / "dataset").beats).tolist()


def test_the_number_of_the_measures_is_raised_when_they_change(old):
    """Else a forest would be asked with other features than it was grown on, and nobody would notice."""
    beats = load_dataset(old / "dataset").beats[[0, 7]]
    measured = pd.read_csv(ARTIFACTS / "measured.csv", index_col="feature")
    assert measured.index.tolist() == list(FEATURES)
    same = np.isclose(beat_features(beats).T, measured[["first", "second"]], rtol=1e-3, atol=1e-3, equal_nan=True)
    other = measured.index[~same.all(axis=1)].tolist()
    assert not other, "raise MEASURES in omi_keras/measures/features.py and write measured.csv anew"
    assert set(measured["measures"]) == {MEASURES}


def test_a_forest_says_what_it_said_or_nothing(old):
    """Grown on other measures of the same beats, it would give other probabilities than those it was judged by."""
    with pytest.raises(InputError, match=r"model\.skops was grown by another version.*train it again"):
        load_model(old / "forest-model")


def test_runs_are_evaluated(old, tmp_path, monkeypatch):
    """Also from elsewhere: they have the dataset's path as it was typed."""
    monkeypatch.chdir(tmp_path)
    done = run_cli("evaluate", old / "run", old / "forest-run", tmp_path / "report", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert found["simulated"] is True
    assert "subgroups" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("run", TRAINED)
def test_a_finished_run_is_resumed_without_a_change(run, copy):
    before = contents(copy / run)
    done = run_cli("train", copy / "dataset", copy / run, *TRAINED[run], "--resume")
    assert done.exit_code == 0, done.output
    after = contents(copy / run)
    assert {name: after.get(name) for name in before} == before
    assert set(after) - set(before) == {"report.html"}


def test_an_interrupted_run_is_finished(copy):
    run = copy / "interrupted"
    with np.load(run / ".fold-00.partial" / "checkpoint.npz", allow_pickle=False) as arrays:
        stored = json.loads(arrays["state"].tobytes())["history"]
    assert [row["epoch"] for row in stored] == [1]
    done = run_cli("train", copy / "dataset", run, *NETWORK, "--batch-size", 2, "--resume")
    assert done.exit_code == 0, done.output
    history = pd.read_csv(run / "fold-00" / "history.csv")
    assert history["epoch"].tolist() == [1, 2]
    assert np.isfinite(history["loss"].iloc[1])
    for name, value in stored[0].items():
        assert history[name].iloc[0] == pytest.approx(value, nan_ok=True, abs=1e-12), name
    assert not (run / ".fold-00.partial").exists()
    assert load_run(run).results[0].fold == 0


def test_the_arrays_of_a_checkpoint_are_where_they_were(version):
    """By number: an optimizer that numbers its slots otherwise would take one for another of its shape."""
    model, optimizer = build("mayo-alvd"), TorchAdam()
    optimizer.build(model.trainable_variables)
    found = []
    for kind, variables in (("weights", model.weights), ("optimizer", optimizer.variables)):
        for number, variable in enumerate(variables):
            name = variable.path if kind == "weights" else variable.path.split("/", 1)[-1]
            found.append((f"{kind}/{number}", name, " ".join(map(str, variable.shape))))
    layout = pd.read_csv(version / "checkpoint_layout.csv", keep_default_na=False, dtype=str)
    assert found == list(layout.itertuples(index=False, name=None))


def test_a_bundle(old):
    manifest, files = load(old / "bundle")
    stored = parity_set(files["parity.npz"])
    detector = Detector(old / "bundle")
    assert detector.threshold == manifest["threshold"] == load_model(old / "model").threshold
    found = [detector.detect_beat(beat).probability for beat in stored["beats"]]
    np.testing.assert_allclose(found, stored["exported"], atol=1e-4)
    done = run_cli("check-parity", old / "bundle", "--model", old / "model", "--dataset", old / "dataset")
    assert done.exit_code == 0, done.output


def test_models_and_bundles_are_validated_as_far_as_they_know_their_ecgs(old, tmp_path):
    """They have no checksums of beats: a model folder has ids, a bundle has the dataset's."""
    data = load_dataset(old / "dataset")
    ecgs = data.ecgs
    elsewhere = Dataset.from_arrays(
        data.beats * np.float32(1.1), ecgs["omi"], "other-" + ecgs["patient_id"], simulated=True,
        ecg_id="other-" + ecgs["ecg_id"],
    ).save(tmp_path / "elsewhere")  # fmt: skip
    done = run_cli("validate", old / "model", old / "bundle", tmp_path / "out", "--dataset", elsewhere.path)
    assert done.exit_code == 0, done.output
    assert "mayo-alvd does not know all the ECGs that it was made with by their beats" in done.stderr
    assert "does not say what it was trained on" in done.stderr
    own = run_cli("validate", old / "model", tmp_path / "own", "--dataset", old / "dataset")
    assert own.exit_code == 2 and "by ecg_id" in own.stderr
    for options in ((), ("--without-known",)):
        own = run_cli("validate", old / "bundle", tmp_path / "own", "--dataset", old / "dataset", *options)
        assert own.exit_code == 2 and "does not say of which of its ECGs" in own.stderr
