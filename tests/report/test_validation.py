"""Finished models on ECGs that they never saw: what is refused, left out, compared and told. No network is asked."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from stand_ins import NEVER, dataset, judge

import omi_keras as omi
from edge.bands import band_of
from omi_keras.data.beat_sums import beat_sums
from omi_keras.evaluation.finished import EQUAL, Answers
from omi_keras.model import Model
from omi_keras.models.known_ecgs import known_ecgs, known_sums
from omi_keras.report.judges import Known, judge_of_model, with_own_names
from omi_keras.report.validation import STEMI, validate

UNKNOWN = Known(frozenset(), False, None, None, None)


def known_of(data, rows, **other):
    ecgs = data.ecgs.iloc[rows]
    parts = {
        "beats": frozenset(beat_sums(data.beats[rows])),
        "complete": True,
        "ecg_ids": frozenset(ecgs["ecg_id"]),
        "patient_ids": frozenset(ecgs["patient_id"]),
        "dataset_sha256": None,
    }
    return Known(**parts | other)


# -- what a model knows -----------------------------------------------------------------------------------------------


def test_an_ecg_under_another_name_is_known_by_its_beat():
    """Of another patient, rounded otherwise; the patient's other ECG is known with it."""
    data = dataset()
    other = omi.Dataset.from_arrays(data.beats[[4, 9]] * np.float32(1.0000001), [0, 1], ["x", "y"], ecg_id=["n1", "n2"])
    known = known_of(other, [0, 1])
    with pytest.raises(omi.InputError, match=r"2 by their median beat, 2 by patient\) of the 60 labelled") as refused:
        validate([judge(known=known)], data)
    assert refused.value.reason == "known_ecgs"
    assert "--other-patients" not in str(refused.value).partition("; leave")[0]
    with pytest.raises(omi.InputError, match="2 by their median beat"):
        validate([judge(known=known)], data, other_patients=True)
    found = validate([judge(known=known)], data, without_known=True, other_patients=True)
    assert found.metrics["ecgs"].tolist() == [56]
    assert not {"p2", "p4"} & set(found.predictions["patient_id"])


def test_an_equal_ecg_id_is_known():
    data, elsewhere = dataset(), dataset(seed=1)
    known = known_of(elsewhere, [3, 7], patient_ids=frozenset())
    with pytest.raises(omi.InputError, match=r"4 \(2 by ecg_id, 2 by patient\) of the 60.*--other-patients"):
        validate([judge(known=known)], data)
    assert validate([judge(known=known)], data, other_patients=True).metrics["ecgs"].tolist() == [60]
    found = validate([judge(known=known)], data, without_known=True)
    assert found.metrics["ecgs"].tolist() == [56]


def test_an_equal_patient_is_known():
    data, elsewhere = dataset(), dataset(seed=1, ecg_id=[f"n{k}" for k in range(60)])
    known = known_of(elsewhere, [0, 1, 2])
    with pytest.raises(omi.InputError, match=r"on 4 \(4 by patient\) of the 60 labelled ECGs.*--other-patients"):
        validate([judge(known=known)], data)
    found = validate([judge(known=known)], data, without_known=True)
    assert found.metrics["ecgs"].tolist() == [56]
    assert found.notes[0] == "4 ECGs that a model was trained or validated on are left out: model 4 (4 by patient)."


def test_what_one_model_knows_no_other_judges():
    """Paired, on the same ECGs."""
    data = dataset()
    found = validate(
        [judge("a", known_of(data, [0])), judge("b", known_of(data, [10]), seed=1)], data, without_known=True
    )
    assert found.metrics["ecgs"].tolist() == [56, 56]
    assert {"p0", "p5"}.isdisjoint(found.predictions["patient_id"])
    assert "a 2 (1 by their median beat, 1 by patient); b 2 (" in found.notes[0]


def test_its_own_dataset_is_told_to_be_for_evaluate():
    data = dataset()
    own = known_of(data, range(40), dataset_sha256=data.fingerprint())
    with pytest.raises(omi.InputError, match=r"40 by their median beat.*omi-keras evaluate judges") as refused:
        validate([judge(known=own)], data)
    assert "--other-patients" not in str(refused.value)
    test_fold = validate([judge(known=own)], data, without_known=True)
    assert test_fold.metrics["ecgs"].tolist() == [20]
    silent = Known(frozenset(), False, None, None, data.fingerprint())
    for how in ({}, {"without_known": True}, {"other_patients": True}):
        with pytest.raises(omi.InputError, match="does not say of which of its ECGs"):
            validate([judge(known=silent)], data, **how)


def test_all_known_leaves_nothing():
    data = dataset()
    with pytest.raises(omi.InputError, match="know every labelled ECG"):
        validate([judge(known=known_of(data, range(60)))], data, without_known=True)


@pytest.mark.parametrize(
    ("info", "known"),
    [
        ({"validation_fold": 1, "test_fold": 0, "selected_by": "validation"}, ["b", "c"]),
        ({"validation_fold": 1, "test_fold": 0, "selected_by": "test"}, ["a", "b", "c"]),
        ({"validation_fold": 1, "test_fold": 0, "members": 1}, ["b", "c"]),
        ({"validation_fold": 1, "test_fold": 0, "recalibration_folds": [0]}, ["a", "b", "c"]),
        ({"members": 3}, ["a", "b", "c"]),
    ],
)
def test_the_test_fold_is_not_known_unless_it_chose_or_trained(info, known):
    folds = pd.DataFrame({"ecg_id": ["a", "b", "c"], "patient_id": ["1", "2", "3"], "fold": [0, 1, 2]})
    assert known_ecgs(info, folds)["ecg_id"].tolist() == known
    assert known_sums(info, folds) == known_sums(info, None) == (frozenset(), False)
    sums = ["0" * 12, "1" * 12, "2" * 12]
    expected = frozenset(sum_ for name, sum_ in zip("abc", sums, strict=True) if name in known)
    assert known_sums(info, folds.assign(beat=sums)) == (expected, True)
    for lost in ("", None):
        found = known_sums(info, folds.assign(beat=[sums[0], lost, sums[2]]))
        assert found == (expected - {sums[1]}, False), "b is known to all"


def test_what_cannot_be_checked_is_said():
    data = dataset()
    assert "model does not say what it was trained on" in validate([judge(known=UNKNOWN)], data).notes[-1]
    by_id = Known(frozenset(), False, frozenset({"else"}), frozenset({"else"}), None)
    assert (
        "does not know all the ECGs that it was made with by their beats"
        in validate([judge(known=by_id)], data).notes[-1]
    )
    assert validate([judge()], data).notes == []


def test_a_bundle_names_no_patients():
    """But beside the model that it was made from, they are known."""
    data, elsewhere = dataset(), dataset(seed=1)
    ours = known_of(elsewhere, range(20), ecg_ids=frozenset({"x"}), patient_ids=frozenset({"y"}))
    bundle = Known(ours.beats, True, None, None, None)
    alone = validate([judge("b", bundle)], data)
    assert "b is a bundle, which names no patients" in alone.notes[-1]
    assert validate([judge("b", bundle), judge("m", ours, seed=1)], data).notes == []
    assert "names no patients" in validate([judge("b", bundle), judge("m", NEVER, seed=1)], data).notes[-1]


# -- who judges what --------------------------------------------------------------------------------------------------


def test_names_are_told_apart():
    three = [judge("m", place="a/x"), judge("m", place="a/y"), judge("n", place="a/x")]
    assert [of.name for of in with_own_names(three)] == ["m (x)", "m (y)", "n"]
    same = [judge("m", place="a/x"), judge("m", place="b/x"), judge("m", place="b/y")]
    assert [of.name for of in with_own_names(same)] == ["m (a/x)", "m (b/x)", "m (y)"]


def test_bands_are_those_of_the_device():
    p = np.linspace(0, 1, 21)
    for bands in (
        None,
        {"rule_out": 0.3, "rule_in": 0.7},
        {"rule_out": None, "rule_in": 0.7},
        {"rule_out": 0.3, "rule_in": None},
        {"rule_out": None, "rule_in": None},
        {"rule_out": 0.5, "rule_in": 0.5},
    ):
        assert Answers(p, 0.5, bands).band.tolist() == [band_of(value, bands) or "" for value in p]


def test_simulated_and_recorded_ecgs_are_told_apart():
    real, made = dataset(), dataset(simulated=True)
    assert validate([judge()], real).warnings == []
    assert validate([judge(simulated=True)], made).warnings == []
    told = validate([judge(simulated=True)], real)
    assert "was trained on SIMULATED ECGs and is judged on recorded ones" in told.warnings[0]
    assert not told.simulated and not told.metrics["simulated"].any()
    told_too = validate([judge()], made)
    assert "judged on SIMULATED ones" in told_too.warnings[0]
    for found in (told, told_too):
        assert f'<p class="banner">{found.warnings[0]}</p>' in found.html()


def test_one_ecg_a_patient():
    rows = [f"2024-01-0{1 + (k % 2 == 0)}" for k in range(60)]
    found = validate([judge()], dataset(ecg_date=rows), first_ecg_only=True)
    assert found.predictions["ecg_id"].tolist() == [f"e{k}" for k in range(1, 60, 2)]
    assert "the earliest by the column ecg_date" in found.notes[0]
    without = validate([judge()], dataset(), first_ecg_only=True)
    assert without.predictions["ecg_id"].tolist() == [f"e{k}" for k in range(0, 60, 2)]
    assert "has no time" in without.notes[0]


def test_ecgs_without_a_label_are_left_out():
    data = dataset()
    labels = [None if k in (3, 4) else int(v) for k, v in enumerate(data.ecgs["omi"])]
    part = omi.Dataset.from_arrays(data.beats, labels, data.ecgs["patient_id"])
    found = validate([judge()], part)
    assert found.metrics["ecgs"].tolist() == [58] and "2 ECGs without a label" in found.notes[0]
    with pytest.raises(omi.InputError, match="no labelled ECG"):
        validate([judge()], omi.Dataset.from_arrays(data.beats, [None] * 60, data.ecgs["patient_id"]))


def test_one_class_is_said_to_be_undefined():
    data = dataset()
    quiet = omi.Dataset.from_arrays(data.beats, [0] * 60, data.ecgs["patient_id"], age=[50] * 60)
    found = validate([judge()], quiet)
    assert "fewer than 2 patients" in found.notes[0]
    assert np.isnan(found.metrics["auc"].iloc[0]) and np.isnan(found.metrics["calibration_slope"].iloc[0])
    assert found.decisions["specificity"].notna().all()
    assert "undefined" in found.html()


# -- comparators and subgroups ----------------------------------------------------------------------------------------


def test_a_comparator_stands_beside_the_criteria():
    reader = ["", *[str((k // 2) % 4 // 3) for k in range(1, 60)]]
    found = validate([judge()], dataset(reader=reader), comparator="reader")
    assert found.comparison["second"].tolist() == [STEMI] * 3 + ["reader"] * 3
    assert found.comparison["metric"].tolist() == [EQUAL, "sensitivity", "specificity"] * 2
    row = found.decisions.query("model == 'reader'").iloc[0]
    stated = pd.Series(reader[1:]).astype(int).to_numpy()
    label = found.data.ecgs["omi"].to_numpy(int)[1:]
    assert (row["true_positive"], row["false_positive"]) == (
        (stated & label).sum(),
        (stated & (1 - label)).sum(),
    )
    assert any("reader says nothing of 1 of 60 ECGs" in note for note in found.notes)


@pytest.mark.parametrize("cells", [["1", "0"], ["1.0", "0.0"], ["True", "False"], [True, False], [1, 0], [1.0, 0.0]])
def test_what_programs_write_for_yes_and_no(cells):
    found = validate([judge()], dataset(reader=[cells[k % 2] for k in range(60)]), comparator="reader")
    assert found.decisions.query("model == 'reader'")["ecgs"].tolist() == [60]


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("2", r"must be 1 where it says OMI, 0 where it does not, or empty; found '2' in 60 of 60"),
        ("yes", "found 'yes'"),
        ("=cmd|' /C calc'!A0" * 5, "found .=cmd"),
        ("nan", "found 'nan'|is empty"),
        ("", "is empty for all"),
    ],
)
def test_a_comparator_of_other_values_is_refused(cell, sentence):
    with pytest.raises(omi.InputError, match=sentence):
        validate([judge()], dataset(reader=[cell] * 60), comparator="reader")


def test_a_comparator_that_is_no_column_is_refused():
    with pytest.raises(omi.InputError, match="no column reader; it has ecg_id, "):
        validate([judge()], dataset(), comparator="reader")
    with pytest.raises(omi.InputError, match="omi is the label"):
        validate([judge()], dataset(), comparator="omi")


@pytest.mark.parametrize("name", ["model", STEMI, "treat all"])
def test_a_comparator_with_a_name_that_is_taken(name):
    data = dataset(**{name: ["0", "1"] * 30})
    found = validate([judge()], data, comparator=name)
    assert f"{name} (column)" in set(found.decisions["model"])
    assert found.decisions.groupby("model").size()["model"] == 3


def test_every_column_of_few_values_makes_subgroups():
    """2 to 24 different cells, five ECGs a cell; names, labels, ages and numbers of beats make none."""
    columns = {
        "device": ["M", "S", ""] * 20,
        "constant": ["x"] * 60,
        "note": [f"free text {k}" for k in range(60)],
        "many": [str(k % 25) for k in range(60)],
        "twelve": [str(k % 12) for k in range(60)],
        "thirteen": [str(k % 13) for k in range(60)],
    }
    table = validate([judge()], dataset(**columns)).subgroups
    assert set(table["group"]) == {"all", "site", "year", "device", "twelve", "age", STEMI}
    assert table.query("group == 'device'")["value"].tolist() == ["M", "S", "not recorded"]
    assert table.query("group == @STEMI")["value"].tolist() == ["met", "not met"]
    assert table.query("group == @STEMI")["ecgs"].tolist() == [12, 48]


# -- the folder -------------------------------------------------------------------------------------------------------

HOSTILE = "<script>alert(1)</script>\"'&<img src=x>"


def test_files_say_what_was_found(tmp_path):
    bands = {"rule_out": 0.3, "rule_in": 0.8}
    found = validate([judge(bands=bands), judge("other", seed=1)], dataset(), seed=7)
    found.save(tmp_path / "out")
    names = {"metrics", "predictions", "decisions", "subgroups", "comparison", "calibration", "decision_curve"}
    files = {f"{name}.csv" for name in names} | {"figures", "report.html", "report.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    figures = {"curves.png", "calibration.png", "decision_curve.png"}
    assert {path.name for path in (tmp_path / "out" / "figures").iterdir()} == figures
    for name in names:
        read = pd.read_csv(tmp_path / "out" / f"{name}.csv").fillna({"value": "", "band": ""})
        pd.testing.assert_frame_equal(read, getattr(found, name), check_dtype=False, check_exact=False, rtol=1e-12)
    content = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert content["kind"] == "validation" and content["format_version"] == 1
    assert content["seed"] == 7 and content["dataset"]["sha256"] == dataset().fingerprint()
    assert [model["bands"] for model in content["models"]] == [bands, None]
    assert content["metrics"][0]["auc"] == found.metrics["auc"][0]
    slope = content["calibration_intervals"][0]
    assert slope["calibration_slope_lo"] < found.metrics["calibration_slope"][0] < slope["calibration_slope_hi"]
    again = tmp_path / "again"
    validate([judge(bands=bands), judge("other", seed=1)], dataset(), seed=7).save(again)
    assert {p.name: p.read_bytes() for p in again.rglob("*.*") if p.is_file()} == {
        p.name: p.read_bytes() for p in (tmp_path / "out").rglob("*.*") if p.is_file()
    }


def test_force_replaces_a_validation_and_nobodys_files(tmp_path):
    found, out = validate([judge()], dataset(30)), tmp_path / "out"
    found.save(out)
    with pytest.raises(omi.InputError, match="exists already"):
        found.save(out)
    found.save(out, force=True)
    (out / "thesis.docx").write_text("years of work", encoding="utf-8")
    with pytest.raises(omi.InputError, match=r"holds thesis\.docx, which is no part of a report or validation"):
        found.save(out, force=True)
    shutil.rmtree(out)
    out.mkdir()
    (out / "report.json").write_text('{"kind": "somebody else\'s"}', encoding="utf-8")
    with pytest.raises(omi.InputError, match="--force will not replace it"):
        found.save(out, force=True)


def test_the_page_escapes_what_comes_from_files():
    data = dataset(device=[HOSTILE, "b"] * 30, reader=["1", "0"] * 30, ecg_id=[f"{HOSTILE}{k}" for k in range(60)])
    page = validate([judge(HOSTILE, place=HOSTILE), judge("b", seed=2)], data, comparator="reader").html()
    assert "<script>alert" not in page and "<img" not in page
    assert page.count("&lt;script&gt;alert(1)") > 20
    assert page.count("<script>") == 1, "its own"
    for part in ("Validation: ", "Models", "Decisions", "Probabilities", "Subgroups", "To look at first"):
        assert part in page
    assert "fold" not in page.partition("</style>")[2].partition("<svg")[0], "there are no folds here"


def test_a_model_in_memory_is_judged(easy_dataset):
    """A stand-in for a forest, which answers by one feature; without ``out`` nothing is written."""

    class Forest:
        def probability(self, features):
            return 1 / (1 + np.exp(-np.nan_to_num(features[:, 0]) / 50))

    info = {"model": "random-forest", "simulated": True, "threshold": 0.5, "metrics": {}, "provenance": {}}
    model = Model(info, network=Forest())
    data = omi.load_dataset(easy_dataset).part(range(40))
    found = model.validate(data, seed=1)
    assert isinstance(found, omi.Validation)
    np.testing.assert_array_equal(found.predictions["probability"], model.probability(data.beats))
    assert judge_of_model(model).place == "in memory"
    model.info["provenance"] = {"dataset_sha256": {}}
    assert "trained on SHA-256" not in judge_of_model(model).source, "what is not said is not told"
