"""A network of the contract maxabs-200 from its weights to the device: everybody gives what a reference gives.

The reference shares no code with it: FFT written out in float64, then a small network in NumPy, or the paper's in
PyTorch.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from helpers import run_cli, torch_original
from numpy.lib.stride_tricks import sliding_window_view
from small_network import small
from tiny_network import tiny

from edge import Detector
from edge.convert import convert
from edge.network import Network, interpreter_class
from edge.verified import CONTRACTS, load, parity_set
from omi_keras.beats import contracts
from omi_keras.beats.median_beats import median_beat
from omi_keras.data.dataset import load_dataset
from omi_keras.model import Model, load_model
from omi_keras.models.catalogue import build
from omi_keras.models.weights.torch_weights import load_torch_parameters
from omi_keras.simulate.cohort import simulate_cohort


def inputs(beats):
    """Model inputs (n, 12, 200) float64 of beats (n, 12, 600)."""
    spectrum = np.fft.rfft(np.asarray(beats, np.float64)[..., 150:550])[..., :101]
    spectrum[..., 100] = 2 * spectrum[..., 100].real
    x = np.fft.irfft(spectrum, 200) / 2
    largest = np.abs(x).max(-1, keepdims=True)
    x = np.divide(x, largest, out=np.zeros_like(x), where=largest >= 1e-4)
    x[:, 3] *= -1
    return x


class Reference(NamedTuple):
    """A model, and what it must say: beats (n, 12, 600) → logits (n, 2), and → |∂ OMI logit / ∂ input| (n, 12, 200)."""

    model: Model
    logits: Callable
    gradient: Callable

    def probability(self, beats):
        return 1 / (1 + np.exp(-np.diff(self.logits(beats))[:, 0]))


def in_numpy(beats):
    """A convolution, batch normalisation, ReLU, mean, linear layer: see tests/tiny_network.py."""
    network = tiny(seed=1, contract="maxabs-200")
    rng = np.random.default_rng(2)
    kernel, out, bias = rng.normal(size=(9, 4)), rng.normal(size=(4, 2)), rng.normal(size=2)
    gamma, beta, mean, variance = rng.normal(size=4), *rng.normal(size=(2, 4)), rng.uniform(0.5, 2, 4)
    scale = gamma / np.sqrt(variance + 1e-5)

    def before_relu(beats):
        frames = sliding_window_view(inputs(beats), 9, axis=-1)[:, :, ::8]
        return (frames @ kernel - mean) * scale + beta

    def logits(beats):
        return np.maximum(before_relu(beats), 0).mean((1, 2)) @ out + bias

    def gradient(beats):
        passed = before_relu(beats) > 0
        found = np.zeros(inputs(beats).shape)
        for place in range(passed.shape[2]):
            worth = passed[:, :, place] * scale * out[:, 1] / passed[0, :, :, 0].size
            found[:, :, 8 * place : 8 * place + 9] += worth @ kernel.T
        return np.abs(found)

    # Neither sure of all ECGs nor of none, as many on either side of an even chance.
    out /= np.diff(logits(beats)).std()
    bias[1] -= np.median(np.diff(logits(beats)))
    network.set_weights([kernel.reshape(1, 9, 1, 4), gamma, beta, mean, variance, out, bias])
    return network, logits, gradient


def in_pytorch(beats):
    """ECG-SMART-NET as a lab has it, of weights that keep the scale of the signal, as trained ones do."""
    torch = pytest.importorskip("torch", reason="the torch extra is not installed")
    original = torch_original("ecg-smart-net").double()
    for layer in original.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)

    def tensor(beats):
        return torch.from_numpy(inputs(beats)[:, None].copy()).requires_grad_()

    def logits(beats):
        with torch.no_grad():
            return original(tensor(beats)).numpy()

    def gradient(beats):
        x = tensor(beats)
        original(x)[:, 1].sum().backward()
        return x.grad.abs().numpy()[:, 0]

    with torch.no_grad():
        original.fc.weight *= 1 / np.diff(logits(beats)).std()
        original.fc.bias[1] -= np.median(np.diff(logits(beats)))
    network = build("ecg-smart-net", contract="maxabs-200")
    load_torch_parameters(network, {key: value.float().numpy() for key, value in original.state_dict().items()})
    return network, logits, gradient


@pytest.fixture(scope="module", params=["small", pytest.param("ecg-smart-net", marks=pytest.mark.slow)])
def reference(request, few_ecgs, tmp_path_factory):
    beats = load_dataset(few_ecgs).beats
    network, logits, gradient = (in_numpy if request.param == "small" else in_pytorch)(beats)
    info = {"model": "ecg-smart-net", "input": "maxabs-200", "simulated": True, "threshold": 0.5, "metrics": {}}
    model = Model(info | {"provenance": {}}, network=network)
    model.save(tmp_path_factory.mktemp("model") / "model")
    return Reference(model, logits, gradient)


@pytest.fixture(scope="module")
def bundle(reference, few_ecgs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    reference.model.export(folder, load_dataset(few_ecgs), "float32")
    return folder


@pytest.fixture(scope="module")
def record():
    return next(iter(simulate_cohort(1, 1, 1.0, seed=11))).record


@pytest.fixture(scope="module")
def beat(record):
    return median_beat(record).beat


def test_the_model_says_what_the_reference_says(reference, few_ecgs, record, beat):
    beats = load_dataset(few_ecgs).beats
    expected = reference.probability(beats)
    assert np.ptp(expected) > 0.1, "ECGs differ"
    np.testing.assert_allclose(reference.model.probability(beats), expected, atol=1e-5)
    assert reference.model.predict(record).probability == pytest.approx(reference.probability(beat[None])[0], abs=1e-5)


def test_saliency_is_the_references(reference, few_ecgs):
    beats = load_dataset(few_ecgs).beats[:4]
    expected = reference.gradient(beats)
    found = reference.model.saliency(beats)
    assert found.shape == (4, 12, 200)
    # In float32 a few ReLUs of a deep network flip.
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] >= 0.99998
    assert np.percentile(np.abs(found - expected), 99.9) <= 0.01 * expected.max()
    if reference.model.network.count_params() < 1000:
        assert np.abs(found - expected).max() <= 1e-5 * expected.max()


def test_the_bundle_says_its_contract(bundle):
    manifest, contents = load(bundle)
    assert manifest["input"]["contract"] == "maxabs-200"
    assert manifest["input"]["shape"] == [1, 12, 600], "what a device hands over is the same for all"
    assert "resampled to 200" in manifest["input"]["inside_the_model"]
    text = " ".join(contents["README.txt"].decode().split())
    assert "for input contract maxabs-200: crop to samples 150 to 549, 400 samples resampled to 200 (FFT)" in text
    assert contracts.CONTRACTS == CONTRACTS


def test_bundle_detector_and_stream_say_what_the_reference_says(reference, bundle, record, beat):
    contents = load(bundle)[1]
    known, network = parity_set(contents["parity.npz"]), Network(contents["model.tflite"])
    expected = reference.logits(known["beats"])
    found = np.array([network.judge(one)[1] for one in known["beats"]])
    assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
    np.testing.assert_allclose(known["exported"], reference.probability(known["beats"]), atol=1e-5)
    np.testing.assert_allclose(known["expected"], reference.probability(known["beats"]), atol=1e-5)
    wanted = pytest.approx(reference.probability(beat[None])[0], abs=1e-5)
    detector = Detector(bundle)
    assert detector.detect(record).probability == wanted
    assert detector.detect_beat(beat).probability == wanted
    assert detector.detect_beat(beat[:, 150:550]).probability == wanted
    (rolled,) = detector.push(record.signal)
    assert rolled.detection.probability == wanted


def test_flat_leads_and_missing_values(reference, bundle, beat):
    network, flat, missing = Network(load(bundle)[1]["model.tflite"]), beat.copy(), beat.copy()
    flat[[3, 7]] = 0
    missing[3, 300] = np.nan
    assert network.probability(flat) == pytest.approx(reference.probability(flat[None])[0], abs=1e-5)
    with pytest.raises(ValueError, match="missing"):
        network.probability(missing)


def test_device_parity_passes_on_the_device(bundle):
    command = [sys.executable, "-I", bundle / "device_parity.py", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["contract"] == "maxabs-200"
    assert found["against_model"]["max_delta"] <= 1e-5


def test_native_code_says_what_the_reference_says(program, reference, bundle, beat, tmp_path):
    beat.astype(np.float32).tofile(tmp_path / "beat.f32")
    command = [program, bundle / "model.tflite", tmp_path / "beat.f32", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, encoding="utf-8")
    found = float(re.search(r"P\(OMI\) (\S+)", done.stdout).group(1))
    assert found == pytest.approx(reference.probability(beat[None])[0], abs=1e-5)


@pytest.mark.parametrize("quantization", [pytest.param("float16", marks=pytest.mark.slow), "dynamic", "int8"])
def test_in_every_format_what_resamples_is_in_float(quantization, few_ecgs):
    beats = load_dataset(few_ecgs).beats[:8]
    candidate = next(convert(small(contract="maxabs-200"), quantization, beats, contract="maxabs-200"))
    interpreter = interpreter_class()(model_content=candidate.content)
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    read = [tensors[index] for one in interpreter._get_ops_details() for index in one["inputs"] if index in tensors]
    # The kernel that resamples, and no rounded copy of it. Zeros and signs are the same in any format.
    assert [tensor["dtype"] for tensor in read if tensor["shape"].tolist() == [20, 1, 11, 40]] == [np.float32]


@pytest.fixture(scope="module")
def trained(easy_dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    settings = ("--folds", 0, "--n-folds", 5, "--epochs", 6, "--batch-size", 16, "--learning-rate", 3e-4)
    for command in (
        ("train", easy_dataset, folder / "run", "--input", "maxabs-200", *settings),
        ("select", folder / "run", folder / "model"),
    ):
        done = run_cli(*command)
        assert done.exit_code == 0, done.output
    return folder / "model"


@pytest.mark.parametrize("quantization", ["float32", "float16", "dynamic", "int8"])
@pytest.mark.slow
def test_ecg_smart_net_passes_its_gate_in_every_format(quantization, trained, easy_dataset, tmp_path):
    for command in (
        ("export-tflite", trained, tmp_path / "bundle", "--dataset", easy_dataset, "--quantize", quantization),
        ("check-parity", tmp_path / "bundle", "--model", trained, "--dataset", easy_dataset),
    ):
        done = run_cli(*command)
        assert done.exit_code == 0, done.output
    assert load_model(trained).contract == load(tmp_path / "bundle")[0]["input"]["contract"] == "maxabs-200"
