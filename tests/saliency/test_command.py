"""``omi-keras saliency``: files, numbers that follow from the maps, refusals, exit codes."""

from __future__ import annotations

import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from helpers import run_cli

from omi_keras.data.artifacts import sha256
from omi_keras.data.dataset import load_dataset
from omi_keras.models.catalogue import build
from omi_keras.models.model_folder import write_model_info
from omi_keras.saliency import sanity
from omi_keras.saliency import write as folder
from omi_keras.saliency.contributions import aggregate, lead_contribution, windows
from omi_keras.saliency.maps import inputs_of, saliency_maps


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "dataset"
    result = run_cli("simulate", out, "--ecgs", 24, "--patients", 16, "--prevalence", 0.5, "--seed", 2)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def model(dataset, tmp_path_factory):
    """A network of random weights, said to have been tested on every second ECG."""
    keras.utils.set_random_seed(1)
    data = load_dataset(dataset)
    out = tmp_path_factory.mktemp("model") / "model"
    out.mkdir()
    network = build("mayo-alvd")
    network.save(out / "model.keras")
    folds = data.ecgs[["ecg_id", "patient_id"]].assign(fold=np.arange(len(data.ecgs)) % 2)
    folds.to_csv(out / "folds.csv", index=False)
    logits = network.predict(inputs_of(data.beats)[..., None], verbose=0)
    info = {
        "model": "mayo-alvd", "simulated": True, "metrics": {}, "test_fold": 1, "validation_fold": 0,
        "threshold": float(np.median(1 / (1 + np.exp(logits[:, 0] - logits[:, 1])))),
        "provenance": {"dataset_sha256": data.fingerprint()},
    }  # fmt: skip
    write_model_info(out, info)
    return out


@pytest.fixture(scope="module")
def aggregated(model, dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("saliency") / "saliency"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder, "SANITY_ECGS", 2)
        result = run_cli("saliency", model, dataset, out, "--aggregate", "--sanity")
    assert result.exit_code == 0, result.output
    return out, result.stdout


def test_files(aggregated):
    out, _ = aggregated
    assert {path.name for path in out.iterdir()} == {
        "saliency.npz", "saliency.json", "figures", "sanity.csv", "pointing.csv",
    }  # fmt: skip
    assert {path.name for path in (out / "figures").iterdir()} == {
        "aggregate.png", "aggregate_true_positives.png", "sanity.png",
    }  # fmt: skip
    assert pd.read_csv(out / "pointing.csv")["simulated"].all()
    assert pd.read_csv(out / "sanity.csv")["simulated"].all()


def test_arrays_of_the_contract(aggregated, model, dataset):
    out, _ = aggregated
    found = np.load(out / "saliency.npz", allow_pickle=False)
    data = load_dataset(dataset)
    cases = (data.ecgs["omi"] == 1).to_numpy() & (np.arange(24) % 2 == 1)
    assert found["ecg_id"].tolist() == data.ecgs["ecg_id"][cases].tolist()
    n = int(cases.sum())
    network = build("mayo-alvd")
    network.load_weights(model / "model.keras")
    expected = saliency_maps(network, inputs_of(data.beats[cases]))
    np.testing.assert_allclose(found["saliency"], expected, rtol=1e-4, atol=1e-7)
    assert found["saliency"].shape == (n, 12, 400)
    np.testing.assert_allclose(found["lead_contribution"], lead_contribution(found["saliency"]))
    np.testing.assert_allclose(found["lead_contribution"].sum(axis=1), 1)
    np.testing.assert_allclose(found["windows"], windows(found["saliency"]))
    assert found["windows"].shape == (n, 12, 20)
    np.testing.assert_allclose(found["aggregate"], aggregate(found["windows"]))
    assert found["aggregate"].shape == (12, 20)
    alarmed = found["probability"] >= json.loads((model / "model.json").read_text(encoding="utf-8"))["threshold"]
    assert 0 < alarmed.sum() < n
    np.testing.assert_allclose(found["aggregate_true_positives"], aggregate(found["windows"][alarmed]))


def test_text_says_what_was_found(aggregated):
    out, text = aggregated
    assert "OMI of the model's test fold, simulated" in text
    assert "by chance" in text
    assert "temporal1_conv" in text
    table = pd.read_csv(out / "sanity.csv")
    assert f"{table['rank_correlation'].iloc[-1]:+.3f}" in text


def test_single_ecgs(model, dataset, tmp_path):
    names = load_dataset(dataset).ecgs["ecg_id"][[5, 3]].tolist()
    result = run_cli("saliency", model, dataset, tmp_path / "out", "--ecg", names[0], "--ecg", names[1], "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["ecgs"], content["cases"]) == (2, "chosen ECGs")
    assert np.load(tmp_path / "out" / "saliency.npz")["ecg_id"].tolist() == names
    figures = sorted(path.name for path in (tmp_path / "out" / "figures").iterdir())
    assert figures == [f"0001-{names[0]}.png", f"0002-{names[1]}.png"]


def test_a_hostile_name_stays_in_the_folder(model, dataset, tmp_path):
    hostile = "../../<script>$x_{1}$/" + "a" * 300
    other = tmp_path / "dataset"
    shutil.copytree(dataset, other)
    ecgs = pd.read_csv(other / "ecgs.csv", dtype=str, keep_default_na=False)
    ecgs.loc[0, "ecg_id"] = hostile
    ecgs.to_csv(other / "ecgs.csv", index=False)
    info = json.loads((other / "dataset.json").read_text(encoding="utf-8"))
    info["sha256"]["ecgs.csv"] = sha256(other / "ecgs.csv")
    (other / "dataset.json").write_text(json.dumps(info), encoding="utf-8")
    result = run_cli("saliency", model, other, tmp_path / "out", "--ecg", hostile)
    assert result.exit_code == 0, result.output
    (figure,) = (tmp_path / "out" / "figures").iterdir()
    assert figure.name.startswith("0001-script_x__1_aaa")
    assert len(figure.name) < 100
    # Another dataset than the model's: all its OMI, none of which it was trained on.
    result = run_cli("saliency", model, other, tmp_path / "all", "--json")
    content = json.loads(result.stdout)
    assert content["ecgs"] == (ecgs["omi"] == "1").sum()
    assert "not trained on" in content["cases"]


def test_surviving_maps_exit_with_1(model, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(sanity, "DESTROYED_BELOW", -1.0)
    monkeypatch.setattr(folder, "SANITY_ECGS", 1)
    result = run_cli("saliency", model, dataset, tmp_path / "out", "--sanity")
    assert result.exit_code == 1
    assert "survive random weights" in result.stderr


def test_refusals(model, dataset, tmp_path):
    out = tmp_path / "out"
    for arguments, sentence in (
        (["--ecg", "nobody"], "has no ECG nobody"),
        (["--ecg", "x", "--aggregate"], "give one of them"),
        (["--method", "guess"], "guess"),
    ):
        result = run_cli("saliency", model, dataset, out, *arguments)
        assert result.exit_code == 2
        assert sentence in result.stderr
    assert "not a model folder" in run_cli("saliency", dataset, dataset, out).stderr
    assert "not a dataset" in run_cli("saliency", model, model, out).stderr
    assert not out.exists()
    out.mkdir()
    (out / "thesis.txt").write_text("text", encoding="utf-8")
    for options in ([], ["--force"]):
        assert run_cli("saliency", model, dataset, out, *options).exit_code == 2
    assert (out / "thesis.txt").exists()


def test_a_dataset_without_omi(model, tmp_path):
    assert run_cli("simulate", tmp_path / "none", "--ecgs", 4, "--patients", 4, "--prevalence", 0).exit_code == 0
    result = run_cli("saliency", model, tmp_path / "none", tmp_path / "out")
    assert result.exit_code == 2
    assert "name ECGs with --ecg" in result.stderr
