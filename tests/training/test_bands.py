"""Bands of a run and of the model that is taken out of it: of validation, and the same."""

import json
import shutil

import pandas as pd
import pytest
from helpers import run_cli

from omi_keras.evaluation.bands import describe_bands, find_bands
from omi_keras.model import load_model
from omi_keras.training.run import load_run


def test_bands_are_of_validation(trained_run, model_folder):
    metrics = json.loads((trained_run / "fold-00" / "metrics.json").read_text(encoding="utf-8"))
    predictions = pd.read_csv(trained_run / "fold-00" / "predictions.csv")
    folds = pd.read_csv(trained_run / "folds.csv", dtype=str).set_index("ecg_id")
    part = predictions[predictions["split"] == "validation"]
    patient = folds.loc[part["ecg_id"], "patient_id"]
    bands = find_bands(part["omi"], part["probability"])
    assert metrics["bands"] == bands
    assert metrics["bands_details"]["omi_patients"] == patient[(part["omi"] == 1).to_numpy()].nunique()
    told = describe_bands(part["omi"], part["probability"], patient, bands)
    assert metrics["bands_details"]["rule_out"]["sensitivity_lo"] == pytest.approx(told["rule_out"]["sensitivity_lo"])
    assert load_model(model_folder).bands == bands
    model = json.loads((model_folder / "model.json").read_text(encoding="utf-8"))
    assert model["bands_details"] == metrics["bands_details"]


def test_a_run_without_bands_gives_them_at_select(trained_run, model_folder, tmp_path):
    """As runs of omi-keras 0.1.0."""
    run = shutil.copytree(trained_run, tmp_path / "run")
    path = run / "fold-00" / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({name: metrics[name] for name in metrics if "bands" not in name}), encoding="utf-8")
    assert load_run(run).select().bands == load_model(model_folder).bands
    done = run_cli("select", run, tmp_path / "model")
    assert "rule out < 0." in done.output
    assert "patients with OMI, simulated" in done.output
