"""The experiment at the paper's size, as small as it gets: parts, what is continued, tables of what is finished."""

import sys

import experiment
import pandas as pd
import pytest
from helpers import run_cli
from tiny_network import tiny

from omi_keras.training import fit, forest


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call the script with options; returns the commands that it called, here and with models that train at once."""
    monkeypatch.setattr(fit, "build", tiny)
    monkeypatch.setattr(forest, "TREES", 40)
    monkeypatch.setattr(forest, "CANDIDATES", forest.CANDIDATES[:1])
    called = []

    def call(words):
        called.append(words)
        done = run_cli(*words)
        assert done.exit_code == 0, done.output
        return 0

    def script(*options):
        monkeypatch.setattr(experiment, "call", call)
        monkeypatch.setattr(sys, "argv", ["experiment.py", str(tmp_path / "out"), "--small", *options])
        called.clear()
        experiment.main()
        return [(words[0], "--resume" in words) for words in called]

    return script


@pytest.mark.slow
def test_parts_are_made_continued_and_written_down(run, tmp_path):
    out = tmp_path / "out"
    wanted = ("random-forest", "mayo-alvd", "mayo-alvd+light", "curve:random-forest")
    made = run(*(word for part in wanted for word in ("--only", part)))
    assert made == [
        ("simulate", False), ("train", False), ("train", False), ("train", False), ("simulate", False),
        ("learning-curve", False),
    ]  # fmt: skip
    systems = pd.read_csv(out / "experiment.csv").set_index("model")
    assert sorted(systems.index) == ["mayo-alvd+light-2-epochs", "mayo-alvd-2-epochs", "random-forest"]
    assert list(systems.loc[["mayo-alvd-2-epochs", "mayo-alvd+light-2-epochs"], "augment"]) == ["none", "light"]
    assert systems["simulated"].all() and (systems["auc_lo"] <= systems["auc"]).all()
    differences = pd.read_csv(out / "differences.csv")
    pairs = set(zip(differences["first"], differences["second"], strict=True))
    assert pairs == {
        ("mayo-alvd+light-2-epochs", "mayo-alvd-2-epochs"),
        ("mayo-alvd-2-epochs", "random-forest"),
        ("mayo-alvd+light-2-epochs", "random-forest"),
    }
    for row in differences[differences["metric"] == "auc"].to_dict("records"):
        by_hand = systems.loc[row["first"], "auc"] - systems.loc[row["second"], "auc"]
        assert row["difference"] == pytest.approx(by_hand)
    page = (out / "experiment.md").read_text(encoding="utf-8")
    assert "**simulated**" in page and "## Learning curves" in page and page.count("| random-forest |") >= 3
    # Again, and with other epochs: what is there is continued, what is another run is made.
    assert run("--only", "mayo-alvd") == [("train", True)]
    assert run("--only", "mayo-alvd", "--epochs", "1") == [("train", False)]
    assert len(pd.read_csv(out / "experiment.csv")) == 4
    before = (out / "experiment.md").read_bytes()
    assert run("--tables") == []
    assert (out / "experiment.md").read_bytes() == before


@pytest.mark.slow
def test_a_rate_is_searched_by_validation_and_trained_with(run, tmp_path):
    made = run("--only", "ecg-smart-net+searched+light")
    assert [command for command, _ in made] == ["simulate", "search-lr", "train"]
    systems = pd.read_csv(tmp_path / "out" / "experiment.csv")
    best = pd.read_csv(tmp_path / "out" / "search-ecg-smart-net" / "rates.csv")["learning_rate"].iloc[0]
    assert list(systems["learning_rate"]) == [best] and list(systems["augment"]) == ["light"]


def test_pairs_differ_by_one_thing():
    names = ["a-9-epochs", "a+light-9-epochs", "a+searched-9-epochs", "a+searched+light-9-epochs", "a+light-5-epochs"]
    assert set(experiment._pairs(names)) == {
        ("a+light-9-epochs", "a-9-epochs"),
        ("a+searched-9-epochs", "a-9-epochs"),
        ("a+searched+light-9-epochs", "a+light-9-epochs"),
        ("a+searched+light-9-epochs", "a+searched-9-epochs"),
    }
