"""The graph that devices run: the same function as the NumPy preprocessing and the network behind it."""

import keras
import numpy as np
import pytest
from helpers import random_state
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.convert import convert
from edge.graph import device_graph, in_float32
from edge.minimal_filtering import minimal_filtering
from edge.network import Network, interpreter_class
from edge.verified import BundleError, load
from omi_keras.beats.contracts import CONTRACTS, input_shape
from omi_keras.beats.model_inputs import model_input
from omi_keras.models.catalogue import build
from omi_keras.models.inference import predict_logits
from omi_keras.models.weights.torch_weights import load_torch_parameters


@pytest.fixture(scope="module")
def pass_through():
    """For each input contract: median beat → model input, in the place of a network's logits."""

    def graph(contract):
        beat = keras.Input(input_shape(contract))
        return device_graph(keras.Model(beat, keras.layers.Flatten()(beat), name="values"), 600, contract)

    return {contract: graph(contract) for contract in CONTRACTS}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([1e-5, 1e-3, 1.0, 100.0]),
    st.sampled_from([0.0, 1.0, -300.0]),
    st.lists(st.integers(0, 11), max_size=4),
)
def test_model_inputs_in_float32_are_those_of_the_training(pass_through, seed, scale, offset, flat):
    rng = np.random.default_rng(seed)
    beat = (scale * np.cumsum(rng.standard_normal((12, 600)), axis=1) + offset).astype(np.float32)
    beat[flat] = offset
    for contract, tolerance in (("zscore-400", 2e-4), ("maxabs-200", 5e-6)):
        expected = model_input(beat, contract)
        found = np.asarray(pass_through[contract](beat[None])["logits"]).reshape(expected.shape)
        assert np.abs(found - expected).max() < tolerance, contract
        if contract == "zscore-400" or offset == 0:
            assert not found[flat].any()


def test_names_and_shapes(int8_bundle, small_bundle):
    for bundle, samples in ((int8_bundle, 600), (small_bundle, 400)):
        interpreter = interpreter_class()(model_content=load(bundle)[1]["model.tflite"])
        assert interpreter.get_signature_list() == {
            "detect": {"inputs": ["beat"], "outputs": ["logits", "probability"]}
        }
        found = interpreter.get_signature_runner("detect")(beat=np.ones((1, 12, samples), np.float32))
        assert {name: (value.shape, value.dtype) for name, value in found.items()} == {
            "logits": ((1, 2), np.float32),
            "probability": ((1,), np.float32),
        }


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 200, 599])
def test_what_is_not_finite_is_never_a_number(int8_bundle, bad, place):
    """Not even for native code, which has no other check than the graph."""
    content = load(int8_bundle)[1]["model.tflite"]
    beat = np.random.default_rng(0).standard_normal((1, 12, 600)).astype(np.float32)
    beat[0, 4, place] = bad
    found = interpreter_class()(model_content=content).get_signature_runner("detect")(beat=beat)
    assert np.isnan(found["probability"]).all()
    assert np.isnan(found["logits"]).all()
    with pytest.raises(ValueError, match="gives no number"):
        Network(content).probability(beat[0])


def test_both_lengths_judge_alike(int8_bundle, small_bundle, easy_dataset):
    beats = np.load(easy_dataset / "beats.npy", mmap_mode="r")[:5]
    for bundle in (int8_bundle, small_bundle):
        network = Network(load(bundle)[1]["model.tflite"])
        for beat in beats:
            assert network.probability(beat) == network.probability(beat[:, 150:550])


def test_a_network_trained_in_mixed_precision_converts():
    """Mayo's, which is small: weights of float32 behind layers that compute in float16."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = build("mayo-alvd")
    finally:
        keras.config.set_dtype_policy("float32")
    beats = np.cumsum(np.random.default_rng(0).standard_normal((6, 12, 600)), axis=2).astype(np.float32)
    network = Network(next(convert(mixed, "float32", beats)).content)
    found = np.array([network.judge(beat)[1] for beat in beats])
    expected = predict_logits(in_float32(mixed), beats)
    assert np.abs(found - expected).max() < 1e-4
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("name", ["ecg-smart-net", "temporal-resnet18"])
def test_minimal_filtering_changes_no_logit(name):
    network = build(name)
    load_torch_parameters(network, random_state(name, 3))
    x = np.random.default_rng(0).standard_normal((1, 12, 400, 1)).astype(np.float32)
    fast = minimal_filtering(network)
    expected, found = network.predict_on_batch(x), fast.predict_on_batch(x)
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()
    made = [layer.name for layer in fast.layers if type(layer).__name__ == "MinimalFiltering"]
    assert len(made) == 9, "three stages of four convolutions, the first of each with stride two"


def test_networks_without_such_convolutions_stay():
    network = build("mayo-alvd")
    assert minimal_filtering(network) is network


def test_a_model_with_another_input_is_refused(tmp_path):
    with pytest.raises(BundleError, match="does not load"):
        Network(b"no model at all")
