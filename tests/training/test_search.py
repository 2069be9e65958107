"""The learning rate is chosen on validation folds; no test fold is looked at."""

import json
import shutil

import pandas as pd
import pytest
from helpers import run_cli

from omi_keras.cli.display import Display
from omi_keras.data.exclusive import only_one
from omi_keras.training.locks import fold_lock

OPTIONS = ("--model", "mayo-alvd", "--folds", "0,2", "--n-folds", 5, "--epochs", 1, "--batch-size", 32)


@pytest.fixture(scope="module")
def search(easy_dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("search") / "search"
    done = run_cli("search-lr", easy_dataset, out, *OPTIONS, "--rates", "1e-3,1e-7", "--json")
    assert done.exit_code == 0, done.output
    return out, json.loads(done.stdout)


def test_rates_are_compared_by_their_mean_validation_score(search):
    out, told = search
    table = pd.read_csv(out / "rates.csv")
    assert sorted(table["learning_rate"]) == [1e-7, 1e-3]
    assert list(table["folds"]) == [2, 2]
    assert list(table["val_score_mean"]) == sorted(table["val_score_mean"], reverse=True)
    assert told["learning_rate"] == table["learning_rate"].iloc[0]
    for _, row in table.iterrows():
        scores = []
        for fold in (0, 2):
            history = pd.read_csv(out / f"rate-{row['learning_rate']:g}" / f"fold-{fold:02d}" / "history.csv")
            assert history["learning_rate"].iloc[0] == row["learning_rate"]
            scores.append(history["val_score"].max())
        assert row["val_score_mean"] == pytest.approx(sum(scores) / 2)


def test_no_test_fold_was_looked_at(search):
    out, _ = search
    for fold in out.glob("rate-*/fold-*"):
        assert set(pd.read_csv(fold / "predictions.csv")["split"]) == {"validation"}
        assert "test" not in json.loads((fold / "metrics.json").read_text(encoding="utf-8"))


def test_it_is_simulated_and_says_so(search):
    out, told = search
    assert told["simulated"] is True
    assert json.loads((out / "search.json").read_text(encoding="utf-8"))["simulated"] is True


def test_a_finished_search_is_resumed_at_once_and_never_overwritten(search, easy_dataset):
    out, told = search
    call = ("search-lr", easy_dataset, out, *OPTIONS, "--rates", "1e-3,1e-7", "--json")
    again = run_cli(*call, "--resume")
    assert json.loads(again.stdout)["rates"] == told["rates"]
    assert run_cli(*call).exit_code == 2


def test_a_search_that_is_older_than_some_settings_is_resumed(search, easy_dataset, tmp_path):
    out = tmp_path / "search"
    shutil.copytree(search[0], out)
    for path in (out / "search.json", *out.glob("rate-*/config.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        for name in ("weight_decay", "schedule", "stop_after", "monitor"):
            del content[name]
        path.write_text(json.dumps(content), encoding="utf-8")
    call = ("search-lr", easy_dataset, out, *OPTIONS, "--rates", "1e-3,1e-7", "--resume", "--json")
    assert json.loads(run_cli(*call).stdout)["rates"] == search[1]["rates"]
    other = run_cli(*call, "--monitor", "loss")
    assert other.exit_code == 2
    assert "was started with monitor score, not loss" in other.stderr


@pytest.mark.parametrize("rates", ["", "fast", "0", "1e-3,-1", "nan", "1e-3,,1e-4"])
def test_rates_that_are_none(rates, easy_dataset, tmp_path):
    done = run_cli("search-lr", easy_dataset, tmp_path / "out", *OPTIONS, "--rates", rates)
    assert done.exit_code == 2
    assert "no list of positive numbers" in done.stderr


def test_it_replaces_its_own_folder_and_nothing_else_and_its_bar_moves(easy_dataset, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(Display, "fold_done", lambda self, label: done.append(self.folds))
    out = tmp_path / "search"
    call = ("search-lr", easy_dataset, out, *OPTIONS, "--folds", 0, "--rates", "1e-3")
    assert run_cli(*call).exit_code == 0
    assert done == [1]
    (out / "of-before").touch()
    again = run_cli(*call, "--force")
    assert again.exit_code == 0, again.stderr
    assert not (out / "of-before").exists()
    assert done == [1, 1]
    # What is finished already counts.
    assert run_cli(*call, "--resume").exit_code == 0
    assert done == [1, 1, 1]
    other = run_cli(*call[:-1], "3e-3", "--seed", 7, "--resume")
    assert other.exit_code == 2
    assert "was started with seed 0, not 7" in other.stderr
    with only_one(fold_lock(out / "rate-0.001", 0), "busy"):
        busy = run_cli(*call, "--force")
    assert busy.exit_code == 2
    assert "is being trained by another process" in busy.stderr
