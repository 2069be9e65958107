"""MODEL_CARD.md is true for every kind of model, says nothing that a dataset smuggles in, and lacks only a licence."""

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from edge import Detector
from edge.verified import load, manifest_checksum
from omi_keras.beats.contracts import input_details
from omi_keras.data.dataset import load_dataset
from omi_keras.model import Model, load_model
from omi_keras.models.catalogue import build
from omi_keras.models.model_card import CARD, LICENCE, model_card, told_of
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.numbers import parse_json

SECTIONS = [
    "## Licence", "## Model", "## What it is for", "## What it was trained on", "## How well it did", "## Subgroups",
    "## Operating point and bands", "## Calibration", "## Limits", "## Where it comes from",
]  # fmt: skip
SELECTED = {
    "model": "ecg-smart-net", "members": 1, "input": "zscore-400", "simulated": False, "threshold": 0.25,
    "fold": 3, "selected_by": "validation", "selected_from_folds": [0, 1, 2, 3], "judged": None,
    "input_details": input_details(),
    "bands": {"rule_out": 0.125, "rule_in": None},
    "bands_details": {
        "rule_out": {"sensitivity": 0.9, "sensitivity_lo": 0.8, "sensitivity_hi": 0.96}, "omi_patients": 40,
    },
    "metrics": {"test": {"auc": 0.875, "sensitivity": 0.75, "specificity": None}},
    "intervals": {"test": {"auc": [0.8, 0.95], "sensitivity": [None, None]}},
    "data": {
        "ecgs": 1200, "patients": 1000, "omi": 60, "prevalence": 0.05, "parts": {"test": {"ecgs": 120, "omi": 6}},
        "sites": {"A": 1200}, "years": {}, "sex": {"female": 500, "not recorded": 700},
        "age": {"q1": 50.0, "median": 61.5, "q3": 70.0, "unknown": 2},
    },
    "subgroups": [{"group": "site", "value": "A", "ecgs": 120, "patients": 100, "omi": 6, "auc": 0.875, "auc_lo": 0.8,
                   "auc_hi": 0.95, "sensitivity": 0.75, "specificity": None}],
    "calibration": None,
    "provenance": {"n_folds": 10, "seed": 7, "balance": "batch", "dataset": "/home/somebody/patients",
                   "dataset_sha256": {"ecgs.csv": "ab" * 32}, "versions": {"omi-keras": "1.0"}},
    "sha256": {"model.keras": "cd" * 32},
}  # fmt: skip
IMPORTED = {
    "model": "resnet18", "input": "maxabs-200", "simulated": False, "threshold": 0.5, "metrics": {}, "bands": None,
    "provenance": {"imported_from": "PyTorch", "checkpoint": "best.pt", "checkpoint_sha256": "ef" * 32},
}  # fmt: skip


def test_a_selected_model():
    card = model_card(SELECTED)
    assert [line for line in card.splitlines() if line.startswith("## ")] == SECTIONS
    for said in (
        "# Model card: ecg-smart-net\n",
        "**Research software, not a medical device.**",
        LICENCE,
        "- Of fold 3 of 10; of the 4 finished, the one with the best validation score.",
        "- Recorded ECGs.",
        "- 1,200 labelled ECGs of 1,000 patients",
        "- OMI: 60 ECGs (5.0%).",
        "- Test: 120 ECGs, 6 with OMI.",
        "- Years: not recorded.",
        "- Age: median 61.5 years (quartiles 50 and 70), not recorded of 2 ECGs.",
        "| AUC | 0.875 [0.800, 0.950] |",
        "| sensitivity | 0.750 |",
        "| site A | 120 | 100 | 6 | 0.875 [0.800, 0.950] | 0.750 | undefined |",
        "- OMI when P(OMI) is at least 0.250, the threshold with the highest F1 on the validation ECGs.",
        "- Ruled out: P(OMI) below 0.125 (sensitivity 0.900 [0.800, 0.960]).",
        "- Ruled in: never; no threshold reaches the target.",
        "Both classes weighed the same in training",
        "- All of its ECGs are of one site.",
        "- Seed 7.",
        f"- SHA-256 of `model.keras`: `{'cd' * 32}`.",
    ):
        assert said in card, said
    assert "imulated" not in card and "ensemble" not in card.lower() and "not known" not in card
    assert card == model_card(json.loads(json.dumps(SELECTED)))


def test_simulated_chosen_by_test_and_fine_tuned():
    provenance = SELECTED["provenance"] | {"start_sha256": "01" * 32, "start": {"path": "m", "simulated": False}}
    card = model_card(SELECTED | {"simulated": True, "selected_by": "test", "left_out": "B", "provenance": provenance})
    assert "**Trained on simulated ECGs: no number here says anything about patients.**" in card
    assert "at threshold 0.250 (simulated)" in card
    assert "On the test ECGs, at the operating point. Simulated." in card
    assert "chosen by the test score, so the test numbers above are too good" in card
    assert "Fine-tuned" in card and "had learned from recorded ECGs" in card
    assert "- Trained without B, on which it was tested." in card


def test_what_the_paper_s_training_had_not():
    changed = {"augment": "light", "loss": "focal", "dropout": 0.2, "label_smoothing": 0.0, "training_fraction": 0.25}
    info = SELECTED | {"provenance": SELECTED["provenance"] | changed}
    card = model_card(info)
    assert "- Its training had what the paper's had not: augment light, loss focal, dropout 0.2." in card
    assert "- Of the training part, 25.0% of the patients were learned from (a learning curve)" in card
    plain = {"augment": "none", "loss": "plain", "dropout": 0.0, "label_smoothing": 0.0, "training_fraction": 1.0}
    assert model_card(SELECTED | {"provenance": SELECTED["provenance"] | plain}) == model_card(SELECTED)
    assert "focal" not in model_card(info | {"model": "random-forest"})
    # The same card from what a bundle's manifest keeps.
    assert model_card(told_of(info)).splitlines()[:30] == card.splitlines()[:30]


def test_an_imported_model_knows_nothing_of_its_training():
    card = model_card(IMPORTED)
    assert "What it was trained on is not known: it was imported" in card
    assert "Not known: nobody has judged it here." in card
    assert "at least 0.500, as whoever imported it said." in card
    assert f"- Imported from PyTorch; SHA-256 of the checkpoint: `{'ef' * 32}`." in card
    assert "Bands: none were looked for." in card
    assert "Seed" not in card and "Both classes weighed" not in card


def test_a_forest_and_an_ensemble():
    card = model_card(SELECTED | {"model": "random-forest"})
    assert "whose features are measured" in card and "logit" not in card and "epoch" not in card.split("## Limits")[1]
    info = {name: value for name, value in SELECTED.items() if name not in ("fold", "selected_by", "intervals")}
    info |= {
        "members": 2,
        "folds": [0, 4],
        "judged": "Judge it on other ECGs.",
        "metrics": {"out_of_fold": {"auc": 0.8}},
    }
    for name, mean in (("ecg-smart-net", "logits of the networks"), ("random-forest", "probabilities of the forests")):
        card = model_card(info | {"model": name})
        assert f"# Model card: {name}, ensemble of 2" in card
        assert (
            f"- Ensemble: the mean of the {mean} of 2 folds (0, 4); it takes 2 times the space and time of one." in card
        )
        assert "each judged by the model of its own fold and not by the ensemble" in card
        assert "highest F1 on the out-of-fold predictions" in card
        assert "- Judge it on other ECGs." in card


def test_a_recalibrated_model():
    calibration = {
        "method": "Platt scaling", "slope": 0.5, "intercept": -1.5, "ecgs": 90, "patients": 80, "omi_patients": 12,
        "simulated": False, "brier": {"before": 0.2, "cross_fitted": 0.1}, "cannot_know": ["whether it lasts"],
        "dataset": "/home/somebody/here", "dataset_sha256": {"ecgs.csv": "23" * 32}, "read_out": [["secret"]],
        "before": {"threshold": 0.1},
    }  # fmt: skip
    metrics = {"cross_fitted": {"auc": 0.8, "auc_lo": 0.7, "auc_hi": 0.9}}
    for before in (SELECTED, IMPORTED):
        card = model_card(before | {"calibration": calibration, "metrics": metrics, "subgroups": None})
        assert "Recalibrated (Platt scaling) by 90 local recorded ECGs of 80 patients, 12 of them with OMI" in card
        assert "× 0.500 + -1.500" in card
        assert "| AUC | 0.800 [0.700, 0.900] |" in card
        assert "highest F1 on the local ECGs" in card
        assert "- Not known from its local ECGs: whether it lasts." in card
        assert f"- SHA-256 of the ecgs.csv that it was recalibrated by: `{'23' * 32}`." in card
        assert "validation numbers above" not in card and "test numbers above" not in card, "there are none"
    told = told_of(SELECTED | {"calibration": calibration})
    assert not {"read_out", "dataset", "before"} & told["calibration"].keys()
    assert "somebody" not in json.dumps(told), "a bundle goes to strangers"


def test_simulated_ecgs_that_trained_nothing():
    """Those of a recalibration, or of an export."""
    recorded = SELECTED | {"simulated": True, "data": SELECTED["data"] | {"simulated": False}}
    for info in (recorded, IMPORTED | {"simulated": True}):
        card = model_card(info)
        assert "**Made with simulated ECGs after its training: no number here says anything about patients.**" in card
        assert "rained on simulated" not in card and "- Simulated ECGs." not in card


def test_a_column_divided_its_ecgs():
    provenance = SELECTED["provenance"] | {"n_folds": 3, "split_column": "part"}
    info = SELECTED | {"fold": 0, "selected_from_folds": [0], "provenance": provenance}
    info |= {"metrics": {"validation": {"auc": 0.9}, "test": {"auc": 0.8}}}
    for chosen in (info, info | {"selected_by": "test"}):
        for card in (model_card(chosen), model_card(told_of(chosen))):
            assert "- Trained, validated and tested on the ECGs that column part says." in card
            assert "- Too good are the validation numbers above: its epoch and its threshold were chosen" in card
            assert "fold" not in card.lower()


@pytest.mark.parametrize(
    "evil", ["a|b", "</td>x", "# heading", "[link](http://x)", "two\nlines", "\x1b[31m", "`", "é" * 500]
)
def test_what_a_dataset_names_is_text(evil):
    data = SELECTED["data"] | {"sites": {evil: 3}}
    rows = [SELECTED["subgroups"][0] | {"value": evil}]
    card = model_card(SELECTED | {"data": data, "subgroups": rows, "licence": evil, "left_out": evil})
    plain = model_card(SELECTED | {"data": data | {"sites": {"x": 3}}, "left_out": "x"})
    assert len(card.splitlines()) == len(plain.splitlines())
    assert [line.split(" ")[0] for line in card.splitlines()] == [line.split(" ")[0] for line in plain.splitlines()]
    for mark in ("</td>", "[link]", "\x1b", "a|b"):
        assert mark not in card
    assert max(map(len, card.splitlines())) < 600


@pytest.mark.parametrize("wrong", [None, 7, "text", [], [1], {}, {"a": 1}, True, float("nan")])
def test_whatever_stands_in_model_json_there_is_a_card(wrong):
    for name in SELECTED:
        if name != "members":
            assert model_card(SELECTED | {name: wrong}).startswith("# Model card: ")
    for part in ("data", "provenance"):
        for name in SELECTED[part]:
            assert model_card(SELECTED | {part: SELECTED[part] | {name: wrong}})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("card") / "model"
    Model(IMPORTED | {"model": "mayo-alvd", "input": "zscore-400"}, network=build("mayo-alvd", seed=1)).save(path)
    return path


def test_the_licence_is_the_users(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    card = copy / CARD
    assert LICENCE in card.read_text(encoding="utf-8")
    card.write_text("Licence: CC BY 4.0", encoding="utf-8")
    load_model(copy)
    card.unlink()
    model = load_model(copy)
    model.info["licence"] = "CC BY 4.0"
    model.save(tmp_path / "again")
    assert "Licence: CC BY 4.0\n" in (tmp_path / "again" / CARD).read_text(encoding="utf-8")
    assert load_model(tmp_path / "again").info["licence"] == "CC BY 4.0"
    assert CARD not in json.loads((folder / "model.json").read_text(encoding="utf-8"))["sha256"]


def test_a_run_s_model_tells_its_data(model_folder, easy_dataset):
    info, card = load_model(model_folder).info, (model_folder / CARD).read_text(encoding="utf-8")
    ecgs = load_dataset(easy_dataset).ecgs
    assert info["data"]["ecgs"] == len(ecgs) and info["data"]["patients"] == ecgs["patient_id"].nunique()
    assert info["data"]["omi"] == (ecgs["omi"] == 1).sum()
    assert info["data"]["sites"] == ecgs["site"].value_counts().to_dict()
    assert info["data"]["age"]["median"] == pytest.approx(np.median(ecgs["age"]))
    assert sum(part["ecgs"] for part in info["data"]["parts"].values()) == len(ecgs)
    rows = {(row["group"], row["value"]): row for row in info["subgroups"]}
    assert rows["all", ""]["ecgs"] == info["data"]["parts"]["test"]["ecgs"]
    assert {group for group, _ in rows} == {"all", "site", "sex", "age"}
    low, high = info["intervals"]["test"]["auc"]
    assert low <= info["metrics"]["test"]["auc"] <= high
    assert "**Trained on simulated ECGs" in card and "| site A |" in card


def test_a_bundle_s_card_is_its_manifest_s_and_is_checked(small_bundle, tmp_path):
    manifest, contents = load(small_bundle)
    assert manifest["format_version"] == 2
    card = contents[CARD].decode()
    assert card == model_card(manifest["trained"], parse_json(contents["manifest.json"]))
    assert "## This bundle\n\n- Format: float32." in card
    # Of an imported model they are those of the export.
    assert (", made with simulated ECGs" in contents["README.txt"].decode()) == manifest["simulated"]
    copy = Path(shutil.copytree(small_bundle, tmp_path / "bundle"))
    (copy / CARD).write_text(card.replace("simulated", "real"), encoding="utf-8")
    with pytest.raises(InputError, match=r"MODEL_CARD\.md was altered"):
        Detector(copy)


def test_a_bundle_from_before_there_were_cards(tmp_path):
    """It is opened, and a card that somebody laid into it is no part of it."""
    with tarfile.open(sorted(Path(__file__).parents[1].glob("artifacts/0.1.0/*.tar.xz"))[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    bundle = tmp_path / "bundle"
    assert load(bundle)[0]["format_version"] == 1
    (bundle / CARD).write_text("better than it is", encoding="utf-8")
    with pytest.raises(InputError, match=r"holds MODEL_CARD\.md, which its manifest does not name"):
        Detector(bundle)
    # Neither may the manifest call itself older or newer than its files.
    (bundle / CARD).unlink()
    manifest = parse_json((bundle / "manifest.json").read_bytes()) | {"format_version": 2}
    manifest["manifest_sha256"] = manifest_checksum(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(InputError, match=r"must list the checksums of .*MODEL_CARD\.md"):
        Detector(bundle)
    assert hashlib.sha256((bundle / "model.tflite").read_bytes()).hexdigest() == manifest["sha256"]["model.tflite"]
