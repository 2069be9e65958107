"""Datasets: what is written is read back; what was altered is refused; recordings and memory give the same."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from omi_keras.beats.median_beats import MedianBeat
from omi_keras.data.artifacts import sha256, write_json
from omi_keras.data.dataset import load_dataset
from omi_keras.data.prepare import prepare_cohort, prepare_records
from omi_keras.data.writer import DatasetWriter
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import LEADS
from omi_keras.simulate.cohort import simulate_cohort
from omi_keras.simulate.records import write_records

CONFIG = {"ecgs": 12, "patients": 8, "prevalence": 0.3, "seed": 5}


def cohort():
    return simulate_cohort(12, 8, 0.3, seed=5)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_records(cohort(), folder)
    return folder


def prepare(records, out, labels="labels.csv", **options):
    return prepare_records(records, records / labels, out, **options)


def test_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    beats = rng.standard_normal((3, 12, 600)).astype(np.float32)
    with DatasetWriter(tmp_path) as writer:
        for i, beat in enumerate(beats):
            found = MedianBeat(beat, 800.0, 75.0, 10, 9, np.zeros(12), ("flat:V3",))
            row = {
                "ecg_id": f"00{i}",
                "patient_id": "007",
                "omi": [0, 1, None][i],
                "site": 'A, "B"',
                "age": None,
            }
            writer.add(found, row | {"sex": "", "source": "test", "simulated": False})
        writer.finish(seed=1)
    dataset = load_dataset(tmp_path)
    np.testing.assert_array_equal(dataset.beats, beats)
    assert list(dataset.ecgs["ecg_id"]) == ["000", "001", "002"], "ids stay text"
    assert dataset.ecgs["omi"].tolist()[:2] == [0, 1]
    assert list(dataset.labelled()) == [0, 1]
    assert dataset.ecgs["site"][0] == 'A, "B"'
    assert pd.isna(dataset.ecgs["age"][0])
    assert dataset.info["ecgs"] == 3
    assert dataset.info["patients"] == 1
    assert not dataset.simulated


def test_records_and_memory_give_the_same_dataset(records, tmp_path):
    prepare_cohort(cohort(), tmp_path / "memory", config=CONFIG)
    prepare(records, tmp_path / "files")
    memory, files = load_dataset(tmp_path / "memory"), load_dataset(tmp_path / "files")
    np.testing.assert_array_equal(memory.beats, files.beats)
    pd.testing.assert_frame_equal(memory.ecgs, files.ecgs)
    assert files.simulated


def test_true_beats_have_the_rows_of_the_dataset(tmp_path):
    info = prepare_cohort(cohort(), tmp_path / "memory", config=CONFIG, true_beats=True)
    dataset, truth = load_dataset(tmp_path / "memory"), {e.plan.ecg_id: e.truth for e in cohort()}
    beats = np.load(tmp_path / "memory" / info["inputs"]["true_beats"], allow_pickle=False)
    np.testing.assert_array_equal(beats, np.stack([truth[name].true_beat for name in dataset.ecgs["ecg_id"]]))
    for name, row in zip(dataset.ecgs["ecg_id"], dataset.ecgs.to_dict("records"), strict=True):
        assert row["artery"] == truth[name].artery and row["fault"] == truth[name].fault
        levels = [float(row[f"st_{lead}_mv"]) for lead in LEADS]
        np.testing.assert_allclose(levels, truth[name].st_level_mv, atol=6e-4)


def test_output_does_not_depend_on_jobs(records, tmp_path):
    for jobs in (1, 2):
        prepare(records, tmp_path / str(jobs), jobs=jobs)
    for name in ("beats.npy", "ecgs.csv", "rejected.csv"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_bad_recording_is_listed_and_stops_nothing(records, tmp_path):
    table = pd.read_csv(records / "labels.csv", dtype=str, keep_default_na=False)
    broken = tmp_path / "records"
    broken.mkdir()
    for file in records.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    signal = broken / f"{table.loc[5, 'record']}.dat"
    signal.write_bytes(signal.read_bytes()[:1000])
    table.to_csv(broken / "labels.csv", index=False)
    info = prepare(broken, tmp_path / "out")
    rejected = pd.read_csv(tmp_path / "out" / "rejected.csv")
    assert info["ecgs"] == 11
    assert list(rejected["record"]) == [table.loc[5, "record"]]
    assert "expected 120000 bytes, found 1000" in rejected["message"][0]
    assert not set(rejected["record"]) & set(load_dataset(tmp_path / "out").ecgs["ecg_id"])


def test_what_is_not_in_the_data_folder_is_refused_before_anything_is_read(records, tmp_path):
    table = pd.read_csv(records / "labels.csv", dtype=str, keep_default_na=False)
    table.loc[2, "record"] = "not_there"
    table.loc[3, "record"] = "../outside"
    table.loc[4, "record"] = "x" * 300
    table.to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(InputError, match=r"row 4: not_there not found.*row 5: ../outside: record must stay below"):
        prepare_records(records, tmp_path / "labels.csv", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]


def test_no_accepted_recording_leaves_nothing(tmp_path):
    (tmp_path / "labels.csv").write_text("record,patient_id,omi\na,p,0\nb,q,1\n", encoding="utf-8")
    for name in "ab":
        (tmp_path / f"{name}.hea").write_bytes(b"")
    with pytest.raises(InputError, match=r"none of the 2 recordings.*because a"):
        prepare_records(tmp_path, tmp_path / "labels.csv", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.hea", "b.hea", "labels.csv"]


def test_an_existing_folder_is_not_replaced(records, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="exists already"):
        prepare(records, tmp_path / "out")
    prepare(records, tmp_path / "out", force=True)
    load_dataset(tmp_path / "out")


@pytest.fixture
def dataset(records, tmp_path):
    prepare(records, tmp_path / "dataset")
    return tmp_path / "dataset"


@pytest.mark.parametrize("name", ["beats.npy", "ecgs.csv", "rejected.csv"])
def test_an_altered_file_is_refused(dataset, name):
    content = bytearray((dataset / name).read_bytes())
    content[-2] ^= 1
    (dataset / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} was altered"):
        load_dataset(dataset)


def resign(dataset):
    """Make the checksums fit again, as somebody who edits a dataset by hand might."""
    info = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
    info["sha256"] = {name: sha256(dataset / name) for name in info["sha256"]}
    write_json(dataset / "dataset.json", info)


def test_a_wrong_shape_is_refused(dataset):
    np.save(dataset / "beats.npy", np.zeros((12, 11, 600), np.float32))
    resign(dataset)
    with pytest.raises(InputError, match=r"expected float32 of shape \(12, 12, 600\), received float32"):
        load_dataset(dataset)


def test_a_pickle_is_not_executed(dataset):
    np.save(dataset / "beats.npy", np.array([{}], dtype=object), allow_pickle=True)
    resign(dataset)
    with pytest.raises(InputError, match="not an array file"):
        load_dataset(dataset)


def test_an_empty_dataset_is_refused(tmp_path):
    with DatasetWriter(tmp_path) as writer:
        writer.finish()
    with pytest.raises(InputError, match="is empty"):
        load_dataset(tmp_path)


def test_a_newer_format_is_refused(dataset):
    info = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
    write_json(dataset / "dataset.json", info | {"format_version": 99})
    with pytest.raises(InputError, match=r"format version 99.*install a newer"):
        load_dataset(dataset)


def test_something_else_is_not_a_dataset(tmp_path):
    with pytest.raises(InputError, match=r"is not a dataset: it has no dataset\.json"):
        load_dataset(tmp_path)


def test_recordings_of_any_format_without_their_extension(records, tmp_path):
    """A folder of arrays gives the beats that the same signals give as WFDB; a name that fits two files is refused."""
    folder = tmp_path / "arrays"
    folder.mkdir()
    table = pd.read_csv(records / "labels.csv", dtype=str, keep_default_na=False)
    for name in table["record"]:
        signal = read_record(records / name).signal
        np.savez(folder / f"{name.replace('/', '_')}.npz", signal=signal, rate=500, units="mV", leads=np.array(LEADS))
    table["record"] = table["record"].str.replace("/", "_")
    last = table["record"].iloc[-1]
    (folder / f"{last}.csv").write_text("I,II\n", encoding="utf-8")
    table.to_csv(folder / "labels.csv", index=False)
    with pytest.raises(InputError, match=f"row 13: {last}: could be any of {last}.npz, {last}.csv"):
        prepare(folder, tmp_path / "out")
    (folder / f"{last}.csv").unlink()
    prepare(folder, tmp_path / "out")
    prepare(records, tmp_path / "wfdb")
    np.testing.assert_array_equal(load_dataset(tmp_path / "out").beats, load_dataset(tmp_path / "wfdb").beats)


def test_the_tables_of_the_shared_recordings(shared, tmp_path):
    folder = shared / "ecg" / "bad" / "labels"
    for name, first in (("good", "r1"), ("leading_zeros", "001")):
        prepare(folder, tmp_path / name, f"{name}.csv")
        ecgs = load_dataset(tmp_path / name).ecgs
        assert len(ecgs) == 6 and ecgs["ecg_id"][0] == first
    for name, problem in (
        ("absent_record", "row 8: does_not_exist not found"),
        ("path_escape", "record must stay below the data folder"),
        ("blank_label", r"row 7 \(r6\): omi is empty"),
    ):
        with pytest.raises(InputError, match=problem):
            prepare(folder, tmp_path / name, f"{name}.csv")
        assert not (tmp_path / name).exists()


NOTES = [
    "a\rb",
    "c\r\nd",
    "e\nf",
    '"',
    '""',
    ",",
    "\u2028",
    "\x85",
    "\x1c",
    "tab\t",
    "=1+1",
    "NA",
    "nan",
    "\ufeff",
    "'",
    "ä😀",
]


def test_every_cell_reads_back_as_it_was_given(tmp_path):
    """Comments from a hospital's export: whatever they hold is carried, or the file is refused."""
    folder = tmp_path / "records"
    write_records(simulate_cohort(len(NOTES), 10, 0.4, seed=5), folder)
    table = pd.read_csv(folder / "labels.csv", dtype=str, keep_default_na=False)
    lines = ["note,record,patient_id,omi,age"]
    ages = []
    for note, row in zip(NOTES, table.to_dict("records"), strict=True):
        quoted = note.replace('"', '""')
        ages.append(float(row["age"]) + 0.123456789)
        lines.append(f'"{quoted}",{row["record"]},{row["patient_id"]},{row["omi"]},{ages[-1]!r}')
    (folder / "labels.csv").write_bytes(("\n".join(lines) + "\n").encode())
    prepare(folder, tmp_path / "out")
    ecgs = load_dataset(tmp_path / "out").ecgs.set_index("ecg_id")
    expected = [note.strip() for note in NOTES]
    assert ecgs["note"].reindex(table["record"]).tolist() == expected
    assert ecgs["age"].reindex(table["record"]).tolist() == ages


@pytest.mark.parametrize("fault", ["quoting", "a lost row"])
def test_what_does_not_read_back_is_never_called_done(records, tmp_path, monkeypatch, fault):
    from omi_keras.data import writer as module

    line = module.csv_line
    wrong = {
        "quoting": lambda cells: ",".join(cells).replace("male", "ma\rle") + "\n",
        "a lost row": lambda cells: line(cells) if "ecg_id" in cells or "reason" in cells else "",
    }
    monkeypatch.setattr(module, "csv_line", wrong[fault])
    with pytest.raises(InputError, match="not read back"):
        prepare(records, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_dataset_can_be_moved_at_once(records, tmp_path, monkeypatch):
    """Windows moves no folder with an open file inside: everything is closed when the folder takes its name."""
    from omi_keras.data import prepare as module

    move, seen = module.put_or_keep, []

    def looked_at(partial, *arguments):
        with suppress(FileNotFoundError):
            names = []
            for file in Path("/proc/self/fd").iterdir():
                with suppress(FileNotFoundError):  # the listing's own
                    names.append(str(file.readlink()))
            maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
            seen.append([name for name in (*names, *maps) if str(partial) in name])
        move(partial, *arguments)

    monkeypatch.setattr(module, "put_or_keep", looked_at)
    prepare(records, tmp_path / "out")
    if not seen:
        pytest.skip("this system has no /proc")
    assert seen == [[]]
