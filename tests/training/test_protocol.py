"""A protocol without a setting is the paper's, and so is a command without an option."""

from dataclasses import asdict

import click
import pytest

from omi_keras.cli.search_lr import search_lr
from omi_keras.cli.train import train
from omi_keras.data.dataset import load_dataset
from omi_keras.models.catalogue import LEARNING_RATES, NETWORKS
from omi_keras.recordings.errors import InputError
from omi_keras.training.config import deciding, run_id
from omi_keras.training.cross_validation import cross_validate
from omi_keras.training.protocol import Protocol

PAPER = {"epochs": 100, "batch_size": 128, "balance": "batch", "seed": 0, "precision": "float32", "weight_decay": 0.0}
PAPER |= {"schedule": "plateau", "stop_after": None, "monitor": "score", "input": "zscore-400"}
PAPER |= {"augment": "none", "loss": "plain", "label_smoothing": 0.0, "dropout": 0.0}


@pytest.mark.parametrize("network", NETWORKS)
def test_a_model_alone_is_the_papers_protocol(network):
    found = asdict(Protocol(network))
    assert {name: found[name] for name in PAPER} == PAPER
    assert found["learning_rate"] == (1e-4 if network == "mayo-alvd" else 1e-5) == LEARNING_RATES[network]
    assert Protocol(network, learning_rate=3e-4).learning_rate == 3e-4


@pytest.mark.parametrize("command", [train, search_lr])
def test_options_have_the_protocols_defaults(command):
    defaults = {parameter.name: parameter.get_default(click.Context(command)) for parameter in command.params}
    for name, value in PAPER.items():
        if name != "precision":
            assert defaults[name] == value, name


@pytest.mark.parametrize(
    "setting",
    [
        {"schedule": "cosine"}, {"monitor": "val_auc"}, {"stop_after": 0}, {"stop_after": 2.5}, {"weight_decay": -1e-4},
        {"weight_decay": float("nan")}, {"weight_decay": "much"}, {"augment": "much"}, {"augment": None},
        {"loss": "hinge"}, {"label_smoothing": 1.0}, {"label_smoothing": -0.1}, {"dropout": 1}, {"dropout": "half"},
    ],
)  # fmt: skip
def test_what_is_no_setting_is_refused(setting):
    (name,) = setting
    with pytest.raises(InputError, match=f"{name} cannot be"):
        Protocol("mayo-alvd", **setting)


@pytest.mark.parametrize(
    ("model", "contract", "told"),
    [
        ("ecg-smart-net", "zscore", "'zscore' is not known"),
        ("mayo-alvd", "maxabs-200", "mayo-alvd pools 256 samples into one"),
        ("random-forest", "maxabs-200", "a random forest reads features of the median beat"),
    ],
)
def test_an_input_that_the_model_cannot_take_is_refused(model, contract, told, tmp_path, few_ecgs):
    with pytest.raises(InputError, match=told):
        Protocol(model, input=contract)
    with pytest.raises(InputError, match=told):
        cross_validate(load_dataset(few_ecgs), tmp_path / "run", model, input=contract)
    assert not (tmp_path / "run").exists()


def test_runs_of_before_keep_their_names():
    """Folds and checkpoints carry the name of their run: settings that came later must not change it."""
    config = {
        "model": "ecg-smart-net", "epochs": 100, "batch_size": 128, "learning_rate": 1e-5, "balance": "batch",
        "seed": 0, "n_folds": 10, "dataset_sha256": {"beats.npy": "ab", "ecgs.csv": "cd"},
    }  # fmt: skip
    name = "75de5c3f824a5dc720eb76e443b7fc534eb92f0c15ee54bf893c7b918e654bfd"
    assert run_id(config) == name
    same = asdict(Protocol("ecg-smart-net")) | {name: config[name] for name in ("n_folds", "dataset_sha256")}
    assert run_id(same) == name
    assert deciding(config) == deciding(same)
    assert run_id(config | {"threads": 2, "epochs": 7}).startswith("376248df")
    for other in (
        {"input": "maxabs-200"},
        {"monitor": "loss"},
        {"stop_after": 5},
        {"schedule": "constant"},
        {"weight_decay": 1e-4},
    ):
        assert run_id(config | other) != name
    for other in ({"augment": "light"}, {"loss": "focal"}, {"label_smoothing": 0.1}, {"dropout": 0.5}):
        assert run_id(config | other) != name
