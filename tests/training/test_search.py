"""The learning rate is chosen on validation folds; no test fold is looked at."""

import json

import pandas as pd
import pytest
from helpers import run_cli

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


@pytest.mark.parametrize("rates", ["", "fast", "0", "1e-3,-1", "nan", "1e-3,,1e-4"])
def test_rates_that_are_none(rates, easy_dataset, tmp_path):
    done = run_cli("search-lr", easy_dataset, tmp_path / "out", *OPTIONS, "--rates", rates)
    assert done.exit_code == 2
    assert "no list of positive numbers" in done.stderr
