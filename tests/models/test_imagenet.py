"""ImageNet weights reach the residual blocks; stem and read-out stay new."""

import keras
import numpy as np
import pytest
from helpers import random_state, run_cli

from omi_keras.models.catalogue import build
from omi_keras.models.weights.imagenet import REPLACED, read_imagenet_weights, start_from_imagenet
from omi_keras.models.weights.torch_weights import to_torch, torch_names
from omi_keras.recordings.errors import InputError


@pytest.fixture(scope="module")
def state():
    """What torchvision saves: three colours, a thousand classes."""
    rng = np.random.default_rng(0)
    state = random_state("resnet18", 4)
    state["conv1.weight"] = rng.standard_normal((64, 3, 7, 7)).astype(np.float32)
    state["fc.weight"] = rng.standard_normal((1000, 512)).astype(np.float32)
    state["fc.bias"] = rng.standard_normal(1000).astype(np.float32)
    return state


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    from safetensors.numpy import save_file

    path = tmp_path_factory.mktemp("imagenet") / "resnet18.safetensors"
    save_file(state, path)
    return path


def test_all_but_the_stem_and_the_read_out_is_taken(file, state):
    keras.utils.set_random_seed(3)
    fresh = {name: np.array(variable) for name, variable in torch_names(build("resnet18")).items()}
    keras.utils.set_random_seed(3)
    model = build("resnet18")
    start_from_imagenet(model, read_imagenet_weights(file))
    for name, variable in torch_names(model).items():
        if name in REPLACED:
            np.testing.assert_array_equal(np.asarray(variable), fresh[name])
        else:
            np.testing.assert_array_equal(to_torch(np.asarray(variable)), state[name])


@pytest.mark.slow
def test_a_run_starts_from_them_and_says_so(file, easy_dataset, tmp_path, state):
    import json

    from omi_keras.models.model_folder import load_weights

    run = tmp_path / "run"
    options = ("--folds", 0, "--n-folds", 5, "--epochs", 1, "--batch-size", 16, "--learning-rate", 1e-9)
    done = run_cli("train", easy_dataset, run, "--model", "resnet18", "--imagenet-weights", file, *options)
    assert done.exit_code == 0, done.output
    assert len(json.loads((run / "config.json").read_text(encoding="utf-8"))["imagenet_sha256"]) == 64
    kernel = load_weights("resnet18", run / "fold-00" / "model.keras").get_layer("layer4_1_conv2").kernel
    np.testing.assert_allclose(to_torch(np.asarray(kernel)), state["layer4.1.conv2.weight"], atol=1e-6)
    other = run_cli("train", easy_dataset, run, "--model", "resnet18", *options, "--resume")
    assert other.exit_code == 2
    assert "imagenet_sha256" in other.stderr


def test_without_the_file_the_message_says_where_to_get_it(easy_dataset, tmp_path):
    missing = tmp_path / "resnet18.pt"
    done = run_cli("train", easy_dataset, tmp_path / "run", "--model", "resnet18", "--imagenet-weights", missing)
    assert done.exit_code == 2
    assert f"{missing} not found" in done.stderr
    assert "torchvision.models.resnet18(weights='IMAGENET1K_V1')" in done.stderr
    assert not (tmp_path / "run").exists()


def test_they_are_for_resnet18_only(file, easy_dataset, tmp_path):
    done = run_cli("train", easy_dataset, tmp_path / "run", "--model", "mayo-alvd", "--imagenet-weights", file)
    assert done.exit_code == 2
    assert "--imagenet-weights is for --model resnet18" in done.stderr


def test_weights_of_another_network_are_refused(state, easy_dataset, tmp_path):
    from safetensors.numpy import save_file

    bigger = {**state, "layer1.2.conv1.weight": state["layer1.1.conv1.weight"]}
    del bigger["layer3.0.downsample.0.weight"]
    save_file(bigger, tmp_path / "resnet34.safetensors")
    with pytest.raises(InputError, match=r"missing: layer3.0.downsample.0.weight; unexpected: layer1.2.conv1.weight"):
        start_from_imagenet(build("resnet18"), read_imagenet_weights(tmp_path / "resnet34.safetensors"))
    done = run_cli(
        "train", easy_dataset, tmp_path / "run", "--model", "resnet18",
        "--imagenet-weights", tmp_path / "resnet34.safetensors",
    )  # fmt: skip
    assert done.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_kerashubs_preset(state, tmp_path):
    """Its names lead to torchvision's: the backbone's features are those of torchvision's blocks on the same image."""
    hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed")
    backbone = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[2, 2, 2, 2],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
    )
    rng = np.random.default_rng(0)
    for weight in backbone.weights:
        scale = (2 / np.prod(weight.shape[:-1])) ** 0.5 if len(weight.shape) > 1 else 0.1
        value = scale * rng.standard_normal(weight.shape)
        weight.assign(np.exp(value) if weight.name in ("gamma", "moving_variance") else value)
    backbone.save_to_preset(tmp_path / "preset")
    model = build("resnet18")
    start_from_imagenet(model, read_imagenet_weights(tmp_path / "preset"))
    # The same colour three times through the preset's stem is one channel through the sum of its kernels.
    stem = np.asarray(backbone.get_layer("conv1_conv").kernel).sum(axis=2, keepdims=True)
    model.get_layer("conv1").kernel.assign(stem)
    x = rng.standard_normal((2, 12, 400, 1)).astype(np.float32)
    features = keras.Model(model.input, model.get_layer("layer4_1_relu2").output).predict_on_batch(x)
    expected = backbone.predict_on_batch(np.repeat(x, 3, axis=3))
    assert np.abs(features - expected).max() <= 2e-5 * np.abs(expected).max()


def test_a_folder_without_the_presets_weights(tmp_path):
    with pytest.raises(InputError, match=r"model.weights.h5 not found"):
        read_imagenet_weights(tmp_path)
