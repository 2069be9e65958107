"""All folds of a run as one model: it is the mean of its members in everything that a model is asked for."""

import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from helpers import run_cli

from edge import export
from edge.minimal_filtering import minimal_filtering
from edge.network import Network
from edge.verified import load
from omi_keras.data.dataset import load_dataset
from omi_keras.measures.features import beat_features
from omi_keras.model import load_model
from omi_keras.models.catalogue import build
from omi_keras.models.ensemble import ensemble_of, members_of, one_member, own_name, read_outs
from omi_keras.models.inference import omi_probability, predict_logits
from omi_keras.models.model_folder import load_weights
from omi_keras.models.random_forest import load_forest
from omi_keras.models.read_out import folded, kept_read_outs, unfolded
from omi_keras.recordings.errors import InputError
from omi_keras.saliency.maps import inputs_of, saliency_maps
from omi_keras.saliency.sanity import cascading_randomisation
from omi_keras.training import forest as candidates
from omi_keras.training.run import load_run, wanted_folds

SETTINGS = ("--model", "mayo-alvd", "--n-folds", 3, "--epochs", 1, "--batch-size", 16, "--learning-rate", 1e-3)
FEW = 24  # than a batch, so that nothing is compiled


@pytest.fixture(scope="module")
def run(few_ecgs, tmp_path_factory):
    """Three folds of 45 ECGs."""
    run = tmp_path_factory.mktemp("ensemble") / "run"
    done = run_cli("train", few_ecgs, run, *SETTINGS)
    assert done.exit_code == 0, done.output
    return run


@pytest.fixture(scope="module")
def folder(run):
    done = run_cli("select", run, run.parent / "model", "--ensemble")
    assert done.exit_code == 0, done.output
    return run.parent / "model"


@pytest.fixture(scope="module")
def members(run):
    return [load_weights("mayo-alvd", run / f"fold-{fold:02d}" / "model.keras") for fold in range(3)]


@pytest.fixture(scope="module")
def dataset(few_ecgs):
    return load_dataset(few_ecgs)


def test_its_logit_is_the_mean_of_its_members(folder, members, dataset):
    model, beats = load_model(folder), dataset.beats[:FEW]
    found = predict_logits(model.network, beats)
    of_each = np.stack([predict_logits(member, beats).astype(float) for member in members])
    assert np.ptp(of_each, axis=0).min() > 1e-4, "members that are alike would hide that one is left out"
    np.testing.assert_allclose(found, of_each.mean(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(model.probability(beats), omi_probability(of_each.mean(axis=0)), atol=1e-6)


@pytest.mark.slow
def test_many_ecgs_are_judged_by_the_same_function(folder, dataset):
    network, many = load_model(folder).network, np.concatenate([dataset.beats] * 3)
    found = predict_logits(network, many)[:45]
    np.testing.assert_allclose(found, predict_logits(network, dataset.beats), rtol=1e-5, atol=1e-5)


def test_what_the_folder_says(folder, run):
    model, trained = load_model(folder), load_run(run)
    assert (model.members, model.info["folds"], model.simulated) == (3, [0, 1, 2], True)
    assert not {"fold", "validation_fold", "test_fold"} & model.info.keys()
    pd.testing.assert_frame_equal(model.folds[list(trained.folds.columns)], trained.folds)
    assert model.bands is not None and model.info["bands_details"]["ecgs"] == len(trained.folds)
    assert "ensemble of 3" in repr(model)
    tested = pd.concat([pd.read_csv(run / f"fold-{fold:02d}" / "predictions.csv") for fold in range(3)])
    tested = tested[tested["split"] == "test"]
    assert sorted(tested["ecg_id"]) == sorted(trained.folds["ecg_id"]), "each ECG is judged once"
    alarm = tested["probability"] >= model.threshold
    found = model.info["metrics"]["out_of_fold"]
    assert found["sensitivity"] == (alarm & (tested["omi"] == 1)).sum() / (tested["omi"] == 1).sum()
    f1 = [
        2 * (tested["omi"][tested["probability"] >= cut]).sum()
        / ((tested["probability"] >= cut).sum() + tested["omi"].sum())
        for cut in tested["probability"]
    ]  # fmt: skip
    assert found["f1"] == pytest.approx(max(f1))
    assert "approximately" in model.info["judged"]


def test_same_run_same_bytes(folder, run, tmp_path):
    load_run(run).ensemble().save(tmp_path / "again")
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name
    # And what was read can be written again.
    load_model(folder).save(tmp_path / "copy")
    assert (tmp_path / "copy" / "model.keras").read_bytes() == (folder / "model.keras").read_bytes()


def test_no_ecg_of_its_dataset_validates_it(folder, dataset):
    """Every one has taught a member."""
    model = load_model(folder)
    with pytest.raises(InputError, match=r"on 45 \(45 by their median beat\) of the 45 labelled ECGs"):
        model.validate(dataset)
    with pytest.raises(InputError, match="know every labelled ECG"):
        model.validate(dataset, without_known=True)


def test_other_numbers_of_members_are_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    said = json.loads((copy / "model.json").read_text(encoding="utf-8"))
    for members in (0, 101, True, "3", None):
        (copy / "model.json").write_text(json.dumps(said | {"members": members}), encoding="utf-8")
        with pytest.raises(InputError, match="no good number of members"):
            load_model(copy)
    for members in (2, 4, 100):
        (copy / "model.json").write_text(json.dumps(said | {"members": members}), encoding="utf-8")
        with pytest.raises(
            InputError, match=f"holds 3 networks, and {members} were expected: one of the two was altered"
        ):
            load_model(copy)


def test_a_fold_that_is_missing_is_named(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(copy / "fold-01")
    done = run_cli("select", copy, tmp_path / "model", "--ensemble")
    assert done.exit_code == 2
    assert "lacks fold 1, and an ensemble is of all folds" in done.stderr
    assert not (tmp_path / "model").exists()
    done = run_cli("select", run, tmp_path / "model", "--ensemble", "--by", "test")
    assert done.exit_code == 2
    assert "give one of the two" in done.stderr


def test_folds_that_were_asked_for_are_all_of_them(easy_dataset, tmp_path, monkeypatch):
    """A run of folds 0 and 3 is one of two folds, until others are asked for."""
    monkeypatch.setattr(candidates, "TREES", 30)
    run, forest = tmp_path / "run", ("--model", "random-forest", "--n-folds", 5)
    assert run_cli("train", easy_dataset, run, *forest, "--folds", 0).exit_code == 0
    with pytest.raises(InputError, match="has one fold, and an ensemble is of two or more"):
        load_run(run).ensemble()
    assert run_cli("train", easy_dataset, run, *forest, "--folds", "3", "--resume").exit_code == 0
    assert wanted_folds(json.loads((run / "config.json").read_text(encoding="utf-8"))) == [0, 3]
    model = load_run(run).ensemble()
    assert model.info["folds"] == [0, 3]
    dataset = load_dataset(easy_dataset)
    features = beat_features(dataset.beats)
    each = [load_forest(run / f"fold-{fold:02d}" / "model.skops").probability(features) for fold in (0, 3)]
    assert np.abs(each[0] - each[1]).max() > 0.1
    np.testing.assert_allclose(model.probability(dataset.beats), np.mean(each, axis=0), atol=1e-12)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    np.testing.assert_array_equal(again.probability(dataset.beats), model.probability(dataset.beats))
    assert again.network.importances.sum() == pytest.approx(1)
    shutil.rmtree(run / "fold-03")
    with pytest.raises(InputError, match="lacks fold 3"):
        load_run(run).ensemble()


def test_forests_of_other_sizes_do_not_weigh_the_same(easy_dataset, tmp_path, monkeypatch):
    forest = ("--model", "random-forest", "--n-folds", 5)
    for fold, trees in ((0, 30), (1, 31)):
        monkeypatch.setattr(candidates, "TREES", trees)
        assert run_cli("train", easy_dataset, tmp_path / "run", *forest, "--folds", fold, "--resume").exit_code == 0
    with pytest.raises(InputError, match="different numbers of trees"):
        load_run(tmp_path / "run").ensemble()


def test_saliency_is_of_the_mean_logit(folder, members, dataset):
    model, x = load_model(folder), inputs_of(dataset.beats[:4])
    gradients = []
    for member in members:
        given = tf.constant(x[..., None])
        with tf.GradientTape() as tape:
            tape.watch(given)
            logit = tf.reduce_sum(member(given, training=False)[:, 1])
        gradients.append(np.asarray(tape.gradient(logit, given))[..., 0])
    found = model.saliency(dataset.beats[:4])
    np.testing.assert_allclose(found, np.abs(np.mean(gradients, axis=0)), atol=1e-5 * found.max())
    maps = [saliency_maps(member, x, "gradcam++") for member in members]
    found = saliency_maps(model.network, x, "gradcam++")
    np.testing.assert_allclose(found, np.mean(maps, axis=0), atol=1e-5 * found.max())


def test_the_sanity_check_randomises_a_layer_in_all_members_at_once(folder, members, dataset):
    model, x = load_model(folder), inputs_of(dataset.beats[:2])
    before = model.network.get_weights()
    found, single = cascading_randomisation(model.network, x), cascading_randomisation(members[0], x)
    assert found["layer"].tolist() == single["layer"].tolist()
    for weight, was in zip(model.network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, was)


def test_its_saliency_folder_is_of_all_omi_and_says_so(folder, few_ecgs, dataset, tmp_path):
    done = run_cli("saliency", folder, few_ecgs, tmp_path / "saliency", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["ecgs"] == (dataset.ecgs["omi"] == 1).sum()
    assert found["cases"] == "OMI of the dataset whose every ECG taught some member of the ensemble"


def test_members_are_found_again(folder, members, dataset):
    network = load_model(folder).network
    assert (members_of(network), members_of(members[0])) == (3, 1)
    assert [own_name(layer.name) for layer in read_outs(network)] == ["out"] * 3
    assert read_outs(members[0]) == [members[0].get_layer("out")]
    found, expected = (predict_logits(one, dataset.beats[:FEW]) for one in (one_member(network, 2), members[2]))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "quantization",
    ["int8", *(pytest.param(name, marks=pytest.mark.slow) for name in ("float32", "float16", "dynamic"))],
)
def test_it_is_exported_as_one_graph_and_its_cost_is_told(
    quantization, folder, few_ecgs, dataset, tmp_path, monkeypatch
):
    # One epoch taught nothing: decisions are all at the threshold, where the gate's limits make no sense.
    monkeypatch.setitem(export.LIMITS, quantization, {"max_delta": 0.02})
    out = tmp_path / "bundle"
    done = run_cli("export-tflite", folder, out, "--dataset", few_ecgs, "--quantize", quantization)
    assert done.exit_code == 0, done.output
    assert "an ensemble of 3: " in done.stderr and "one member takes about" in done.stderr
    manifest, contents = load(out)
    assert manifest["members"] == 3
    judged = manifest["parity"]["seen_by_members"]
    patients = dataset.ecgs.set_index("ecg_id")["patient_id"]
    if quantization == "int8":
        assert manifest["float_layers"] == ["temporal1", "out"]
        # Two thirds of the patients are judged, and calibrate nothing.
        assert patients[manifest["calibration"]].nunique() < patients.nunique() / 2
        assert judged["n"] + len(manifest["calibration"]) <= len(patients)
    network, model = Network(contents["model.tflite"]), load_model(folder)
    found = [network.probability(beat) for beat in dataset.beats[:8]]
    np.testing.assert_allclose(found, model.probability(dataset.beats[:8]), atol=judged["max_delta"] + 2e-3)
    done = run_cli("check-parity", out, "--dataset", few_ecgs, "--model", folder)
    assert done.exit_code == 0, done.output
    assert "(seen by members, simulated)" in done.stdout


def test_what_no_bundle_has_room_for_is_not_converted(folder, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MOST_BYTES", {"model.tflite": 400_000})
    with pytest.raises(
        InputError, match=r"the 3 members of .* take about 2 MB as float32, and a bundle has room for 0"
    ):
        load_model(folder).export(tmp_path / "bundle", dataset, "float32")


@pytest.mark.parametrize("forward", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_deep_networks_are_averaged_too(forward):
    """Residual blocks, and minimal filtering of their convolutions."""
    networks = [build("temporal-resnet18", seed=seed) for seed in (1, 2)]
    ensemble = ensemble_of(networks)
    fast = minimal_filtering(ensemble)
    made = [own_name(layer.name) for layer in fast.layers if type(layer).__name__ == "MinimalFiltering"]
    single = [
        layer.name for layer in minimal_filtering(networks[0]).layers if type(layer).__name__ == "MinimalFiltering"
    ]
    assert sorted(made) == sorted(2 * single) != []
    if not forward:
        return
    x = np.random.default_rng(0).normal(size=(1, 12, 400, 1)).astype(np.float32)
    expected = np.mean([np.asarray(network(x, training=False), float) for network in networks], axis=0)
    np.testing.assert_allclose(np.asarray(ensemble(x, training=False)), expected, atol=1e-6)
    np.testing.assert_allclose(np.asarray(fast(x, training=False)), expected, atol=1e-5)


def test_the_mean_is_float32_whatever_precision_keras_would_take(folder, dataset):
    """In 16 bits the order of close ECGs would be lost."""
    expected = load_model(folder).probability(dataset.beats[:FEW])
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = load_model(folder).probability(dataset.beats[:FEW])
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_array_equal(found, expected)


def test_it_is_recalibrated_and_taken_up_again(folder, dataset, members):
    """Its read-outs are scaled alike, and so is their mean; its own patients do not recalibrate it."""
    model = load_model(folder)
    with pytest.raises(InputError, match="was trained or validated on 45 of the 45 labelled ECGs"):
        model.recalibrate(dataset)
    scaled = folded(model.network, 2.0, 0.5)
    logits, found = (predict_logits(network, dataset.beats[:FEW]) for network in (model.network, scaled))
    np.testing.assert_allclose(
        found[:, 1] - found[:, 0], 2.0 * (logits[:, 1] - logits[:, 0]) + 0.5, rtol=1e-4, atol=1e-5
    )
    again = unfolded(scaled, kept_read_outs(model.network), 2.0, 0.5)
    for weight, was in zip(again.get_weights(), model.network.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, was)


def test_nobody_trains_on_from_it(folder, few_ecgs, tmp_path):
    done = run_cli("train", few_ecgs, tmp_path / "run", *SETTINGS, "--start", folder)
    assert done.exit_code == 2
    assert "is an ensemble of 3 networks, and one network is trained" in done.stderr
