"""Numbers that files hold: every leaf of every file becomes every evil value, and the loader never breaks."""

import csv
import io
import json
import math
import shutil
from itertools import islice

import numpy as np
import pytest
from helpers import run_cli

from omi_keras import model as model_module
from omi_keras.data.artifacts import read_json, sha256
from omi_keras.data.dataset import load_dataset
from omi_keras.model import load_model
from omi_keras.models.model_folder import write_model_info
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.numbers import is_count, is_number, is_probability, parse_json
from omi_keras.recordings.readers import read_record
from omi_keras.training.run import load_run

# Written into JSON as they stand.
EVIL_JSON = (
    "1" + "0" * 399, "-1" + "0" * 399, "1" * 5000, "1e999", "-1e999", "NaN", "Infinity", "-Infinity", "-1", "-3.5", "0",
    "1.5", "1e300", "true", "null", '"0.5"', '""', "[]", "{}", "[0.5]", "[" * 2000 + "]" * 2000, '"\\ud800"',
)  # fmt: skip
EVIL_CELLS = (
    "nan", "inf", "-inf", "1e999", "-1", "2", "1.5", "0.5", "1" * 5000, "1" + "0" * 30, "true", "", "x", "0x1", "1_0",
    "[1]", "٣", "1 ", "\0",
)  # fmt: skip


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        # Of many alike, one.
        for index, item in list(enumerate(value))[:1]:
            yield from leaves(item, (*path, index))
    if path:
        yield path


MARK = "put the evil value here"


def evil_jsons(text):
    whole = json.loads(text)
    for path in leaves(whole):
        changed = json.loads(text)
        inner = changed
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = MARK
        template = json.dumps(changed)
        for evil in EVIL_JSON:
            yield path, template.replace(json.dumps(MARK), evil)


def evil_tables(text):
    rows = list(csv.reader(io.StringIO(text)))
    for column in range(len(rows[0])):
        for evil in EVIL_CELLS:
            changed = [list(row) for row in rows]
            changed[2][column] = evil
            out = io.StringIO()
            csv.writer(out, lineterminator="\n").writerows(changed)
            yield rows[0][column], out.getvalue()


def survives(load):
    """The result, or None after a sentence that a person can read."""
    try:
        return load()
    except InputError as error:
        assert len(str(error)) < 1000
        assert "Traceback" not in str(error)
        return None


# Every evil value meets every leaf; a third of that in the daily run, with all values and all leaves among it.
thirds = pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in (1, 2))])


def no_weights(monkeypatch):
    """Building a network takes a second, and has no number in it."""
    monkeypatch.setattr(model_module, "load_any", lambda *about: None)


@pytest.fixture
def dataset(easy_dataset, tmp_path):
    return shutil.copytree(easy_dataset, tmp_path / "dataset")


@pytest.fixture
def run(trained_run, tmp_path):
    return shutil.copytree(trained_run, tmp_path / "run", ignore=shutil.ignore_patterns("*.keras", "*.html"))


@pytest.fixture
def model(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "model.keras").write_bytes(b"")  # not opened here
    return folder


def resum(folder, marker, name):
    """Make the checksum of a changed file right, as its changer would."""
    info = json.loads((folder / marker).read_text(encoding="utf-8"))
    info["sha256"][name] = sha256(folder / name)
    (folder / marker).write_text(json.dumps(info), encoding="utf-8")


@thirds
def test_dataset_json(dataset, part):
    text = (dataset / "dataset.json").read_text(encoding="utf-8")
    for _, evil in islice(evil_jsons(text), part, None, 3):
        (dataset / "dataset.json").write_text(evil, encoding="utf-8")
        found = survives(lambda: load_dataset(dataset))
        if found:
            assert isinstance(found.simulated, bool)
            found.fingerprint()


def test_ecgs_csv(dataset):
    text = (dataset / "ecgs.csv").read_text(encoding="utf-8")
    refused = set()
    for column, evil in evil_tables(text):
        (dataset / "ecgs.csv").write_text(evil, encoding="utf-8")
        resum(dataset, "dataset.json", "ecgs.csv")
        found = survives(lambda: load_dataset(dataset))
        if found is None:
            refused.add(column)
            continue
        omi, age = found.ecgs["omi"].dropna(), found.ecgs["age"].dropna()
        assert set(omi) <= {0, 1}
        assert age.between(0, 150).all()
        assert (found.ecgs[["ecg_id", "patient_id"]] != "").all(axis=None)
    assert refused >= {"omi", "age", "ecg_id", "patient_id"}


@pytest.mark.parametrize(
    "text", ["", "\n", "\0", "ecg_id", "a,b\n1,2,3\n", '"', "ecg_id\n\xff\n", "ecg_id,patient_id\n" * 3]
)
def test_ecgs_csv_that_is_none(dataset, text):
    (dataset / "ecgs.csv").write_bytes(text.encode("latin-1"))
    resum(dataset, "dataset.json", "ecgs.csv")
    with pytest.raises(InputError, match=r"ecgs\.csv"):
        load_dataset(dataset)


@pytest.mark.parametrize("name", ["config.json", "fold-00/metrics.json"])
@thirds
def test_json_of_a_run(run, name, part):
    text = (run / name).read_text(encoding="utf-8")
    for _, evil in islice(evil_jsons(text), part, None, 3):
        (run / name).write_text(evil, encoding="utf-8")
        found = survives(lambda: load_run(run))
        if found:
            assert 3 <= found.config["n_folds"] <= 100
            fold = found.best("validation")
            assert 0 <= fold.metrics["threshold"] <= 1
            assert math.isfinite(fold.score("test"))


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("folds.csv", {"ecg_id", "patient_id", "fold"}),
        ("fold-00/predictions.csv", {"ecg_id", "split", "omi", "probability"}),
        ("fold-00/history.csv", {"epoch", "loss", "val_auc", "learning_rate"}),
    ],
)
def test_tables_of_a_run(run, name, columns):
    text = (run / name).read_text(encoding="utf-8")
    refused = set()
    for column, evil in evil_tables(text):
        (run / name).write_text(evil, encoding="utf-8")
        found = survives(lambda: load_run(run))
        if found is None:
            refused.add(column)
            continue
        predictions = found.results[0].predictions
        assert predictions["probability"].between(0, 1).all()
        assert set(predictions["omi"]) <= {0, 1}
        assert found.folds["fold"].between(0, found.config["n_folds"] - 1).all()
    assert refused >= columns


@pytest.mark.parametrize("threshold", ["-3", "1.0000001", "1e999", "NaN", "1" + "0" * 399, "true", '"0.5"', "null"])
def test_thresholds_of_a_run_and_a_model(run, model, monkeypatch, threshold):
    no_weights(monkeypatch)
    for path, load in ((run / "fold-00" / "metrics.json", load_run), (model / "model.json", load_model)):
        content = json.loads(path.read_text(encoding="utf-8"))
        content["threshold"] = MARK
        path.write_text(json.dumps(content).replace(json.dumps(MARK), threshold), encoding="utf-8")
        with pytest.raises(InputError, match=path.name):
            load(path.parent if path.name == "model.json" else run)


@thirds
def test_model_json(model, monkeypatch, part):
    no_weights(monkeypatch)
    resum(model, "model.json", "model.keras")
    load_model(model)
    text = (model / "model.json").read_text(encoding="utf-8")
    for _, evil in islice(evil_jsons(text), part, None, 3):
        (model / "model.json").write_text(evil, encoding="utf-8")
        found = survives(lambda: load_model(model))
        if found:
            assert 0 <= found.threshold <= 1
            if found.folds is not None:
                folds = set(found.folds["fold"])
                assert {found.info["validation_fold"], found.info["test_fold"]} <= folds
            json.dumps(found.info, allow_nan=False)  # metrics go into bundles


def test_folds_of_a_model(model, monkeypatch):
    no_weights(monkeypatch)
    resum(model, "model.json", "model.keras")
    text = (model / "folds.csv").read_text(encoding="utf-8")
    refused = set()
    for column, evil in evil_tables(text):
        (model / "folds.csv").write_text(evil, encoding="utf-8")
        resum(model, "model.json", "folds.csv")
        if survives(lambda: load_model(model)) is None:
            refused.add(column)
    assert refused == {"ecg_id", "patient_id", "fold", "beat"}


def test_a_model_whose_folds_are_not_there(model, monkeypatch):
    no_weights(monkeypatch)
    resum(model, "model.json", "model.keras")
    info = json.loads((model / "model.json").read_text(encoding="utf-8"))
    (model / "model.json").write_text(json.dumps(info | {"test_fold": 77}), encoding="utf-8")
    with pytest.raises(InputError, match="lacks the model's validation or test ECGs"):
        load_model(model)


@pytest.mark.parametrize("name", ["../model.keras", "/etc/hostname", "..", "", "a/../model.keras", "a\0b", "a\\b"])
def test_no_name_leads_out_of_a_model_folder(model, monkeypatch, name):
    no_weights(monkeypatch)
    info = json.loads((model / "model.json").read_text(encoding="utf-8"))
    info["sha256"][name] = "0"
    (model / "model.json").write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(InputError, match="is missing or was altered"):
        load_model(model)


@pytest.mark.parametrize("threshold", [-3.0, 1.5, float("nan"), float("inf"), 10**399, True, "0.5", None], ids=str)
def test_no_model_folder_is_written_with_a_threshold_that_none_reads(tmp_path, threshold):
    info = {"model": "mayo-alvd", "simulated": True, "threshold": threshold, "metrics": {}, "provenance": {}}
    with pytest.raises(InputError, match="a threshold is a number from 0 to 1"):
        write_model_info(tmp_path, info)
    assert not any(tmp_path.iterdir())


def test_limits_json(tmp_path):
    from edge.limits import tightened

    path = tmp_path / "limits.json"
    for evil in EVIL_JSON:
        for text in (f'{{"flips": {evil}}}', f'{{"max_delta": {evil}}}', evil):
            path.write_text(text, encoding="utf-8")
            found = survives(lambda: tightened("int8", path))
            if found:
                assert all(0 <= limit < math.inf for limit in found.values())
                assert found["flips"] <= 0.005


def test_sidecar_of_an_array(tmp_path):
    t = np.arange(5000) / 500
    np.save(tmp_path / "ecg.npy", np.tile(np.sin(8 * t), (12, 1)).astype(np.float32))
    for key in ("rate", "units", "leads", "age", "sex"):
        for evil in EVIL_JSON:
            (tmp_path / "ecg.npy.json").write_text(f'{{"{key}": {evil}}}', encoding="utf-8")
            found = survives(lambda: read_record(tmp_path / "ecg.npy"))
            if found:
                assert np.isfinite(found.signal).all()
                assert found.age is None or 0 <= found.age <= 150


def test_commands_end_with_a_sentence(run, model, dataset, tmp_path):
    """Exit code 2 and one line, at the command line."""
    for path in (run / "fold-00" / "metrics.json", model / "model.json"):
        content = json.loads(path.read_text(encoding="utf-8")) | {"threshold": MARK}
        text = json.dumps(content).replace(json.dumps(MARK), "1" + "0" * 399)
        path.write_text(text, encoding="utf-8")
    for arguments in (
        ("select", run, tmp_path / "out"),
        ("evaluate", run, tmp_path / "out"),
        ("predict", model, "ecg.hea"),
        ("export-tflite", model, tmp_path / "out", "--dataset", dataset),
    ):
        result = run_cli(*arguments)
        assert result.exit_code == 2, result.output
        assert "is no number to work with" in result.output
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text",
    ['{"a": NaN}', '{"a": 1e999}', '{"a": -Infinity}', '{"a": 1, "a": 2}', "1" * 401, "[" * 100_000, "", "\xff", "{"],
)
def test_more_than_json_is_refused(text, tmp_path):
    with pytest.raises(ValueError):
        parse_json(text.encode("latin-1"))
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"x\.json cannot be read"):
        read_json(tmp_path / "x.json", "a thing", 1, {})


@pytest.mark.parametrize("evil", [math.nan, math.inf])
def test_weights_that_are_no_numbers(tmp_path, evil):
    """Otherwise every ECG would be "no OMI": NaN is below any threshold."""
    from omi_keras.model import Model
    from omi_keras.models.catalogue import build
    from omi_keras.models.model_folder import load_weights

    model = build("mayo-alvd")
    weights = model.get_weights()
    weights[-1] = np.full_like(weights[-1], evil)
    model.set_weights(weights)
    model.save(tmp_path / "model.keras")
    with pytest.raises(InputError, match="weights that are no finite numbers"):
        load_weights("mayo-alvd", tmp_path / "model.keras")
    folder = Model({"model": "mayo-alvd", "threshold": 0.5}, network=model)
    with pytest.raises(InputError, match="gives no probability for 1 of 1 ECGs"):
        folder.probability(np.random.default_rng(0).normal(size=(1, 12, 600)).astype(np.float32))


def test_what_is_a_number():
    assert all(is_number(value) for value in (0, -1, 0.5, 1e308, 10**308))
    assert not any(is_number(value) for value in (math.nan, math.inf, 10**309, 10**399, True, "1", None, [1], 1j))
    assert all(is_probability(value) for value in (0, 0.5, 1, 1.0, -0.0))
    assert not any(is_probability(value) for value in (-1e-300, 1.0000001, math.nan, True, "0.5", 10**399))
    assert all(is_count(value) for value in (0, 1, 2**63 - 1))
    assert not any(is_count(value) for value in (-1, 2**63, 1.0, True, "1", None))
