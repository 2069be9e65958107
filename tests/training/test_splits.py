"""Runs that a column divides, or that leave one site out: no patient in two parts, and all that folds can do."""

import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from helpers import run_cli
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_network import tiny

import omi_keras as omi
from edge.export import gate_rows
from omi_keras.data.dataset import Dataset, load_dataset
from omi_keras.data.first_ecgs import first_ecgs
from omi_keras.data.in_place import refuse_existing
from omi_keras.recordings.errors import InputError
from omi_keras.report import findings
from omi_keras.saliency.write import _chosen
from omi_keras.training import fit, forest
from omi_keras.training.splits import Split, split_of

KINDS = {
    "folds": {"split": 4},
    "column": {"split": "part"},
    "leave one out": {"split": 10, "leave_out": "site"},
    "first of folds": {"split": 4, "first_ecg_only": True},
    "first of column": {"split": "part", "first_ecg_only": True},
    "first, one left out": {"split": 10, "leave_out": "site", "first_ecg_only": True},
}


def in_memory(ecgs):
    return Dataset(None, np.zeros((len(ecgs), 12, 600), np.float32), ecgs, {"simulated": True})


@st.composite
def cohorts(draw):
    """Patients with 1 to 6 ECGs and a label each, at 2 to 4 sites, some spelled in two ways, some ECGs unlabelled."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    patients, sites = draw(st.integers(60, 120)), draw(st.integers(2, 4))
    patient = np.repeat(np.arange(patients), rng.integers(1, 7, patients))
    rng.shuffle(patient)
    labels = np.arange(patients) % 3 == 0
    parts = np.where(np.arange(patients) % 5 < 3, "train", np.where(np.arange(patients) % 5 == 3, "validation", "test"))
    spelled = rng.random(len(patient)) < 0.2
    return pd.DataFrame({
        "ecg_id": [f"e{k}" for k in range(len(patient))],
        "patient_id": [f"p\u200b{p}" if odd else f"p{p}" for p, odd in zip(patient, spelled, strict=True)],
        "omi": pd.array(np.where(rng.random(len(patient)) < 0.05, None, labels[patient].astype(int)), dtype="Int64"),
        "site": np.array([f"S{k}" for k in range(sites)])[(patient // 2) % sites],
        "part": parts[patient],
        "time": [str(t) for t in rng.integers(0, 50, len(patient))],
    })  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(ecgs=cohorts(), seed=st.integers(0, 1000))
def test_no_patient_is_in_two_parts(kind, ecgs, seed):
    split = split_of(in_memory(ecgs), **KINDS[kind])
    labelled = ecgs[ecgs["omi"].notna()].reset_index(drop=True)
    folds = split.divide(labelled, seed)
    assert folds["ecg_id"].tolist() == labelled["ecg_id"].tolist()
    person = labelled["patient_id"].str.replace("\u200b", "")
    tested = defaultdict(int)
    for number in split.rounds:
        parts = split.parts(folds, number)
        people = {name: set(person[rows]) for name, rows in parts.items()}
        assert not people["training"] & people["validation"]
        assert not people["training"] & people["test"]
        assert not people["validation"] & people["test"]
        assert set.union(*people.values()) == set(person)
        counts = np.sum(list(parts.values()), axis=0)
        if not split.first_ecg_only:
            assert (counts == 1).all()
        for name in ("validation", "test"):
            if split.first_ecg_only:
                assert sorted(person[parts[name]]) == sorted(people[name]), "one ECG each"
                assert first_ecgs(labelled)[parts[name]].all()
        if split.split_column:
            said = {"training": "train", "validation": "validation", "test": "test"}
            assert all(set(labelled.loc[rows, "part"]) == {said[name]} for name, rows in parts.items())
        if split.leave_out:
            (left_out,) = set(labelled.loc[parts["test"], "site"])
            assert left_out == split.left_out(folds, number)
            assert left_out not in set(labelled.loc[parts["training"] | parts["validation"], "site"])
        for name in people["test"]:
            tested[name] += 1
        _check_model(split, folds, number, parts)
    if not split.split_column:
        assert set(tested) == set(person)
        assert set(tested.values()) == {1}


def _check_model(split, folds, number, parts):
    """A model's own folds.csv says of its round what the run's says."""
    table, validation, test = split.of_model(folds, number)
    found = {
        "training": ~table["fold"].isin([validation, test]),
        "validation": table["fold"] == validation,
        "test": table["fold"] == test,
    }
    for name, rows in parts.items():
        assert table.loc[found[name], "ecg_id"].tolist() == folds.loc[rows, "ecg_id"].tolist()


def test_who_validates_is_a_stratified_tenth_of_the_rest():
    rng = np.random.default_rng(3)
    patient = np.repeat(np.arange(600), rng.integers(1, 4, 600))
    label = rng.random(600) < 0.2
    ecgs = pd.DataFrame({
        "ecg_id": np.arange(len(patient)).astype(str), "patient_id": patient.astype(str),
        "omi": pd.array(label[patient].astype(int), dtype="Int64"), "year": (2019 + patient % 3).astype(str),
    })  # fmt: skip
    split = split_of(in_memory(ecgs), leave_out="year")
    folds = split.divide(ecgs, 0)
    for number, year in enumerate(("2019", "2020", "2021")):
        assert split.left_out(folds, number) == year
        parts = split.parts(folds, number)
        rest, validation = ecgs["omi"][~parts["test"]], ecgs["omi"][parts["validation"]]
        assert 0.09 <= len(validation) / len(rest) <= 0.11
        assert validation.mean() == pytest.approx(rest.mean(), rel=0.15)
    again, other = split.divide(ecgs, 0), split.divide(ecgs, 1)
    assert again.equals(folds)
    assert not other.equals(folds)


def small(**columns):
    table = pd.DataFrame({
        "ecg_id": [f"e{k}" for k in range(40)], "patient_id": [f"p{k // 2}" for k in range(40)],
        "omi": pd.array([k // 2 % 2 for k in range(40)], dtype="Int64"),
    })  # fmt: skip
    return table.assign(**columns)


PART = ["train"] * 20 + ["validation"] * 10 + ["test"] * 10


@pytest.mark.parametrize(
    ("columns", "options", "sentence"),
    [
        ({}, {"split": "part"}, "the dataset has no column part; it has ecg_id, patient_id, omi"),
        ({"part": [*PART[:-1], "later"]}, {"split": "part"}, "column part says 'later'; its values must be train, val"),
        ({"part": ["", *PART[1:]]}, {"split": "part"}, r"column part is empty for 1 ECG \(e0\)"),
        ({"part": [None, *PART[1:]]}, {"split": "part"}, r"column part is empty for 1 ECG \(e0\)"),
        ({"part": ["train"] * 30 + ["test"] * 10}, {"split": "part"}, "column part has no validation among the lab"),
        ({"part": ["test", *PART[1:]]}, {"split": "part"}, r"divides the ECGs of 1 patient \(p0\) among its values"),
        ({"part": PART[::-1] + PART[:0]}, {"split": "part", "leave_out": "omi"}, "exclude each other; give one"),
        ({"site": ["A"] * 40}, {"leave_out": "site"}, "column site has 1 value among the labelled ECGs"),
        ({"site": ["A"] * 21 + ["B"] * 19}, {"leave_out": "site"}, r"the ECGs of 1 patient \(p10\) among its values"),
        ({"site": ["A", "B"] * 20}, {"leave_out": "site"}, r"of 20 patients \(p0, p1, p2 \.\.\.\) among its values"),
        ({"site": ["A"] * 39 + [" "]}, {"leave_out": "site"}, r"column site is empty for 1 ECG \(e39\)"),
    ],
)
def test_a_column_that_does_not_divide_them(columns, options, sentence):
    ecgs = small(**columns)
    with pytest.raises(InputError, match=sentence):
        split_of(in_memory(ecgs), **options).divide(ecgs, 0)


def test_more_values_than_folds_can_have():
    ecgs = pd.concat([small()] * 3, ignore_index=True).assign(ecg_id=lambda t: [f"e{k}" for k in range(len(t))])
    with pytest.raises(InputError, match=r"column ecg_id has 120 values among the labelled ECGs.*must be 2 to 100"):
        split_of(in_memory(ecgs), leave_out="ecg_id")


def test_a_round_of_one_class_is_named_and_the_others_go_on():
    ecgs = small(site=["A" if k // 2 % 2 or k < 24 else "B" for k in range(40)])  # no OMI at B
    split = split_of(in_memory(ecgs), leave_out="site")
    folds = split.divide(ecgs, 0)
    omi_of = ecgs["omi"].to_numpy(int)
    with pytest.raises(InputError, match=r"fold 1 \(site B\): its test part has one class only .*--folds"):
        split.check(folds, omi_of, 1)
    with pytest.raises(InputError, match=r"fold 0 \(site A\): its training part has one class only"):
        split.check(folds, omi_of, 0)


def test_numbers_are_ordered_by_their_size_and_names_that_are_taken_stay_apart():
    ecgs = small(fold=[str(k // 4) for k in range(40)])
    split = split_of(in_memory(ecgs), leave_out="fold")
    folds = split.divide(ecgs, 0)
    assert [split.left_out(folds, number) for number in split.rounds] == [str(k) for k in range(10)]
    assert list(folds.columns) == ["ecg_id", "patient_id", "fold", "fold_value", "validates"]
    # A model's folds.csv has the checksum of the beat under this name.
    assert split_of(in_memory(small(beat=["x", "y"] * 20)), leave_out="beat").values == "beat_value"
    # Numbers, and what only looks like one.
    for cells, ordered in ((("10", "-2", "9"), ["-2", "9", "10"]), (("--5", "3", "10"), ["--5", "10", "3"])):
        ecgs = small(level=[cells[k // 2 % 3] for k in range(40)])
        folds = split_of(in_memory(ecgs), leave_out="level").divide(ecgs, 0)
        assert list(folds.sort_values("fold")["level"].unique()) == ordered


# Runs.


@pytest.fixture(scope="module")
def dataset(easy_dataset, tmp_path_factory):
    """The easy ECGs with a column that divides their patients."""
    data = load_dataset(easy_dataset)
    ecgs = data.ecgs
    number = ecgs["patient_id"].str[-3:].astype(int)
    part = np.where(number % 5 < 3, "train", np.where(number % 5 == 3, "validation", "test"))
    folder = tmp_path_factory.mktemp("dataset") / "dataset"
    omi.Dataset.from_arrays(
        data.beats, ecgs["omi"], ecgs["patient_id"], simulated=True, ecg_id=ecgs["ecg_id"], site=ecgs["site"],
        age=ecgs["age"], sex=ecgs["sex"], part=part, hospital=ecgs["site"].map({"A": "North", "B": "South"}),
        time=[str(k) for k in range(len(ecgs), 0, -1)],
    ).save(folder)  # fmt: skip
    return folder


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(fit, "build", tiny)
    monkeypatch.setattr(forest, "TREES", 30)
    monkeypatch.setattr(forest, "CANDIDATES", forest.CANDIDATES[:1])
    monkeypatch.setattr(findings, "RESAMPLES", 50)


OPTIONS = {"column": ("--split-column", "part"), "leave one out": ("--leave-out", "hospital")}


@pytest.mark.parametrize("kind", OPTIONS)
def test_from_train_to_evaluate(kind, dataset, tmp_path):
    run, labels = tmp_path / "run", load_dataset(dataset).ecgs.set_index("ecg_id")
    command = ("train", dataset, run, "--model", "random-forest", *OPTIONS[kind], "--first-ecg-only")
    done = run_cli(*command, "--json")
    assert done.exit_code == 0, done.output
    folds, value = pd.read_csv(run / "folds.csv", dtype=str), OPTIONS[kind][1]
    assert list(folds.columns[:4]) == ["ecg_id", "patient_id", "fold", value]
    assert folds[value].tolist() == labels.loc[folds["ecg_id"], value].tolist()
    assert len(folds.groupby(["fold", value])) == folds["fold"].nunique() == folds[value].nunique()
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert (config["split_column"], config["leave_out"]) == (("part", None) if kind == "column" else (None, "hospital"))
    last = labels[~labels["patient_id"].duplicated(keep="last")]  # whose time is the earliest
    for number, left_out in enumerate(["North", "South"] if kind != "column" else [None]):
        metrics = json.loads((run / f"fold-{number:02d}" / "metrics.json").read_text(encoding="utf-8"))
        assert metrics.get("left_out") == left_out
        assert json.loads(done.stdout)["folds"][str(number)].get("left_out") == left_out
        predictions = pd.read_csv(run / f"fold-{number:02d}" / "predictions.csv")
        tested = predictions.loc[predictions["split"] == "test", "ecg_id"]
        wanted = last[last["part"] == "test"] if kind == "column" else last[last["hospital"] == left_out]
        assert set(tested) == set(wanted.index)
    # Resumed, nothing is done again; with other settings, it is refused.
    assert run_cli(*command, "--resume").exit_code == 0
    other = run_cli(*command[:-1], "--resume")
    assert other.exit_code == 2
    assert "was started with first_ecg_only True, not False" in other.stderr
    assert run_cli("select", run, tmp_path / "model").exit_code == 0
    model = omi.load_model(tmp_path / "model")
    assert model.info.get("left_out") == (None if kind == "column" else ["North", "South"][model.info["fold"]])
    tested = model.folds.loc[model.folds["fold"] == model.info["test_fold"], "ecg_id"]
    predictions = pd.read_csv(run / f"fold-{model.info['fold']:02d}" / "predictions.csv")
    assert set(tested) == set(predictions.loc[predictions["split"] == "test", "ecg_id"])
    page = (run / "report.html").read_text(encoding="utf-8")
    if kind != "column":
        assert run_cli("evaluate", run, tmp_path / "report").exit_code == 0
        page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
        assert "hospital: North" in page  # among the subgroups
    assert "validation and test have one ECG of each patient" in page
    told = "Each fold of random-forest leaves out one hospital: fold 0 North, fold 1 South."
    assert (told in page) == (kind != "column")
    assert ("column part says which ECGs train" in page) == (kind == "column")
    refuse_existing(run, "config.json", force=True)  # nothing in it is strange to --force


@pytest.mark.parametrize("options", [*KINDS.values()], ids=list(KINDS))
def test_device_and_saliency_see_the_model_s_own_parts(options, dataset):
    data = load_dataset(dataset)
    split = split_of(data, **options)
    folds = split.divide(data.ecgs, 0)
    table, validation, test = split.of_model(folds, 0)
    info = {"model": "mayo-alvd", "validation_fold": validation, "test_fold": test}
    model = omi.model.Model(info | {"provenance": {"dataset_sha256": data.fingerprint()}}, table)
    parts, rows = split.parts(folds, 0), gate_rows(model, data, 0)
    for name, mask in parts.items():
        np.testing.assert_array_equal(rows[name], np.flatnonzero(mask))
    chosen, _ = _chosen(model, data, ())
    np.testing.assert_array_equal(chosen, np.flatnonzero(parts["test"] & (data.ecgs["omi"] == 1).to_numpy(bool)))


# Bits.

QUICK = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-2, "threads": 1}
RUNS = {"column": {"split": "part"}, "leave one out": {"leave_out": "site", "first_ecg_only": True}}


def content(run):
    found = {}
    for folder in sorted(run.glob("fold-*")):
        for name in ("history.csv", "predictions.csv", "metrics.json"):
            found[folder.name, name] = (folder / name).read_bytes()
        weights = keras.models.load_model(folder / "model.keras").get_weights()
        found[folder.name, "weights"] = b"".join(array.tobytes() for array in weights)
    return found


@pytest.fixture(scope="module", params=RUNS)
def whole(request, dataset, tmp_path_factory):
    """Options of a run, and its bytes."""
    run = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "build", tiny)
        omi.cross_validate(load_dataset(dataset), run, "mayo-alvd", **RUNS[request.param], **QUICK)
    return RUNS[request.param], content(run)


def test_stopped_after_an_epoch_and_resumed_it_is_the_same_to_the_bit(whole, dataset, tmp_path, monkeypatch):
    options, wanted = whole
    run, saved = tmp_path / "run", fit.save_checkpoint

    def stop(path, model, optimizer, progress, run_id):
        saved(path, model, optimizer, progress, run_id)
        if progress.epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit, "save_checkpoint", stop)
        with pytest.raises(KeyboardInterrupt):
            omi.cross_validate(load_dataset(dataset), run, "mayo-alvd", **options, **QUICK)
    assert (run / ".fold-00.partial" / "checkpoint.npz").exists()
    omi.cross_validate(load_dataset(dataset), run, "mayo-alvd", **options, **QUICK, resume=True)
    assert content(run) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_killed_and_resumed_it_is_the_same_to_the_bit(options, dataset, tmp_path):
    program = "import sys; from omi_keras.cli import main; main(sys.argv[1:])"
    settings = ("--epochs", 3, "--batch-size", 16, "--learning-rate", 1e-3, "--threads", 1, "--first-ecg-only")

    def start(run, *more):
        command = ("train", dataset, run, "--model", "mayo-alvd", *options, *settings, *more)
        return subprocess.Popen(
            [sys.executable, "-c", program, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    assert start(tmp_path / "whole").wait(300) == 0
    process = start(tmp_path / "run")
    while not (tmp_path / "run" / ".fold-00.partial" / "checkpoint.npz").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert start(tmp_path / "run", "--resume").wait(300) == 0
    assert content(tmp_path / "run") == content(tmp_path / "whole")


def test_dask_gives_the_same_bits(whole, dataset, cluster, tmp_path, monkeypatch):
    options, wanted = whole
    monkeypatch.chdir(tmp_path)  # paths that are relative here mean something else where a worker is
    data = load_dataset(dataset)
    omi.cross_validate(data, "run", "mayo-alvd", **options, **QUICK, scheduler=cluster)
    assert content(tmp_path / "run") == wanted


@pytest.fixture(scope="module")
def forest_run(dataset, tmp_path_factory):
    run = tmp_path_factory.mktemp("forest") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forest, "TREES", 30)
        patch.setattr(forest, "CANDIDATES", forest.CANDIDATES[:1])
        omi.cross_validate(load_dataset(dataset), run, "random-forest", leave_out="site", folds=[0])
    return run


@pytest.fixture
def copy(forest_run, tmp_path):
    return Path(shutil.copytree(forest_run, tmp_path / "run"))


def test_folds_that_were_altered_are_refused(copy, dataset):
    before = (copy / "folds.csv").read_text(encoding="utf-8")
    for altered, sentence in (
        (before.replace("validates", "valid"), "lacks the column validates"),
        (before.replace(",A,1", ",A,one"), "validates must be numbers of folds"),
    ):
        assert altered != before
        (copy / "folds.csv").write_text(altered, encoding="utf-8")
        with pytest.raises(InputError, match=sentence):
            omi.load_run(copy)
    moved = before.replace(",A,1", ",A,", 1)
    (copy / "folds.csv").write_text(moved, encoding="utf-8")
    with pytest.raises(InputError, match="divides the ECGs otherwise"):
        omi.cross_validate(load_dataset(dataset), copy, "random-forest", leave_out="site", resume=True)


@pytest.mark.parametrize(
    "change", [{"leave_out": None, "n_folds": 2}, {"leave_out": 7}, {"split_column": "part"}, {"first_ecg_only": "yes"}]
)
def test_a_config_that_cannot_be_is_refused(change, copy):
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    (copy / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
    with pytest.raises(InputError, match="of the column that divides the ECGs"):
        omi.load_run(copy)


def test_a_run_from_before_columns_is_read_and_resumed(dataset, tmp_path):
    run, data = tmp_path / "run", load_dataset(dataset)
    omi.cross_validate(data, run, "random-forest", split=5, folds=[0])
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    for name in ("split_column", "leave_out", "first_ecg_only", "start_sha256"):
        del config[name]
    (run / "config.json").write_text(json.dumps(config | {"format_version": 1}), encoding="utf-8")
    assert omi.load_run(run).split == Split(5)
    found = omi.cross_validate(data, run, "random-forest", split=5, folds=[0, 1], resume=True)
    assert [fold.fold for fold in found.results] == [0, 1]


def test_search_lr_and_the_command_line(dataset, tmp_path):
    search = ("search-lr", dataset, tmp_path / "search", "--model", "mayo-alvd", "--rates", "1e-3", "--epochs", 1)
    done = run_cli(*search, "--batch-size", 16, "--leave-out", "site")
    assert done.exit_code == 0, done.output
    assert "over 2 folds" in done.stdout
    for options, sentence in (
        (("--leave-out", "site", "--split-column", "part"), "exclude each other"),
        (("--leave-out", "site", "--n-folds", 5), "--n-folds is for folds"),
        (("--split-column", "part", "--folds", "1"), "fold 1 does not exist: there is fold 0 only"),
        (("--split-column", "site"), "column site says 'A', 'B'"),
        (("--split-column", ""), "the dataset has no column ''"),
        (("--leave-out", ""), "the dataset has no column ''"),
    ):
        done = run_cli("train", dataset, tmp_path / "run", "--model", "random-forest", *options)
        assert done.exit_code == 2
        assert sentence in done.stderr
        assert not (tmp_path / "run").exists()
