"""What every network of the catalogue must do, once for all of them.

A new network comes with its facts in tests/network_contract.py, its parameters in docs/reference/weights.md, its
original in scripts/torch_originals.py and its reference values in shared/oracle.
"""

import importlib.util
from typing import get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import random_state, torch_original
from network_contract import (
    DEEP,
    FACTS,
    Trainer,
    assert_a_step_is_the_plain_networks,
    assert_close,
    assert_passes_its_gate,
    assert_same_maps,
    documented,
    networks,
    run_on_jax,
)

from edge.convert import Quantization
from omi_keras.model import load_model, model_from_torch
from omi_keras.models.archive import save_network
from omi_keras.models.catalogue import LEARNING_RATES, MODELS, NETWORKS, RANDOM_FOREST, Precision, build
from omi_keras.models.fast.fast_form import F2, F4, fast_form
from omi_keras.models.inference import BATCH_SIZE, input_logits
from omi_keras.models.model_folder import load_weights
from omi_keras.models.weights.torch_weights import load_torch_parameters, to_torch, torch_names
from omi_keras.recordings.errors import InputError
from omi_keras.saliency.contributions import lead_contribution
from omi_keras.saliency.maps import BATCH_SIZE as SALIENCY_BATCH
from omi_keras.saliency.maps import saliency_maps

# 11 and 8 bits of mantissa.
TOLERANCES = {"float32": 0.0, "mixed_float16": 0.02, "mixed_bfloat16": 0.1}
STEPS = 12


@pytest.fixture(params=NETWORKS, scope="module")
def name(request):
    return request.param


@pytest.fixture(scope="module")
def state(name):
    """Random parameters under PyTorch's names, statistics far from their initial values."""
    return random_state(name, 5)


@pytest.fixture(scope="module")
def model(name, state):
    """The network with these; nobody changes it."""
    return of_the_state(name, state)


@pytest.fixture(scope="module")
def trainer(name):
    return Trainer(name)


@pytest.fixture(scope="module")
def x():
    """Smooth beats of 4 ECGs, (4, 12, 400, 1)."""
    x = np.cumsum(np.random.default_rng(6).standard_normal((4, 12, 400, 1)), axis=2)
    return ((x - x.mean(2, keepdims=True)) / x.std(2, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def y():
    return np.arange(4, dtype=np.int32) % 2


@pytest.fixture(scope="module")
def oracle(shared):
    spec = importlib.util.spec_from_file_location("oracle", shared / "oracle" / "oracle.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference(oracle, name):
    return oracle.load_reference(FACTS[name].oracle)


def of_the_state(name, state):
    model = build(name)
    load_torch_parameters(model, state)
    return model


@pytest.fixture(scope="module")
def of_the_oracle(oracle, name):
    """The network with the oracle's parameters; nobody changes it."""
    return of_the_state(name, oracle.make_parameters(oracle.load_spec(FACTS[name].oracle)))


# Completeness


def test_every_network_has_its_facts():
    assert set(FACTS) == set(NETWORKS) == set(LEARNING_RATES)
    assert (*NETWORKS, RANDOM_FOREST) == MODELS
    assert len({facts.oracle for facts in FACTS.values()}) == len(FACTS)


# What it is


def test_names_shapes_and_number_of_parameters_are_the_documented_ones(name, model):
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    shapes = {key: to_torch(np.empty(variable.shape)).shape for key, variable in torch_names(model).items()}
    assert (count, shapes) == documented(name)
    assert count == FACTS[name].trainable_parameters
    assert model.name == name.replace("-", "_")


def test_initial_weights_come_from_the_seed_alone(name):
    """Whatever other threads of the process draw from the generator that Keras uses."""

    def weights(drawn, seed):
        keras.utils.set_random_seed(drawn)
        return np.concatenate([weight.ravel() for weight in build(name, seed=seed).get_weights()])

    first = weights(1, 7)
    np.testing.assert_array_equal(weights(2, 7), first)
    assert (weights(1, 8) != first).mean() > 0.9


@pytest.mark.parametrize("precision", get_args(Precision))
def test_in_every_precision_variables_logits_and_what_is_saved_are_float32(name, precision, state, model, x, tmp_path):
    found = build(name, precision)
    assert keras.config.dtype_policy().name == "float32", "the choice is the model's, not the process's"
    assert {weight.dtype for weight in found.weights} == {"float32"}
    assert found.layers[1].compute_dtype == precision.removeprefix("mixed_")
    assert found.outputs[0].dtype == "float32"
    load_torch_parameters(found, state)
    logits, expected = found.predict_on_batch(x), model.predict_on_batch(x)
    assert logits.dtype == np.float32
    assert_close(logits, expected, TOLERANCES[precision])
    assert (logits != expected).any() == (precision != "float32")
    save_network(tmp_path / "model.keras", found)
    again = load_weights(name, tmp_path / "model.keras")
    assert {layer.compute_dtype for layer in again.layers} == {"float32"}
    for read, written in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(read, written)


# PyTorch


def test_logits_and_parameters_of_the_oracle(name, of_the_oracle, oracle, reference):
    assert reference["n_parameters"] == FACTS[name].trainable_parameters
    assert_close(np.asarray(of_the_oracle(oracle.make_inputs()[..., None])), reference["logits"])


def test_five_training_losses_of_the_oracle(trainer, of_the_oracle, oracle, reference):
    x, y = oracle.make_inputs()[..., None], oracle.make_labels().astype(np.int32)
    found = trainer.losses(of_the_oracle.get_weights(), x, y, 5)
    np.testing.assert_allclose(found, reference["train_losses"], rtol=1e-3)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_saliency_of_the_oracle(name, compiled, of_the_oracle, oracle, reference):
    # Whole batches are compiled, few ECGs are not.
    expected = reference["saliency"]
    copies = 1 + SALIENCY_BATCH // len(expected) if compiled else 1
    found = saliency_maps(of_the_oracle, np.tile(oracle.make_inputs(), (copies, 1, 1)))[-len(expected) :]
    assert_same_maps(found, expected, FACTS[name].saliency)
    np.testing.assert_allclose(lead_contribution(found), lead_contribution(expected), atol=1e-3)


def test_the_original_in_pytorch_computes_and_trains_the_same(name, trainer, x, y):
    torch = pytest.importorskip("torch", reason="the torch extra is not installed")
    original, model = torch_original(name), build(name)
    load_torch_parameters(model, {key: value.numpy() for key, value in original.state_dict().items()})
    images, labels = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(y).long()
    with torch.no_grad():
        logits = original.double()(images.double()).numpy()
    assert_close(np.asarray(model(x)), logits)
    original.float().train()
    optimizer, expected = torch.optim.Adam(original.parameters(), 1e-4), []
    for _ in range(3):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(original(images), labels)
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    # Adam's first steps follow the sign of gradients, also of those that are rounding errors.
    np.testing.assert_allclose(trainer.losses(model.get_weights(), x, y, 3), expected, atol=1e-3 * expected[0])


def test_a_state_dict_becomes_a_model_folder(name, state, tmp_path):
    from safetensors.numpy import save_file

    save_file(state, tmp_path / "weights.safetensors")
    model_from_torch(tmp_path / "weights.safetensors", name).save(tmp_path / "model")
    found = load_model(tmp_path / "model")
    assert found.info["model"] == name
    for key, variable in torch_names(found.network).items():
        np.testing.assert_array_equal(to_torch(np.asarray(variable)), state[key])


def test_every_parameter_that_does_not_fit_is_listed_and_none_is_loaded(name, state, model):
    before, wrong = model.get_weights(), dict(state)
    first, second, third, *_ = state
    wrong["head.weight"] = wrong.pop(first)
    wrong[second] = np.zeros((3, 3), np.float32)
    wrong[third] = np.full_like(wrong[third], np.nan)
    wrong["fc.num_batches_tracked"] = np.array(5)
    with pytest.raises(InputError) as error:
        load_torch_parameters(model, wrong)
    for part in (f"missing: {first}", "unexpected: head.weight", f"{second} (3, 3) instead of", f"not finite: {third}"):
        assert part in str(error.value)
    assert "num_batches_tracked" not in str(error.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


# The fast forms


@pytest.mark.parametrize("filtering", [F2, F4], ids=["F2", "F4"])
def test_the_fast_form_is_the_same_function(filtering, model, x):
    assert_close(np.asarray(fast_form(model, filtering)(x)), np.asarray(model(x)))


@networks(slow=DEEP)
def test_compiled_in_full_batches_it_is_the_same_function(name):
    model = build(name)
    x = np.random.default_rng(0).standard_normal((BATCH_SIZE + 3, 12, 400, 1)).astype(np.float32)
    for seed in (1, 2):
        # The compiled form sees weights that change, as they do from epoch to epoch.
        load_torch_parameters(model, random_state(name, seed))
        expected = np.asarray(model(x, training=False))
        for count in (len(x), 5):
            assert_close(input_logits(model, x[:count]), expected[:count], 1e-5)


def test_a_training_step_is_the_plain_networks(name, trainer, state, x, y):
    assert_a_step_is_the_plain_networks(trainer, of_the_state(name, state), x, y)


@pytest.mark.slow
def test_a_compiled_training_step_is_the_plain_networks(name, state, x, y):
    assert_a_step_is_the_plain_networks(Trainer(name, compiled=True), of_the_state(name, state), x, y)


# Saliency


def test_the_gradient_is_that_of_the_plain_network(name, model, x):
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        omi_logit = model(inputs, training=False)[:, 1]
    expected = np.abs(tape.gradient(omi_logit, inputs).numpy()[..., 0])
    assert_same_maps(saliency_maps(model, x[..., 0]), expected, FACTS[name].saliency)


# JAX


@pytest.fixture(scope="module")
def on_jax(x, y, tmp_path_factory):
    shallow = [name for name in NETWORKS if name not in DEEP]
    return run_on_jax(tmp_path_factory.mktemp("jax"), x, y, NETWORKS, shallow)


def test_what_was_saved_on_tensorflow_is_the_same_function_on_jax(name, on_jax, model, x):
    assert_close(on_jax[name], model.predict_on_batch(x))


@networks(slow=DEEP)
def test_training_takes_the_same_steps_on_jax(name, trainer, model, x, y, request, tmp_path):
    found = run_on_jax(tmp_path, x, y, [name], [name]) if name in DEEP else request.getfixturevalue("on_jax")
    losses = trainer.losses(model.get_weights(), x, y, 3)
    np.testing.assert_allclose(found[f"{name} losses"], losses, atol=1e-3 * losses[0])


# From training to the device


@pytest.fixture(scope="module")
def trained(trainer, few_ecgs, tmp_path_factory):
    """A model folder of a network that took a few steps on :func:`few_ecgs`, and the losses of these."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, trainer.folder(few_ecgs, folder, STEPS)


def test_the_loss_falls(trained):
    losses = trained[1]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.7 * losses[0]


def test_a_bundle_of_float32_passes_its_gate(trained, few_ecgs, tmp_path):
    assert_passes_its_gate(trained[0], few_ecgs, tmp_path / "bundle", "float32")


@pytest.mark.parametrize("quantization", [form for form in get_args(Quantization) if form != "float32"])
@pytest.mark.slow
def test_a_bundle_of_fewer_bits_passes_its_gate(trained, few_ecgs, tmp_path, quantization):
    assert_passes_its_gate(trained[0], few_ecgs, tmp_path / "bundle", quantization)
