"""``import omi_keras as omi``: what a researcher in a notebook has, used as the documents tell."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import omi_keras as omi
from omi_keras.simulate import simulate_cohort

USER = """
from pathlib import Path
import numpy as np
import omi_keras as omi

record: omi.Record = omi.read_record(Path("ecg.hea"))
beat: omi.MedianBeat = omi.median_beat(record)
x: np.ndarray = omi.model_input(beat.beat[None])
dataset = omi.Dataset.from_arrays(np.zeros((2, 12, 600)), [0, 1], ["a", "b"], site=["N", "S"])
north: omi.Dataset = dataset.part(site="N")
run = omi.cross_validate(dataset, "run", model="mayo-alvd", split=5, epochs=20)
run = omi.load_run("run")
model: omi.Model = run.select(by="validation")
tables = run.evaluate().tables
threshold: float = model.threshold
found: omi.Detection = model.predict(record)
probability: np.ndarray = model.probability(np.zeros((1, 12, 600)))
maps: np.ndarray = model.saliency(np.zeros((1, 12, 600)))
validation: omi.Validation = model.validate(north, "validation", first_ecg_only=True)
auc: float = validation.metrics["auc"][0]
model.save("model")
manifest = omi.load_model("model").export("bundle", dataset, quantize="int8")
print(omi.Detector("bundle").detect(record).probability, omi.InputError("no"), omi.__version__)
"""


@pytest.fixture(scope="module")
def cohort():
    """Simulated recordings whose OMI is easy to see, as arrays."""
    beats, labels, patients, sites, record = [], [], [], [], None
    for ecg in simulate_cohort(90, 60, 0.4, seed=4):
        record = record or ecg.record
        beat = omi.median_beat(ecg.record).beat.copy()
        beat[6:11, 325:420] += ecg.plan.omi
        beats.append(beat)
        labels.append(ecg.plan.omi)
        patients.append(ecg.plan.patient_id)
        sites.append(ecg.plan.site)
    return np.stack(beats), labels, patients, sites, record


def test_from_arrays_to_a_device(cohort, tmp_path):
    beats, labels, patients, sites, record = cohort
    dataset = omi.Dataset.from_arrays(beats, labels, patients, site=sites, simulated=True)
    run = omi.cross_validate(
        dataset, tmp_path / "run", model="mayo-alvd", split=3, folds=[0], epochs=2, batch_size=16, learning_rate=1e-3
    )
    assert [result.fold for result in run.results] == [0]
    again = omi.cross_validate(
        dataset, tmp_path / "run", model="mayo-alvd", split=3, folds=[0], epochs=2, batch_size=16, learning_rate=1e-3,
        resume=True,
    )  # fmt: skip
    assert again.results[0].predictions.equals(run.results[0].predictions)
    found = omi.load_run(tmp_path / "run").evaluate(tmp_path / "report")
    assert {"table4", "table5", "subgroups"} <= found.tables.keys(), "the dataset in the run is found"
    assert (tmp_path / "report" / "report.html").is_file()

    model = run.select()
    test = run.results[0].split("test")
    rows = dataset.ecgs.set_index("ecg_id").index.get_indexer(test["ecg_id"])
    np.testing.assert_allclose(model.probability(beats[rows]), test["probability"], atol=1e-6)
    model.save(tmp_path / "model")
    with pytest.raises(omi.InputError, match="exists already"):
        model.save(tmp_path / "model")
    loaded = omi.load_model(tmp_path / "model")
    assert (loaded.name, loaded.threshold) == ("mayo-alvd", model.threshold)
    judged = loaded.predict(record)
    assert judged.probability == pytest.approx(float(loaded.probability(omi.median_beat(record).beat[None])[0]))
    maps = loaded.saliency(beats[:3])
    assert maps.shape == (3, 12, 400) and (maps >= 0).all() and maps.any()

    on_disk = omi.load_dataset(tmp_path / "run" / "dataset")
    manifest = loaded.export(tmp_path / "bundle", on_disk, quantize="float32", limits={"flips": 1.0})
    assert manifest["simulated"]
    assert omi.Detector(tmp_path / "bundle").detect(record).probability == pytest.approx(judged.probability, abs=1e-4)


def test_the_weights_are_those_that_were_opened(tmp_path, monkeypatch):
    """Whatever has the name by then: another model in the same place, or in the same place of another folder."""
    from omi_keras.model import Model, load_model
    from omi_keras.models.catalogue import build

    info = {"model": "mayo-alvd", "simulated": True, "threshold": 0.5, "metrics": {}, "provenance": {}}
    for seed, place in enumerate(("here", "there")):
        Model(info, network=build("mayo-alvd", seed=seed)).save(tmp_path / place / "model")
    first = (tmp_path / "here" / "model" / "model.keras").read_bytes()
    monkeypatch.chdir(tmp_path / "here")
    model = load_model("model")
    monkeypatch.chdir(tmp_path / "there")
    model.save(tmp_path / "copy")
    assert (tmp_path / "copy" / "model.keras").read_bytes() == first
    model.save(tmp_path / "here" / "model", force=True)
    assert (tmp_path / "here" / "model" / "model.keras").read_bytes() == first, "over its own folder"

    asked, selected = load_model(tmp_path / "copy"), Model(info, weights=tmp_path / "copy" / "model.keras")
    load_model(tmp_path / "there" / "model").save(tmp_path / "copy", force=True)
    for late in (asked, selected):
        with pytest.raises(omi.InputError, match="was replaced after it was opened"):
            late.save(tmp_path / "mixed")
    for ask in (lambda: selected.network, lambda: asked.weights):  # a bundle's provenance names the file
        with pytest.raises(omi.InputError, match="was replaced after it was opened"):
            ask()
    assert not (tmp_path / "mixed").exists()


def test_a_part_and_what_is_saved(cohort, tmp_path):
    beats, labels, patients, sites, _ = cohort
    dataset = omi.Dataset.from_arrays(beats, labels, patients, site=sites, simulated=True)
    one = sites[0]
    part = dataset.part(site=one)
    assert len(part.ecgs) == sites.count(one) and set(part.ecgs["site"]) == {one}
    np.testing.assert_array_equal(part.beats, beats[np.array(sites) == one])
    assert len(dataset.part(rows=np.array(labels) == 1).part(omi=1).ecgs) == sum(labels)
    saved = dataset.save(tmp_path / "dataset")
    assert saved.fingerprint() == dataset.fingerprint()
    np.testing.assert_array_equal(saved.beats, dataset.beats)
    assert saved.ecgs.equals(dataset.ecgs)
    with pytest.raises(omi.InputError, match="no column ward"):
        dataset.part(ward="3")
    with pytest.raises(omi.InputError, match="no ECG"):
        dataset.part(site="elsewhere")


def test_labels_that_were_changed_in_memory_are_not_left_out(cohort, tmp_path, monkeypatch):
    """A run reads the files of a dataset on disk."""
    beats, labels, patients, sites, _ = cohort
    monkeypatch.chdir(tmp_path)
    omi.Dataset.from_arrays(beats, labels, patients, site=sites, simulated=True).save("dataset")
    changed = omi.load_dataset("dataset")
    changed.ecgs.loc[:, "omi"] = 1 - changed.ecgs["omi"]
    few = {"model": "mayo-alvd", "split": 3, "folds": [0], "epochs": 1}
    with pytest.raises(omi.InputError, match=r"changed in memory.*dataset\.part\(\)"):
        omi.cross_validate(changed, "run", **few)
    part = changed.part()
    assert part.ecgs.equals(changed.ecgs) and not part.beats.flags.writeable
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    with pytest.raises(omi.InputError, match="not a dataset"):
        omi.cross_validate(omi.Dataset(changed.path, changed.beats, changed.ecgs, changed.info), "run", **few)
    assert not list(tmp_path.rglob("run"))


def test_a_fingerprint_writes_no_patient_to_the_folder_of_temporary_files(tmp_path, monkeypatch):
    """There they would stay after SIGKILL, and there may be no room."""
    columns = {"site": ["A", "", 'C, "D"'], "age": [50, None, 71.25], "ward": ["x", None, "ä\r\nz"]}
    dataset = omi.Dataset.from_arrays(BEATS, [0, None, 1], ["p1", "p2", "p3"], **columns)
    written = dataset.save(tmp_path / "dataset").info["sha256"]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    found = dataset.fingerprint()
    assert found == {name: written[name] for name in found}


BEATS = np.sin(np.linspace(0, 60, 3 * 12 * 600)).reshape(3, 12, 600)


@pytest.mark.parametrize(
    ("beats", "omi_labels", "patients", "more", "sentence"),
    [
        (BEATS[:, :, :400], [0, 1, 0], "abc", {}, r"shape \(n, 12, 600\), received \(3, 12, 400\)"),
        (BEATS[:0], [], [], {}, "shape"),
        ((1000 * BEATS).astype(int), [0, 1, 0], "abc", {}, "floating point, received int64"),
        (1000 * BEATS, [0, 1, 0], "abc", {}, "over in millivolts"),
        (np.where(BEATS > 0.999, np.nan, BEATS), [0, 1, 0], "abc", {}, "missing or infinite"),
        (BEATS, [0, 1], "abc", {}, r"omi: expected 3 values, one for each beat, received \(2,\)"),
        (BEATS, [0, 2, 0], "abc", {}, "expected 0 or 1.* received 2"),
        (BEATS, [0, 1, 0], ["a", "", "b"], {}, "patient_id is empty"),
        (BEATS, [0, 1, 0], ["unknown", "unknown", "b"], {}, "stands for nobody and has 2 ECGs"),
        (BEATS, [0, 1, 0], "abc", {"ecg_id": ["x", "x", "y"]}, "a name of its own"),
        (BEATS, [0, 1, 0], "abc", {"sex": ["F", "x", "m"]}, "sex: expected female or male, received 'x'"),
        (BEATS, [0, 1, 0], "abc", {"age": [-1, 5, 6]}, "age: expected years"),
        (BEATS, [0, 1, 0], "abc", {"flags": ["", "", ""]}, "name of a column of omi-keras' own"),
    ],
)
def test_arrays_that_are_no_dataset(beats, omi_labels, patients, more, sentence):
    with pytest.raises(omi.InputError, match=sentence):
        omi.Dataset.from_arrays(beats, omi_labels, list(patients), **more)


def test_what_is_not_known_stays_unknown():
    ecgs = omi.Dataset.from_arrays(
        BEATS,
        [0, None, float("nan")],
        ["a", "b", "c"],
        age=[61, None, 300],
        sex=["M", None, "female"],
        ward=[3, None, "x"],
    ).ecgs
    assert ecgs["omi"].isna().tolist() == [False, True, True]
    assert ecgs["age"].isna().tolist() == [False, True, True]
    assert ecgs["sex"].tolist() == ["male", "", "female"]
    assert ecgs["ward"].tolist() == ["3", "", "x"]
    assert ecgs["ecg_id"].tolist() == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"model": "vgg"}, "'vgg' is not known; there are ecg-smart-net"),
        ({"epoch": 3}, "epoch: no such setting; there are epochs"),
        ({"model": "mayo-alvd", "imagenet_weights": "w"}, "for resnet18, not for mayo-alvd"),
    ],
)
def test_settings_that_are_none(cohort, tmp_path, settings, sentence):
    beats, labels, patients, *_ = cohort
    dataset = omi.Dataset.from_arrays(beats, labels, patients)
    with pytest.raises(omi.InputError, match=sentence):
        omi.cross_validate(dataset, tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_types_are_complete_for_users(tmp_path):
    script = tmp_path / "user.py"
    script.write_text(USER, encoding="utf-8")
    options = [
        "--strict",
        "--ignore-missing-imports",
        "--follow-imports=silent",
        "--config-file=",
        f"--cache-dir={tmp_path}",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, script],
        capture_output=True, text=True, encoding="utf-8", cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_door_itself_costs_nothing():
    check = "import sys, omi_keras; print(sorted({'numpy', 'pandas', 'keras', 'click'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stdout.strip() == "[]"
