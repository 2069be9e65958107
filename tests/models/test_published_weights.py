"""docs/how-to/published-weights.md: its commands and its Python run as they stand there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers import random_state, run_cli
from torch_files import Stored, save

from omi_keras.beats.model_inputs import model_input
from omi_keras.data.dataset import load_dataset
from omi_keras.models.catalogue import build
from omi_keras.models.weights.torch_weights import load_torch_parameters

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "published-weights.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def place(few_ecgs, write_wfdb, synthetic, tmp_path_factory):
    """A folder with what the page speaks of: weights, a recording, a dataset, inputs and logits."""
    folder, state, stored = tmp_path_factory.mktemp("published"), random_state("ecg-smart-net", 1), Stored()
    save(folder / "weights.pt", {name: stored.tensor(value) for name, value in state.items()}, stored)
    stored = Stored()
    save(folder / "published-2025.pt", stored.module(state), stored)
    write_wfdb(folder, "patient", synthetic(np.arange(0.43, 9.9, 0.857)))
    (folder / "dataset").symlink_to(few_ecgs)
    x = model_input(load_dataset(few_ecgs).beats[:10])
    network = build("ecg-smart-net")
    load_torch_parameters(network, state)
    np.save(folder / "x.npy", x[:, None])
    np.save(folder / "logits.npy", np.asarray(network(x[..., None])))
    return folder


def test_the_page_does_what_it_says(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    said = []
    for line in "".join(blocks("sh")).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "omi-keras"
        done = run_cli(*arguments)
        assert done.exit_code == 0, done.output
        said.append(done.output)
    assert "threshold 0.3100" in said[0] and "P(OMI)" in said[1] and "maxabs-200" in said[2]
    assert not any("assumed" in text for text in said)
    for code in blocks("python"):
        exec(compile(code, str(PAGE), "exec"), {})
    zscore, maxabs, difference = capsys.readouterr().out.strip().splitlines()
    assert zscore.startswith("zscore-400 {'auc'") and maxabs.startswith("maxabs-200 {'auc'")
    assert zscore.partition(" ")[2] != maxabs.partition(" ")[2]
    assert float(difference) < 1e-5
