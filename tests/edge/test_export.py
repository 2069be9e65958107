"""Export: the gate stands before the bundle, calibration keeps to the training folds, bytes are reproducible."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers import run_cli

from edge import export
from edge.limits import LIMITS, tightened
from edge.verified import verify
from omi_keras.data.dataset import load_dataset
from omi_keras.model import load_model
from omi_keras.recordings.errors import InputError


def test_manifest(int8_bundle, model_folder):
    manifest = verify(int8_bundle)
    assert manifest["quantization"] == "int8"
    assert manifest["simulated"] is True
    assert manifest["input"]["shape"] == [1, 12, 600]
    assert manifest["input"]["unit"] == "mV"
    assert manifest["input"]["r_sample"] == 300
    assert manifest["input"]["leads"][3] == "aVR"
    assert manifest["threshold"] == load_model(model_folder).threshold
    seen = manifest["parity"]["validation_and_test"]
    for name, limit in manifest["limits"].items():
        assert seen[name] <= limit
    # The second stage in float costs 7 %, and is needed where many ECGs lie near the threshold.
    most = 7.9e6 if any(name.startswith("layer2") for name in manifest["float_layers"]) else 7.3e6
    assert (int8_bundle / "model.tflite").stat().st_size <= most


def test_calibration_is_of_training_ecgs_only_and_balanced(int8_bundle, model_folder, easy_dataset):
    folds = pd.read_csv(model_folder / "folds.csv", dtype=str).set_index("ecg_id")["fold"].astype(int)
    info = json.loads((model_folder / "model.json").read_text(encoding="utf-8"))
    chosen = verify(int8_bundle)["calibration"]
    assert len(set(chosen)) == len(chosen) >= 64
    assert not set(folds[chosen]) & {info["validation_fold"], info["test_fold"]}
    omi = load_dataset(easy_dataset).ecgs.set_index("ecg_id")["omi"][chosen].to_numpy(int)
    assert 0.3 < omi.mean() < 0.7


def test_same_inputs_same_bytes(int8_bundle, model_folder, easy_dataset, tmp_path):
    again = tmp_path / "again"
    assert run_cli("export-tflite", model_folder, again, "--dataset", easy_dataset).exit_code == 0
    for file in sorted(int8_bundle.iterdir()):
        assert file.read_bytes() == (again / file.name).read_bytes(), file.name


def test_a_failed_gate_writes_nothing_and_names_ecgs(model_folder, easy_dataset, tmp_path):
    limits, out = tmp_path / "limits.json", tmp_path / "bundle"
    limits.write_text('{"max_delta": 1e-12}', encoding="utf-8")
    options = ("--dataset", easy_dataset, "--quantize", "float32", "--limits", limits)
    result = run_cli("export-tflite", model_folder, out, *options)
    assert result.exit_code == 1
    assert "max_delta" in result.output
    assert "sim-" in result.output
    assert list(tmp_path.iterdir()) == [limits]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"flips": 0.02}', "flips 0.02 is looser than 0.005"),
        ('{"flip": 0}', "some of max_delta, p99_delta, flips"),
        ("{}", "some of"),
        ("[]", "some of"),
        ('{"flips": -1}', "at least 0, found -1"),
        ('{"flips": NaN}', "NaN is no number to work with"),
        ('{"flips": true}', "at least 0, found True"),
        ("{", "is not JSON"),
        (None, "No such file"),
    ],
)
def test_limits_only_tighten(tmp_path, content, sentence):
    file = tmp_path / "limits.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        tightened("int8", file)


def test_tightened_limits():
    assert tightened("int8", None) == LIMITS["int8"]


def test_tightened_limits_reach_the_manifest(small_bundle):
    assert verify(small_bundle)["limits"] == {"max_delta": 1e-5, "flips": 0.0}


def test_another_dataset_is_refused(model_folder, tmp_path):
    other = tmp_path / "other"
    assert run_cli("simulate", other, "--ecgs", 30, "--patients", 20, "--prevalence", 0.3).exit_code == 0
    result = run_cli("export-tflite", model_folder, tmp_path / "bundle", "--dataset", other)
    assert result.exit_code == 2
    assert "is not the dataset" in result.output


def test_the_gate_runs_again_anywhere(int8_bundle, model_folder, easy_dataset):
    result = run_cli("check-parity", int8_bundle, "--model", model_folder, "--dataset", easy_dataset, "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert found["gate"]["passed"]
    manifest = verify(int8_bundle)
    assert found["gate"]["max_delta"] == pytest.approx(manifest["parity"]["validation_and_test"]["max_delta"], abs=1e-6)


def test_balanced_choice():
    omi = np.array([1] * 5 + [0] * 95)
    rows = export._balanced(np.arange(100), omi, 20, np.random.default_rng(0))
    assert len(rows) == 20
    assert omi[rows].sum() == 5
    rows = export._balanced(np.arange(100), 1 - omi, 20, np.random.default_rng(0))
    assert (len(rows), (1 - omi)[rows].sum()) == (20, 15)


def test_what_lies_in_a_bundle_is_not_replaced(small_bundle, model_folder, easy_dataset, tmp_path):
    """--force over a bundle that holds somebody's private key."""
    bundle = shutil.copytree(small_bundle, tmp_path / "bundle")
    shutil.copy(small_bundle.parent / "private.pem", bundle)
    options = ("--dataset", easy_dataset, "--sign", bundle / "private.pem", "--force")
    result = run_cli("export-tflite", model_folder, bundle, *options)
    assert result.exit_code == 2
    assert "holds private.pem, which is no part of a bundle and would be lost" in result.output
    assert (bundle / "private.pem").is_file()
    assert (bundle / "model.tflite").is_file()
