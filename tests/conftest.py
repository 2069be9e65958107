"""What several rooms' tests share: where the recordings are, a dataset that is easy to learn, a trained run."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# The same tests on every machine: what a GPU changes is tested by saying that there is one.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import pytest
from helpers import run_cli
from hypothesis import settings
from once import once

pytest_plugins = ["ecg_fixtures"]
# The same examples in every run; --hypothesis-profile default draws others.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings and reference values beside the checkout, which a stranger's clone lacks."""
    if not SHARED.is_dir():
        pytest.skip("the recordings and reference values beside the checkout are not there")
    return SHARED


@pytest.fixture(scope="session")
def easy_dataset(tmp_path_factory) -> Path:
    """160 simulated ECGs of 100 patients; OMI lifts ST and T by a millivolt in V1 to V5, which is easy.

    Gates compare decisions, and decisions of a network that has learned nothing are all at the threshold.
    """
    return once(tmp_path_factory, "dataset", lambda folder: write_easy_dataset(folder, 160, 100))


@pytest.fixture(scope="session")
def few_ecgs(tmp_path_factory) -> Path:
    """45 ECGs of the kind of :func:`easy_dataset`: fewer than a batch are judged after an export, so none compiles."""
    return once(tmp_path_factory, "few", lambda folder: write_easy_dataset(folder, 45, 40))


def write_easy_dataset(folder: Path, ecgs: int, patients: int) -> None:
    from dataclasses import replace

    from omi_keras.beats.median_beats import median_beat
    from omi_keras.data.writer import DatasetWriter
    from omi_keras.simulate.cohort import simulate_cohort

    lift = np.zeros((12, 600), np.float32)
    lift[6:11, 325:420] = 1.0
    with DatasetWriter(folder) as writer:
        for ecg in simulate_cohort(ecgs, patients, 0.4, seed=4):
            plan, beat = ecg.plan, median_beat(ecg.record)
            row = {
                "ecg_id": plan.ecg_id,
                "patient_id": plan.patient_id,
                "omi": plan.omi,
                "site": plan.site,
                "age": plan.age,
                "sex": plan.sex,
                "source": "simulated",
                "simulated": True,
            }
            writer.add(replace(beat, beat=beat.beat + plan.omi * lift), row)
        writer.finish(label_column="omi", seed=4, inputs={})


@pytest.fixture(scope="session")
def trained_run(easy_dataset, tmp_path_factory) -> Path:
    """A run of one fold on :func:`easy_dataset`, trained through the command line until it has learned."""

    def make(folder: Path) -> None:
        result = run_cli(
            "train", easy_dataset, folder / "run", "--folds", 0, "--n-folds", 5, "--epochs", 2, "--batch-size", 16,
            "--learning-rate", 1e-3,
        )  # fmt: skip
        assert result.exit_code == 0, result.output

    return once(tmp_path_factory, "trained", make) / "run"


@pytest.fixture(scope="session")
def model_folder(trained_run, tmp_path_factory) -> Path:
    """The model of :func:`trained_run`."""

    def make(folder: Path) -> None:
        assert run_cli("select", trained_run, folder / "model").exit_code == 0

    return once(tmp_path_factory, "selected", make) / "model"


@pytest.fixture(scope="session")
def int8_bundle(model_folder, easy_dataset, tmp_path_factory) -> Path:
    """The int8 bundle of :func:`model_folder`."""

    def make(folder: Path) -> None:
        result = run_cli("export-tflite", model_folder, folder / "bundle", "--dataset", easy_dataset)
        assert result.exit_code == 0, result.output

    return once(tmp_path_factory, "int8", make) / "bundle"


@pytest.fixture(scope="session")
def small_bundle(model_folder, easy_dataset, tmp_path_factory) -> Path:
    """A float32 bundle of :func:`model_folder` whose model takes 400 samples; no decision may flip.

    Signed; ``public.pem`` lies beside it.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    def make(folder: Path) -> None:
        key = Ed25519PrivateKey.generate()
        (folder / "private.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / "public.pem").write_bytes(public)
        (folder / "limits.json").write_text('{"flips": 0}', encoding="utf-8")
        options = ("--quantize", "float32", "--samples", 400, "--limits", folder / "limits.json")
        options += ("--sign", folder / "private.pem")
        result = run_cli("export-tflite", model_folder, folder / "bundle", "--dataset", easy_dataset, *options)
        assert result.exit_code == 0, result.output

    return once(tmp_path_factory, "small", make) / "bundle"
