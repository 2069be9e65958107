"""A model for other patients: folded into the read-out, the order of ECGs untouched, the old one remembered."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers import run_cli

from omi_keras.data.beat_sums import beat_sums
from omi_keras.data.dataset import Dataset
from omi_keras.evaluation.bands import find_bands
from omi_keras.evaluation.metrics import best_f1_threshold, ranking_metrics
from omi_keras.evaluation.platt import probability_of
from omi_keras.measures.features import FEATURES, beat_features
from omi_keras.model import Model, load_model
from omi_keras.models.catalogue import NETWORKS, build
from omi_keras.models.ensemble import ensemble_of
from omi_keras.models.inference import omi_probability, predict_logits
from omi_keras.models.known_ecgs import known_sums
from omi_keras.models.random_forest import grow_forest
from omi_keras.models.read_out import folded, kept_read_outs, unfolded
from omi_keras.recordings.errors import InputError

ECGS = 240
ABOUT = {"model": "mayo-alvd", "simulated": False, "threshold": 0.5, "metrics": {"test": {"auc": 0.8}}}


@pytest.fixture(scope="module")
def beats():
    rng = np.random.default_rng(8)
    return np.cumsum(rng.normal(0, 0.05, (ECGS, 12, 600)), axis=2).astype(np.float32)


@pytest.fixture(scope="module")
def model(beats, tmp_path_factory):
    """A Mayo network that was trained somewhere; it says three times too much and far too high."""
    network = build("mayo-alvd", seed=5)
    difference = np.diff(predict_logits(network, beats))[:, 0].astype(np.float64)
    kernel, bias = network.layers[-1].get_weights()
    scale = 3 / difference.std()
    shift = np.array([0, 2 - scale * difference.mean()], np.float32)
    network.layers[-1].set_weights([scale * kernel, scale * bias + shift])
    path = tmp_path_factory.mktemp("before") / "model"
    Model(ABOUT | {"provenance": {"imported_from": "PyTorch"}}, network=network).save(path)
    return load_model(path)


@pytest.fixture(scope="module")
def local(model, beats):
    """ECGs whose log odds of OMI are a third of what the model says, less 2."""
    odds = np.diff(predict_logits(model.network, beats))[:, 0].astype(np.float64) / 3 - 2
    omi = (np.random.default_rng(1).random(ECGS) < probability_of(odds)).astype(int)
    return Dataset.from_arrays(beats, omi, [f"p{number // 2}" for number in range(ECGS)])


@pytest.fixture(scope="module")
def after(model, local):
    return model.recalibrate(local)


def test_folding_scales_and_shifts_the_difference_of_logits(model, beats):
    twin = folded(model.network, 0.37, -1.25)
    before, then = (predict_logits(one, beats[:3]).astype(np.float64) for one in (model.network, twin))
    np.testing.assert_allclose(np.diff(then), 0.37 * np.diff(before) - 1.25, atol=1e-5)
    np.testing.assert_allclose(then.sum(axis=1), 0.37 * before.sum(axis=1), atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_of_every_network_only_the_read_out_changes_and_can_be_had_again(name):
    network = build(name, seed=1)
    twin = folded(network, 0.37, -1.25)
    assert [layer.name for layer in twin.layers] == [layer.name for layer in network.layers]
    *others, kernel, bias = network.get_weights()
    *same, new_kernel, new_bias = twin.get_weights()
    assert kernel.shape[1] == 2
    assert all(np.array_equal(a, b) for a, b in zip(others, same, strict=True))
    np.testing.assert_allclose(new_kernel, 0.37 * kernel, rtol=1e-6)
    np.testing.assert_allclose(new_bias, 0.37 * bias + [0.625, -0.625], rtol=1e-6)
    again = unfolded(twin, kept_read_outs(network), 0.37, -1.25).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(again, network.get_weights(), strict=True))


def test_of_an_ensemble_every_member_is_scaled(beats):
    network = ensemble_of([build("mayo-alvd", seed=seed) for seed in (1, 2, 3)])
    twin = folded(network, 0.37, -1.25)
    before, then = (predict_logits(one, beats[:3]).astype(np.float64) for one in (network, twin))
    np.testing.assert_allclose(np.diff(then), 0.37 * np.diff(before) - 1.25, atol=1e-5)
    again = unfolded(twin, kept_read_outs(network), 0.37, -1.25).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(again, network.get_weights(), strict=True))


def test_probabilities_are_repaired_and_their_order_is_kept(model, after, local):
    omi = local.ecgs["omi"].to_numpy(int)
    before, then = model.probability(local.beats), after.probability(local.beats)
    assert before.mean() > omi.mean() + 0.2
    assert then.mean() == pytest.approx(omi.mean(), abs=0.01)
    fit = after.info["calibration"]["fit"]
    assert fit["slope_lo"] < 1 / 3 < fit["slope_hi"]
    assert fit["intercept_lo"] < -2 < fit["intercept_hi"]
    np.testing.assert_array_equal(np.argsort(then, kind="stable"), np.argsort(before, kind="stable"))
    assert ranking_metrics(omi, then)["auc"] == pytest.approx(ranking_metrics(omi, before)["auc"], abs=1e-12)


def test_near_and_equal_logits_keep_their_order(model, after, beats):
    """A float32 network with other weights would round neighbours otherwise."""
    rng = np.random.default_rng(0)
    near = np.repeat(beats[:4], 100, axis=0)
    near[:, 3, 300] += rng.normal(0, 1e-5, 400).astype(np.float32)
    near[1::2] = near[::2]
    before, then = model.probability(near), after.probability(near)
    assert len(np.unique(before)) > 8
    assert len(np.unique(before)) == len(np.unique(then))
    np.testing.assert_array_equal(np.argsort(then, kind="stable"), np.argsort(before, kind="stable"))


def test_the_network_itself_says_the_new_probabilities(model, after, local):
    said = omi_probability(predict_logits(after.network, local.beats))
    np.testing.assert_allclose(said, after.probability(local.beats), atol=1e-5)
    maps = [one.saliency(local.beats[:3]) for one in (model, after)]
    scale = after.info["calibration"]["slope"]
    np.testing.assert_allclose(maps[1], scale * maps[0], rtol=1e-3, atol=1e-4 * maps[1].max())


@pytest.fixture(scope="module")
def elsewhere(local):
    """A third hospital: ECGs a tenth larger, which a standardised input does not show, and the same numbers."""
    omi, patients = local.ecgs["omi"].to_numpy(int), local.ecgs["patient_id"]
    return Dataset.from_arrays(1.1 * local.beats, omi, patients)


def test_operating_points_are_of_the_new_probabilities(after, local, elsewhere):
    omi, then = local.ecgs["omi"].to_numpy(int), after.probability(local.beats)
    assert after.threshold == best_f1_threshold(omi, then)
    assert after.bands == find_bands(omi, then)
    guaranteed = after.recalibrate(elsewhere, other_patients=True, guaranteed=True, sensitivity=0.85)
    assert guaranteed.info["bands_details"]["guarantee"]["rule_out_at_most"] <= 0.15 + 1e-9


def test_the_folder_remembers_the_old_model(model, after, local, tmp_path):
    path = tmp_path / "after"
    after.save(path)
    info = json.loads((path / "model.json").read_text(encoding="utf-8"))
    before = info["calibration"]["before"]
    assert before["threshold"] == 0.5
    assert before["metrics"] == {"test": {"auc": 0.8}}
    assert len(before["model_json_sha256"]) == 64
    old = json.loads((model.path / "model.json").read_text(encoding="utf-8"))
    assert before["weights_sha256"] == old["sha256"]["model.keras"] != info["sha256"]["model.keras"]
    assert info["calibration"]["dataset_sha256"] == local.fingerprint()
    assert "cross_fitted" in info["metrics"]
    again = load_model(path)
    np.testing.assert_array_equal(again.probability(local.beats), after.probability(local.beats))
    assert (again.threshold, again.bands) == (after.threshold, after.bands)
    folds = pd.read_csv(path / "folds.csv", dtype=str)
    assert set(folds["ecg_id"]) == set(local.ecgs["ecg_id"])
    # Whatever they are called elsewhere; what else an imported model has seen, nobody knows.
    assert known_sums(again.info, again.folds) == (frozenset(beat_sums(local.beats)), False)


def test_again_elsewhere_is_one_calibration_of_what_was_trained(model, after, elsewhere):
    twice = after.recalibrate(elsewhere, other_patients=True)
    fit = twice.info["calibration"]["fit"]
    # Platt's targets are no labels, so that right probabilities stay all but the same.
    assert fit["slope"] == pytest.approx(1, abs=0.02)
    odds = np.diff(predict_logits(model.network, elsewhere.beats))[:, 0].astype(np.float64)
    calibration = twice.info["calibration"]
    expected = probability_of(calibration["slope"] * odds + calibration["intercept"])
    np.testing.assert_allclose(twice.probability(elsewhere.beats), expected, atol=1e-12)
    assert "read_out" not in calibration["before"]["calibration"]
    assert twice.info["recalibration_folds"] == [0, 1]
    # Their beats are known again, whatever the ids are.
    with pytest.raises(InputError, match="was trained or validated on 240 of the 240 labelled ECGs"):
        twice.recalibrate(elsewhere, other_patients=True)
    names = pd.Series([f"q{number}" for number in range(ECGS)])
    renamed = Dataset.from_arrays(elsewhere.beats, elsewhere.ecgs["omi"], names, ecg_id=names)
    with pytest.raises(InputError, match="240 of the 240"):
        twice.recalibrate(renamed)
    assert known_sums(twice.info, twice.folds)[1] is False, "of what it was trained on elsewhere nothing is known"
    assert twice.folds["ecg_id"].is_unique
    assert len(twice.folds) == 2 * ECGS


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c | {"slope": -1.0}, "calibration.slope"),
        (lambda c: c | {"slope": 0.9}, "its network is not the one that its calibration was fitted to"),
        (lambda c: {name: c[name] for name in c if name != "read_out"}, "holds no read-out of this network"),
        (lambda c: c | {"read_out": [["AAAA", "AAAA"]]}, "holds no read-out of this network"),
        (lambda c: c | {"read_out": [["!", 1]]}, "holds no read-out of this network"),
        (lambda c: [c], "calibration.slope"),
    ],
)
def test_a_calibration_that_is_not_the_networks_is_refused(after, tmp_path, change, sentence):
    path = tmp_path / "model"
    Model(after.info, after.folds, network=after.network).save(path)
    info = json.loads((path / "model.json").read_text(encoding="utf-8"))
    info["calibration"] = change(info["calibration"])
    (path / "model.json").write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        load_model(path)


def test_what_cannot_be_recalibrated_by(model, local):
    omi = local.ecgs["omi"].to_numpy(int)
    with pytest.raises(InputError, match="has 0 patients with OMI and"):
        model.recalibrate(local.part(omi == 0))
    one = local.part(np.flatnonzero((omi == 0) | (np.arange(ECGS) == np.flatnonzero(omi)[0])))
    with pytest.raises(InputError, match="has 1 patients with OMI"):
        model.recalibrate(one)
    turned = Dataset.from_arrays(local.beats, 1 - omi, local.ecgs["patient_id"])
    with pytest.raises(InputError, match="no higher probabilities than the others"):
        model.recalibrate(turned)
    with pytest.raises(InputError, match="between 0 and 1 as the target"):
        model.recalibrate(local, sensitivity=1.0)


def test_a_random_forest(local, tmp_path):
    omi = local.ecgs["omi"].to_numpy(int)
    features = beat_features(local.beats)
    grown = grow_forest(features[:120], omi[:120], trees=15, min_samples_leaf=1, max_features=0.3, seed=0)
    assert features.shape[1] == len(FEATURES)
    before = Model(ABOUT | {"model": "random-forest", "provenance": {"imported_from": "here"}}, network=grown)
    own = Dataset.from_arrays(local.beats, grown.probability(features) > 0.4, local.ecgs["patient_id"])
    after = before.recalibrate(own)
    p, q = before.probability(own.beats), after.probability(own.beats)
    assert {0.0} <= set(p), "where all trees agree"
    assert 0 < q.min() < q.max() < 1
    for label in (omi, own.ecgs["omi"].to_numpy(int)):
        assert ranking_metrics(label, q)["auc"] == pytest.approx(ranking_metrics(label, p)["auc"], abs=1e-12)
    assert len(np.unique(p)) == len(np.unique(q))
    after.save(tmp_path / "forest")
    again = load_model(tmp_path / "forest")
    np.testing.assert_array_equal(again.probability(own.beats), q)
    assert again.bands == find_bands(own.ecgs["omi"].to_numpy(int), q)


@pytest.fixture
def trained(model, local, tmp_path):
    """The model as if it had been trained on the first 80 ECGs, validated on 40 and tested on 40 of them."""
    folds = local.ecgs[["ecg_id", "patient_id"]].iloc[:160].assign(fold=np.repeat([2, 1, 0], [80, 40, 40]))
    provenance = {"dataset_sha256": local.fingerprint()}
    about = ABOUT | {"validation_fold": 1, "test_fold": 0, "provenance": provenance, "simulated": True}
    Model(about, folds, network=model.network).save(tmp_path / "model")
    return tmp_path / "model"


def test_at_the_command_line(trained, local, elsewhere, tmp_path):
    local.save(tmp_path / "all")
    local.part(np.arange(ECGS) >= 120).save(tmp_path / "unseen")
    refused = run_cli("recalibrate", trained, tmp_path / "all", tmp_path / "out")
    assert refused.exit_code == 2
    assert "was trained or validated on 120 of the 240 labelled ECGs" in refused.output
    assert not (tmp_path / "out").exists()
    done = run_cli("recalibrate", trained, tmp_path / "unseen", tmp_path / "out", "--sensitivity", 0.85, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["bands_details"]["targets"] == {"sensitivity": 0.85, "ppv": 0.5}
    assert found["simulated"] is True
    assert load_model(tmp_path / "out").bands == found["bands"]
    assert "trained on simulated ECGs and recalibrated on recorded ones" in done.stderr
    assert set(pd.read_csv(tmp_path / "out" / "folds.csv")["fold"]) == {0, 1, 2, 3}
    # What recalibrated it must not recalibrate it again; elsewhere equal ids name other people.
    assert run_cli("recalibrate", tmp_path / "out", tmp_path / "unseen", tmp_path / "again").exit_code == 2
    others = ("--other-patients", "--guaranteed")
    elsewhere.save(tmp_path / "elsewhere")
    assert run_cli("recalibrate", tmp_path / "out", tmp_path / "elsewhere", tmp_path / "again").exit_code == 2
    assert run_cli("recalibrate", tmp_path / "out", tmp_path / "elsewhere", tmp_path / "again", *others).exit_code == 0
    assert run_cli("recalibrate", trained, tmp_path / "unseen", tmp_path / "out").exit_code == 2
    text = run_cli("recalibrate", trained, tmp_path / "unseen", tmp_path / "out", "--force")
    assert "log odds × " in text.output
    assert "patients with OMI, simulated" in text.output
    inside = shutil.copytree(trained, tmp_path / "out" / "model")
    assert run_cli("recalibrate", inside, tmp_path / "unseen", tmp_path / "out", "--force").exit_code == 2
