"""A run on another input contract, from the command line to the model that is made of it."""

import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from helpers import run_cli
from tiny_network import tiny

from omi_keras.beats.model_inputs import model_input
from omi_keras.data.dataset import load_dataset
from omi_keras.model import load_model
from omi_keras.models import model_folder
from omi_keras.models.inference import omi_probability
from omi_keras.training import fit

SETTINGS = ("--n-folds", 3, "--folds", 0, "--epochs", 2, "--batch-size", 16, "--learning-rate", 1e-2)


@pytest.fixture(autouse=True, scope="module")
def small_network():
    with pytest.MonkeyPatch.context() as patch:
        for module in (fit, model_folder):
            patch.setattr(module, "build", tiny)
        yield


@pytest.fixture(scope="module")
def run(few_ecgs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    done = run_cli("train", few_ecgs, folder, "--input", "maxabs-200", *SETTINGS)
    assert done.exit_code == 0, done.output
    return folder


def test_fold_run_and_model_are_of_that_input(few_ecgs, run, tmp_path):
    assert json.loads((run / "config.json").read_text(encoding="utf-8"))["input"] == "maxabs-200"
    done = run_cli("select", run, tmp_path / "model")
    assert done.exit_code == 0, done.output
    model, dataset = load_model(tmp_path / "model"), load_dataset(few_ecgs)
    assert (model.contract, model.network.input_shape) == ("maxabs-200", (None, 12, 200, 1))
    predictions = pd.read_csv(run / "fold-00" / "predictions.csv")
    rows = dataset.ecgs["ecg_id"].tolist()
    beats = dataset.beats[[rows.index(name) for name in predictions["ecg_id"]]]
    expected = omi_probability(np.asarray(model.network(model_input(beats, "maxabs-200")[..., None])))
    np.testing.assert_allclose(predictions["probability"], expected, rtol=1e-5)
    np.testing.assert_allclose(model.probability(beats), expected, rtol=1e-5)


def test_saliency_of_its_model_is_of_that_input(few_ecgs, run, tmp_path):
    assert run_cli("select", run, tmp_path / "model").exit_code == 0
    done = run_cli("saliency", tmp_path / "model", few_ecgs, tmp_path / "saliency")
    assert done.exit_code == 0, done.output
    found = np.load(tmp_path / "saliency" / "saliency.npz", allow_pickle=False)
    said = json.loads((tmp_path / "saliency" / "saliency.json").read_text(encoding="utf-8"))
    assert str(found["input"]) == said["input"] == "maxabs-200"
    assert found["saliency"].shape == (said["ecgs"], 12, 200)
    dataset, network = load_dataset(few_ecgs), load_model(tmp_path / "model").network
    rows = [dataset.ecgs["ecg_id"].tolist().index(name) for name in found["ecg_id"]]
    x = tf.constant(model_input(dataset.beats[rows], "maxabs-200")[..., None])
    with tf.GradientTape() as tape:
        tape.watch(x)
        logit = network(x, training=False)[:, 1]
    expected = np.abs(tape.gradient(logit, x).numpy()[..., 0])
    np.testing.assert_allclose(found["saliency"], expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found["windows"], expected.reshape(-1, 12, 20, 10).mean(3), rtol=1e-4, atol=1e-7)


def test_a_run_goes_on_with_its_own_input_only(few_ecgs, run):
    done = run_cli("train", few_ecgs, run, "--resume", *SETTINGS)
    assert done.exit_code == 2
    assert "was started with input maxabs-200, not zscore-400; resume with the same settings" in done.stderr
    done = run_cli("train", few_ecgs, run, "--resume", "--input", "maxabs-200", *SETTINGS)
    assert done.exit_code == 0, done.output


def test_learning_rates_are_compared_on_that_input(few_ecgs, tmp_path):
    settings = ("--n-folds", 3, "--folds", 0, "--epochs", 1, "--batch-size", 16, "--rates", "1e-3")
    done = run_cli("search-lr", few_ecgs, tmp_path / "search", "--input", "maxabs-200", *settings)
    assert done.exit_code == 0, done.output
    for config in (tmp_path / "search" / "search.json", tmp_path / "search" / "rate-0.001" / "config.json"):
        assert json.loads(config.read_text(encoding="utf-8"))["input"] == "maxabs-200"
    done = run_cli("search-lr", few_ecgs, tmp_path / "search", "--resume", *settings)
    assert done.exit_code == 2 and "input maxabs-200, not zscore-400" in done.stderr


@pytest.mark.parametrize("contract", ["zscore-400", "maxabs-200"])
def test_a_random_forest_has_no_input_contract(few_ecgs, tmp_path, contract):
    done = run_cli("train", few_ecgs, tmp_path / "run", "--model", "random-forest", "--input", contract)
    assert done.exit_code == 2
    assert "--input is for networks: random-forest reads features of the median beat" in done.stderr
    assert not (tmp_path / "run").exists()
