"""Names and shapes of parameters are an interface: docs/reference/weights.md tells them, and they stay."""

import random
import re
from pathlib import Path

import numpy as np
import pytest

from omi_keras.models.catalogue import MODELS, NETWORKS, RANDOM_FOREST, build
from omi_keras.models.weights.torch_weights import to_torch, torch_names

WEIGHTS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "weights.md"
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


def documented(name):
    """{parameter: shape} that docs/reference/weights.md lists for a network."""
    section = WEIGHTS.read_text(encoding="utf-8").split(f"\n## {name}\n")[1].split("\n## ")[0]
    found = {}
    for line in section.split("```")[1].strip().splitlines():
        module, what = line.split(maxsplit=1)
        if channels := re.fullmatch(r"batch normalisation of (\d+)", what):
            found |= {f"{module}.{part}": (int(channels[1]),) for part in BATCH_NORM}
        for part, shape in re.findall(r"(weight|bias) \(([\d, ]+)\)", what):
            found[f"{module}.{part}"] = tuple(int(n) for n in shape.split(",") if n.strip())
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_names_and_shapes_are_the_documented_ones(name):
    variables = torch_names(build(name))
    assert {key: to_torch(np.empty(variable.shape)).shape for key, variable in variables.items()} == documented(name)


def test_every_model_has_its_name():
    assert (*NETWORKS, RANDOM_FOREST) == MODELS
    assert {name: build(name).name for name in NETWORKS} == {name: name.replace("-", "_") for name in NETWORKS}


@pytest.mark.parametrize("name", NETWORKS)
def test_initial_weights_come_from_the_seed_alone(name):
    """Whatever other threads of the process draw from the generator that Keras uses."""

    def weights(drawn, seed):
        random.seed(drawn)
        return np.concatenate([weight.ravel() for weight in build(name, seed=seed).get_weights()])

    first = weights(1, 7)
    np.testing.assert_array_equal(weights(2, 7), first)
    assert (weights(1, 8) != first).mean() > 0.9


def test_the_summary_reads_like_table_1():
    lines = []
    build("ecg-smart-net").summary(line_length=120, print_fn=lambda line, line_break=False: lines.append(line))
    text = "\n".join(lines)
    for name, shape in (("conv1", "12, 200, 64"), ("layer4_1_relu2", "12, 13, 512"), ("conv2", "1, 13, 512")):
        assert re.search(rf"{name} .*{shape}", text)
