"""A model goes to another hospital: docs/how-to/another-hospital.md as it stands there, on two simulated sites."""

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import run_cli

import omi_keras as omi
from omi_keras.evaluation.calibration_fit import calibration_fit
from omi_keras.evaluation.metrics import ranking_metrics

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "another-hospital.md"
MAYO = ("--model", "mayo-alvd", "--n-folds", 5, "--folds", 0, "--learning-rate", 3e-3, "--batch-size", 32)


def sites(folder, ecgs, epochs):
    """``model`` of site A, and site B, another hospital with patients of its own, as ``hospital-b``."""
    done = run_cli(
        "simulate", folder / "cohort", "--ecgs", ecgs, "--patients", ecgs, "--prevalence", 0.4, "--site-shift", 1,
        "--seed", 1,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    cohort = omi.load_dataset(folder / "cohort")
    cohort.part(site="A").save(folder / "hospital-a")
    cohort.part(site="B").save(folder / "hospital-b")
    done = run_cli("train", folder / "hospital-a", folder / "run", *MAYO, "--epochs", epochs)
    assert done.exit_code == 0, done.output
    assert run_cli("select", folder / "run", folder / "model").exit_code == 0


def follow(page, folder, monkeypatch):
    """Run every command and every piece of Python of a page, in their order; what the commands said, together."""
    monkeypatch.chdir(folder)
    names, said = {}, []
    for language, block in re.findall(r"```(sh|python)\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        if language == "python":
            exec(block, names)
            continue
        for line in block.strip().splitlines():
            program, *arguments = shlex.split(line)
            assert program == "omi-keras"
            done = run_cli(*arguments)
            assert done.exit_code == 0, f"{line}\n{done.output}"
            said.append(done.output)
    return "\n".join(said)


def judged(model, dataset):
    p, omi_ = model.probability(dataset.beats), dataset.ecgs["omi"].to_numpy(int)
    return calibration_fit(omi_, p, dataset.ecgs["patient_id"]) | ranking_metrics(omi_, p)


def test_the_page_can_be_followed(tmp_path, monkeypatch):
    sites(tmp_path, 500, 8)
    said = follow(PAGE, tmp_path, monkeypatch)
    assert "parity: passed" in said
    metrics = pd.read_csv("judged/metrics.csv").set_index("model")
    before, after = metrics.loc["mayo-alvd (model)"], metrics.loc["mayo-alvd (local-model)"]
    assert after["auc"] == pytest.approx(before["auc"], abs=1e-12)
    apart = omi.load_dataset("kept-apart")
    found = judged(omi.load_model("local-model"), apart)
    # So few patients tell hardly more.
    assert found["calibration_slope_lo"] < 1.4
    assert found["calibration_slope_hi"] > 0.7
    device = pd.read_csv("on-the-device/metrics.csv").iloc[0]
    assert device["auc"] == pytest.approx(after["auc"], abs=0.01)
    # Who recalibrated it does not judge it, whatever the ids.
    refused = run_cli("validate", "local-model", "out", "--dataset", "local", "--other-patients")
    assert refused.exit_code == 2
    assert "by their median beat" in refused.output


@pytest.mark.slow
def test_calibration_is_repaired_and_the_order_kept(tmp_path):
    sites(tmp_path, 8000, 10)
    hospital, model = omi.load_dataset(tmp_path / "hospital-b"), omi.load_model(tmp_path / "model")
    own = judged(model, omi.load_dataset(tmp_path / "hospital-a"))
    half = np.random.default_rng(0).random(len(hospital.ecgs)) < 0.5
    after, apart = model.recalibrate(hospital.part(half)), hospital.part(~half)
    old, new = judged(model, apart), judged(after, apart)
    assert old["auc"] < own["auc"], "there is something to see"
    assert 0.8 <= new["calibration_slope"] <= 1.25
    assert abs(new["calibration_intercept"]) < 0.25
    assert not 0.8 <= old["calibration_slope"] <= 1.25
    for part in (apart, hospital):
        assert judged(after, part)["auc"] == pytest.approx(judged(model, part)["auc"], abs=1e-12)
    after.save(tmp_path / "local-model")
    hospital.part(half).save(tmp_path / "local")
    done = run_cli("export-tflite", tmp_path / "local-model", tmp_path / "bundle", "--dataset", tmp_path / "local")
    assert done.exit_code == 0, done.output
    assert omi.Detector(tmp_path / "bundle").bands == after.bands
