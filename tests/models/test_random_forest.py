"""The random forest: same folds and interface as the networks, no pickle, nothing else in its file."""

import copy
import json

import numpy as np
import pandas as pd
import pytest
from helpers import run_cli
from skops.io import dump

from omi_keras.data.dataset import load_dataset
from omi_keras.measures.features import FEATURES, MEASURES, beat_features
from omi_keras.model import load_model
from omi_keras.models.random_forest import RandomForest, grow_forest, load_forest, save_forest
from omi_keras.recordings.errors import InputError
from omi_keras.training import forest as candidates
from omi_keras.training.run import HISTORY_COLUMNS, load_run

SETTINGS = {"trees": 20, "min_samples_leaf": 2, "max_features": 0.1}


@pytest.fixture(scope="module")
def learned(easy_dataset):
    """Features, labels and a small forest grown on the first 100 ECGs."""
    dataset = load_dataset(easy_dataset)
    features, omi = beat_features(dataset.beats), dataset.ecgs["omi"].to_numpy(int)
    return features, omi, grow_forest(features[:100], omi[:100], seed=3, **SETTINGS)


@pytest.fixture(scope="module")
def run(easy_dataset, tmp_path_factory):
    """Two folds through the command line."""
    run = tmp_path_factory.mktemp("forest") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "TREES", 30)
        done = run_cli("train", easy_dataset, run, "--model", "random-forest", "--folds", "0,3", "--n-folds", 5)
    assert done.exit_code == 0, done.output
    return run


def test_it_learns_what_is_easy(learned):
    features, omi, forest = learned
    probability = forest.probability(features[100:])
    assert probability.shape == (60,)
    assert ((probability >= 0) & (probability <= 1)).all()
    assert probability[omi[100:] == 1].mean() > 0.6 > 0.3 > probability[omi[100:] == 0].mean()
    # The dataset lifts ST and T in V1 to V5.
    lifted = np.array([("_st_" in name or "_t_" in name) and "qrs" not in name for name in FEATURES])
    assert forest.importances[lifted].sum() > 0.7


def test_same_seed_same_forest_for_any_number_of_jobs(learned):
    features, omi, forest = learned
    expected = forest.probability(features)
    again = grow_forest(features[:100], omi[:100], seed=3, jobs=2, **SETTINGS)
    np.testing.assert_array_equal(again.probability(features), expected)
    other = grow_forest(features[:100], omi[:100], seed=4, **SETTINGS)
    assert not np.array_equal(other.probability(features), expected)


def test_classes_weigh_the_same(learned):
    """Where features say nothing, P(OMI) is one half, whatever the prevalence."""
    noise = np.random.default_rng(0).standard_normal((400, len(FEATURES)))
    omi = (np.arange(400) % 20 == 0).astype(int)
    # Leaves too large for any split.
    forest = grow_forest(noise, omi, trees=100, min_samples_leaf=201, max_features=0.1, seed=0)
    assert forest.probability(noise) == pytest.approx(0.5)


def test_saved_and_read_back(learned, tmp_path):
    features, _, forest = learned
    save_forest(tmp_path / "model.skops", forest)
    again = load_forest(tmp_path / "model.skops")
    np.testing.assert_array_equal(again.probability(features), forest.probability(features))
    assert again.features == FEATURES
    assert forest.importances.sum() == pytest.approx(1)


def test_other_content_is_not_opened(learned, tmp_path):
    path = tmp_path / "model.skops"
    for content, reason in (
        ({"forest": [1, 2]}, "does not hold a random forest"),
        ({"forest": learned[2].forest, "features": ["a"]}, "grown on other features"),
        ({"forest": learned[2].forest, "features": list(FEATURES)}, "measured the same features otherwise"),
        ({"forest": learned[2].forest, "features": list(FEATURES), "measures": 99}, "measured the same features"),
        (RandomForest, "holds what no random forest needs, so it was not opened: omi_keras"),
    ):
        dump(content, path)
        with pytest.raises(InputError, match=reason):
            load_forest(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(InputError, match="does not hold a random forest"):
        load_forest(path)


def test_a_tree_that_leads_out_of_its_array_is_not_followed(learned, tmp_path):
    forest = copy.deepcopy(learned[2])
    grown = forest.forest.estimators_[0]
    make, arguments, state = grown.tree_.__reduce__()
    for field, value in (("left_child", 10**6), ("left_child", 0), ("feature", len(FEATURES))):
        altered = make(*arguments)
        nodes = state["nodes"].copy()
        nodes[field][0] = value
        altered.__setstate__({**state, "nodes": nodes})
        grown.tree_ = altered
        # Not by save_forest, which would follow the tree for its importances.
        content = {"forest": forest.forest, "features": list(FEATURES), "measures": MEASURES}
        dump(content, tmp_path / "model.skops")
        with pytest.raises(InputError, match="its trees do not hold together"):
            load_forest(tmp_path / "model.skops")


def test_the_run_has_the_files_and_folds_of_a_networks_run(run, trained_run):
    pd.testing.assert_frame_equal(pd.read_csv(run / "folds.csv"), pd.read_csv(trained_run / "folds.csv"))
    found = load_run(run)
    assert [result.fold for result in found.results] == [0, 3]
    for result in found.results:
        assert sorted(path.name for path in result.path.iterdir()) == [
            "history.csv", "importances.csv", "metrics.json", "model.skops", "predictions.csv",
        ]  # fmt: skip
        assert tuple(result.history.columns[: len(HISTORY_COLUMNS)]) == HISTORY_COLUMNS
        assert len(result.history) == len(candidates.CANDIDATES)
        best = result.history["val_score"].idxmax()
        assert result.metrics["best_epoch"] == result.history["epoch"][best]
        assert result.metrics["validation"]["score"] == pytest.approx(result.history["val_score"][best])
        assert result.metrics["test"]["auc"] > 0.9
        importances = pd.read_csv(result.path / "importances.csv")
        assert sorted(importances["feature"]) == sorted(FEATURES)
        assert importances["importance"].is_monotonic_decreasing


def test_it_is_judged_beside_a_network_selected_and_asked(run, trained_run, easy_dataset, tmp_path):
    done = run_cli("evaluate", run, trained_run, tmp_path / "report", "--json")
    assert done.exit_code == 0, done.output
    assert {row["model"] for row in json.loads(done.stdout)["table4"]} == {"random-forest", "ecg-smart-net"}
    model = tmp_path / "model"
    assert run_cli("select", run, model).exit_code == 0
    dataset, folder = load_dataset(easy_dataset), load_model(model)
    kept = load_run(run).best("validation").split("test").set_index("ecg_id")["probability"]
    found = dict(zip(dataset.ecgs["ecg_id"], folder.probability(dataset.beats), strict=True))
    assert [found[ecg_id] for ecg_id in kept.index] == pytest.approx(kept.to_numpy())
    records = tmp_path / "records"
    assert (
        run_cli("simulate", records, "--ecgs", 1, "--patients", 1, "--prevalence", 0, "--as", "records").exit_code == 0
    )
    done = run_cli("predict", model, next(records.glob("*.hea")), "--json")
    assert done.exit_code == 0, done.output
    assert 0 <= json.loads(done.stdout)[0]["probability"] <= 1
    done = run_cli("export-tflite", model, tmp_path / "bundle", "--dataset", easy_dataset)
    assert done.exit_code == 2
    assert "only networks become bundles" in done.stderr


def test_options_of_networks_are_named_as_unused(easy_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(candidates, "TREES", 10)
    done = run_cli(
        "train", easy_dataset, tmp_path / "run", "--model", "random-forest", "--folds", 0, "--n-folds", 5,
        "--epochs", 3, "--learning-rate", 0.1,
    )  # fmt: skip
    assert done.exit_code == 0
    assert "random-forest has no use for --epochs, --learning-rate" in done.stderr
