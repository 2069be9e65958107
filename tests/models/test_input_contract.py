"""The input contract as a property of a model: on disk, in the network, and in what it answers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import random_state, run_cli

from edge.minimal_filtering import minimal_filtering
from omi_keras.beats.model_inputs import model_input
from omi_keras.model import Model, load_model
from omi_keras.models.catalogue import NETWORKS, build
from omi_keras.models.fast.fast_form import F2, F4, fast_form
from omi_keras.models.fast.training_form import training_form
from omi_keras.models.inference import omi_probability
from omi_keras.models.model_folder import load_weights
from omi_keras.models.weights.torch_weights import load_torch_parameters
from omi_keras.recordings.errors import InputError

ABOUT = {"model": "ecg-smart-net", "simulated": True, "threshold": 0.4, "metrics": {}, "provenance": {}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    network = build("ecg-smart-net", seed=1, contract="maxabs-200")
    bands = {"rule_out": 0.1, "rule_in": None}
    path = tmp_path_factory.mktemp("models") / "model"
    Model(ABOUT | {"input": "maxabs-200", "bands": bands}, network=network).save(path)
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_take_the_input_of_their_contract(name):
    if name == "mayo-alvd":
        with pytest.raises(InputError, match="mayo-alvd pools 256 samples into one"):
            build(name, contract="maxabs-200")
        return
    network = build(name, seed=0, contract="maxabs-200")
    assert network.input_shape == (None, 12, 200, 1)
    assert [weight.shape for weight in network.weights] == [weight.shape for weight in build(name, seed=0).weights]


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "mayo-alvd"])
def test_the_fast_forms_are_the_same_function_of_that_input(name):
    network = build(name, contract="maxabs-200")
    load_torch_parameters(network, random_state(name, 5))
    x = model_input(np.cumsum(np.random.default_rng(1).normal(size=(2, 12, 600)), axis=2), "maxabs-200")[..., None]
    expected = np.asarray(network(x))
    forms = [fast_form(network, F2), fast_form(network, F4), training_form(network)]
    if name != "resnet18":
        forms.append(minimal_filtering(network))
    for form in forms:
        found = np.concatenate([np.asarray(form(one[None])) for one in x])
        assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()


def test_a_model_folder_remembers_contract_and_bands(folder):
    model = load_model(folder)
    assert (model.contract, model.bands) == ("maxabs-200", {"rule_out": 0.1, "rule_in": None})
    assert model.network.input_shape == (None, 12, 200, 1)
    said = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert (said["format_version"], said["input"]) == (2, "maxabs-200")
    assert said["input_details"]["shape"] == [12, 200, 1]


def test_its_probability_is_of_that_input(folder):
    model = load_model(folder)
    beats = np.random.default_rng(3).normal(size=(3, 12, 600)).astype(np.float32)
    expected = omi_probability(np.asarray(model.network(model_input(beats, "maxabs-200")[..., None])))
    np.testing.assert_allclose(model.probability(beats), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"input": "zscore-300"}, "input contract 'zscore-300' is not known"),
        ({"input": None}, "input contract 'None' is not known"),
        ({"bands": {"rule_out": 0.7, "rule_in": 0.2}}, "has no good bands"),
        ({"bands": {"rule_out": "0"}}, "has no good bands"),
    ],
)
def test_what_no_model_has_is_refused(folder, tmp_path, changed, sentence):
    other = tmp_path / "model"
    other.mkdir()
    (other / "model.keras").write_bytes((folder / "model.keras").read_bytes())
    said = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (other / "model.json").write_text(json.dumps(said | changed), encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        load_model(other)
    with pytest.raises(InputError):
        Model(ABOUT | changed, network=build("ecg-smart-net")).save(tmp_path / "again")


def test_the_contract_must_be_that_of_the_weights(folder, tmp_path):
    """Weights fit both, so that the other contract would give other probabilities without any error."""
    with pytest.raises(InputError, match=r"takes 200 samples a lead, and the input contract zscore-400 has 400"):
        load_weights("ecg-smart-net", folder / "model.keras")
    other = Path(shutil.copytree(folder, tmp_path / "model"))
    said = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (other / "model.json").write_text(json.dumps(said | {"input": "zscore-400"}), encoding="utf-8")
    done = run_cli("predict", other, tmp_path)
    assert done.exit_code == 2
    assert "one of the two was altered; make the model folder again" in done.output
