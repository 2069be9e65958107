"""The experiment at the paper's size, as small as it gets: parts, what is continued, tables of what is finished."""

import json
import sys
from pathlib import Path

import experiment
import experiment_tables
import pandas as pd
import pytest
from helpers import run_cli
from tiny_network import tiny

from omi_keras.training import fit, forest


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call the script with options; returns the commands that it called, here and with forests that grow at once."""
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
    page = tmp_path / "results.md"
    page.write_text("# Mine\n<!-- systems -->\n<!-- end -->\nThat was it.\n", encoding="utf-8")
    wanted = ("random-forest", "mayo-alvd", "mayo-alvd+light", "curve:random-forest", "new")
    made = run(*(word for part in wanted for word in ("--only", part)), "--page", str(page))
    assert made == [
        ("simulate", False), ("train", False), ("train", False), ("train", False), ("simulate", False),
        ("learning-curve", False), ("simulate", False), ("select", False), ("select", False), ("select", False),
        ("validate", False),
    ]  # fmt: skip
    assert page.read_text(encoding="utf-8").startswith("# Mine\n<!-- systems -->\n\n| system (simulated)")
    assert page.read_text(encoding="utf-8").endswith("\n<!-- end -->\nThat was it.\n")
    systems = pd.read_csv(out / "tables" / "systems.csv").set_index("model")
    assert sorted(systems.index) == ["mayo-alvd+light-2-epochs", "mayo-alvd-2-epochs", "random-forest"]
    assert list(systems.loc[["mayo-alvd-2-epochs", "mayo-alvd+light-2-epochs"], "augment"]) == ["none", "light"]
    assert systems["simulated"].all() and (systems["auc_lo"] <= systems["auc"]).all()
    metrics = json.loads((out / "runs" / "random-forest" / "fold-00" / "metrics.json").read_text(encoding="utf-8"))
    assert int(systems.loc["random-forest", "kept_epochs"]) == metrics["best_epoch"]
    assert systems.loc["random-forest", "val_ap"] == pytest.approx(metrics["validation"]["ap"])
    differences = pd.read_csv(out / "tables" / "differences.csv")
    pairs = set(zip(differences["first"], differences["second"], strict=True))
    assert pairs == {
        ("mayo-alvd+light-2-epochs", "mayo-alvd-2-epochs"),
        ("mayo-alvd-2-epochs", "random-forest"),
        ("mayo-alvd+light-2-epochs", "random-forest"),
    }
    for row in differences[differences["metric"] == "auc"].to_dict("records"):
        by_hand = systems.loc[row["first"], "auc"] - systems.loc[row["second"], "auc"]
        assert row["difference"] == pytest.approx(by_hand)
    # The same pairs by ECGs that nobody learned from, as validate says them, in the order of the other table.
    found = json.loads((out / "new" / "report.json").read_text(encoding="utf-8"))
    names = {model["name"]: Path(model["path"]).name for model in found["models"]}
    auc = {names[row["model"]]: row["auc"] for row in found["metrics"]}
    new = pd.read_csv(out / "tables" / "new_differences.csv")
    assert set(zip(new["first"], new["second"], strict=True)) == pairs
    for row in new[new["metric"] == "auc"].to_dict("records"):
        assert row["difference"] == pytest.approx(auc[row["first"]] - auc[row["second"]])
        assert row["lo"] <= row["difference"] <= row["hi"]
    beside = pd.read_csv(out / "tables" / "new_ecgs.csv")
    gained = beside["beside_stemi_first_value"] - beside["beside_stemi_second_value"]
    assert gained.to_numpy() == pytest.approx(beside["beside_stemi_difference"].to_numpy())
    told = (out / "experiment.md").read_text(encoding="utf-8")
    assert "**simulated**" in told and "## Learning curves" in told and told.count("| random-forest |") >= 3
    assert (page.with_suffix("") / "learning_curves.png").stat().st_size > 10_000
    # A network beside the forest that learned from the same patients.
    assert run("--only", "curve:mayo-alvd") == [("learning-curve", False)]
    curves = pd.read_csv(out / "tables" / "learning_curves.csv").set_index(["model", "size"])["test_auc"]
    beside = pd.read_csv(out / "tables" / "curve_differences.csv").query("metric == 'auc'")
    assert list(beside["size"]) == [0.5, 1]
    for row in beside.to_dict("records"):
        by_hand = curves["mayo-alvd", row["size"]] - curves["random-forest", row["size"]]
        assert row["difference"] == pytest.approx(by_hand)
    # Again, and with other epochs: what is there is continued, what is another run is made.
    assert run("--only", "mayo-alvd") == [("train", True)]
    assert run("--only", "mayo-alvd", "--epochs", "1") == [("train", False)]
    assert len(pd.read_csv(out / "tables" / "systems.csv")) == 4
    before = (out / "experiment.md").read_bytes()
    assert run("--tables") == []
    assert (out / "experiment.md").read_bytes() == before


@pytest.mark.slow
def test_a_rate_is_searched_by_validation_and_trained_with(run, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "build", tiny)
    made = run("--only", "ecg-smart-net+searched+light")
    assert [command for command, _ in made] == ["simulate", "search-lr", "train"]
    systems = pd.read_csv(tmp_path / "out" / "tables" / "systems.csv")
    searched = pd.read_csv(tmp_path / "out" / "search-ecg-smart-net" / "rates.csv")
    best = searched["learning_rate"].iloc[0]
    assert list(systems["learning_rate"]) == [best] and list(systems["augment"]) == ["light"]
    told = pd.read_csv(tmp_path / "out" / "tables" / "rates.csv")
    assert told["simulated"].all() and set(told["model"]) == {"ecg-smart-net"}
    assert told[searched.columns].equals(searched)
    assert f"| ecg-smart-net | {best:g} |" in (tmp_path / "out" / "experiment.md").read_text(encoding="utf-8")


def test_pairs_differ_by_one_thing():
    names = ["a-9-epochs", "a+light-9-epochs", "a+searched-9-epochs", "a+searched+light-9-epochs", "a+light-5-epochs"]
    assert set(experiment_tables.pairs(names)) == {
        ("a+light-9-epochs", "a-9-epochs"),
        ("a+searched-9-epochs", "a-9-epochs"),
        ("a+searched+light-9-epochs", "a+light-9-epochs"),
        ("a+searched+light-9-epochs", "a+searched-9-epochs"),
    }


def test_differences_in_the_order_that_is_wanted():
    row = {"first": "a", "second": "b", "metric": "auc", "difference": 0.1, "lo": -0.2, "hi": 0.3, "p": 0.5}
    compared = pd.DataFrame([row, row | {"metric": "ap", "difference": 0.0}, row | {"metric": "sensitivity"}])
    compared["simulated"] = True
    as_it_is = experiment_tables._pairwise(compared, [("a", "b")])
    turned = experiment_tables._pairwise(compared, [("b", "a")])
    assert list(as_it_is["metric"]) == list(turned["metric"]) == ["auc", "ap"]
    assert tuple(as_it_is.loc[0, ["difference", "lo", "hi"]]) == (0.1, -0.2, 0.3)
    assert tuple(turned.loc[0, ["first", "second", "difference", "lo", "hi"]]) == ("b", "a", -0.1, -0.3, 0.2)


def test_only_what_stands_between_marks_is_replaced():
    text = "a\n<!-- systems -->\nold\n<!-- end -->\nb\n<!-- other -->\nkept\n<!-- end -->\n"
    once = experiment_tables.marked(text, {"systems": "new \\1", "absent": "nothing"})
    assert once == text.replace("old", "\nnew \\1\n")
    assert experiment_tables.marked(once, {"systems": "new \\1"}) == once
