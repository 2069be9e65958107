"""omi-keras predict on folders and many files: each recording once, a table that is whole, constant memory."""

import csv
import json
import subprocess
import sys
import tracemalloc
from importlib import import_module

import numpy as np
import pytest
from helpers import run_cli

from edge.detector import Detection
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record

# The module; its package has the command under the same name.
COMMAND = import_module("omi_keras.cli.predict")
COLUMNS = ["file", "ecg_id", "probability", "decision", "threshold", "band", "quality", "error"]


@pytest.fixture
def model(monkeypatch):
    """In the place of a bundle: reads the recording, and says the same of each, so that tests are quick."""

    def detect(path):
        record = read_record(path)
        return Detection(0.75, True, 0.5, ("einthoven:310uV", *record.flags), {}, "rule-in")

    monkeypatch.setattr(COMMAND, "_open", lambda path, public_key, explained: COMMAND.Opened(detect))
    return "model"


@pytest.fixture
def folder(tmp_path, write_wfdb, synthetic):
    """Two records, one in a folder inside, a header without its signals, and a table of labels."""
    folder, ecg = tmp_path / "ecgs", synthetic(np.arange(0.43, 9.9, 0.857))
    (folder / "2024").mkdir(parents=True)
    write_wfdb(folder, "b", ecg)
    write_wfdb(folder / "2024", "a", ecg)
    write_wfdb(folder, "cut, off", ecg)
    (folder / "cut, off.dat").unlink()
    (folder / "labels.csv").write_text("record,patient_id,omi\nb,p,1\n", encoding="utf-8")
    return folder


def test_a_folder_in_json(model, folder):
    done = run_cli("predict", model, folder, "--json")
    assert done.exit_code == 2, "one could not be judged"
    rows = json.loads(done.stdout)
    assert [row["file"] for row in rows] == [str(folder / name) for name in ("2024/a.hea", "b.hea", "cut, off.hea")]
    assert rows[0] == {
        "file": str(folder / "2024" / "a.hea"), "ecg_id": "a", "probability": 0.75, "decision": True, "threshold": 0.5,
        "band": "rule-in", "quality": ["einthoven:310uV"],
    }  # fmt: skip
    assert set(rows[2]) == {"file", "error"} and rows[2]["error"].startswith("cut, off.hea: ")
    assert done.stderr == ""


def test_a_folder_in_text(model, folder):
    done = run_cli("predict", model, folder)
    assert done.exit_code == 2
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.splitlines()[1].endswith("b.hea  P(OMI) 0.750  OMI  rule-in  quality: einthoven:310uV")
    assert done.stderr.startswith("omi-keras: cut, off.hea: ") and len(done.stderr.splitlines()) == 1


def test_a_table(model, folder, tmp_path):
    table = tmp_path / "judged.csv"
    done = run_cli("predict", model, folder, folder / "b.hea", "--csv", table)
    assert done.exit_code == 2
    assert done.stdout == f"3 ECGs in {table}, 3 of them OMI, 1 could not be judged\n"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert [row["ecg_id"] for row in rows] == ["a", "b", "", "b"]
    assert rows[0] == rows[1] | {"file": str(folder / "2024" / "a.hea"), "ecg_id": "a"}
    assert [rows[0][name] for name in COLUMNS[2:]] == ["0.75", "1", "0.5", "rule-in", "einthoven:310uV", ""]
    assert rows[2]["probability"] == "" and rows[2]["error"].startswith("cut, off.hea: ")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["judged.csv"]
    with_json = run_cli("predict", model, folder, "--csv", table, "--force", "--json")
    assert len(json.loads(with_json.stdout)) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="no such names")
def test_names_that_end_lines_are_one_row_and_one_line(model, tmp_path, synthetic):
    names = ["=1+2", "a\rb", "c\nd", 'e",f', "g\x1b[31m"]
    (tmp_path / "ecgs").mkdir()
    ecg = np.asarray(synthetic(np.arange(0.43, 9.9, 0.857)))
    for name in names:
        np.save(tmp_path / "ecgs" / f"{name}.npy", ecg)
    (tmp_path / "ecgs" / "h\n\x1bi.edf").write_bytes(b"x")
    table = tmp_path / "judged.csv"
    assert run_cli("predict", model, tmp_path / "ecgs", "--csv", table).exit_code == 2
    with table.open(encoding="utf-8", newline="") as file:
        assert [row["ecg_id"] for row in csv.DictReader(file)] == [*names, ""]
    done = run_cli("predict", model, tmp_path / "ecgs")
    assert len(done.stdout.splitlines()) == len(names) and len(done.stderr.splitlines()) == 1
    assert "a?b.npy" in done.stdout and "\x1b" not in done.output


def test_a_table_replaces_nothing_but_its_like(model, folder, tmp_path):
    table = tmp_path / "judged.csv"
    table.write_text("my own numbers\n", encoding="utf-8")
    for options, word in (((), "exists already"), (("--force",), "no table of predict")):
        done = run_cli("predict", model, folder, "--csv", table, *options)
        assert done.exit_code == 2 and word in done.stderr and done.stdout == ""
    assert table.read_text(encoding="utf-8") == "my own numbers\n"
    done = run_cli("predict", model, folder, "--csv", tmp_path / "absent" / "judged.csv")
    assert done.exit_code == 2 and "absent is not a folder" in done.stderr


def test_an_interrupted_table_is_none(monkeypatch, folder, tmp_path):
    calls = []

    def detect(path):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return Detection(0.1, False, 0.5, (), {})

    monkeypatch.setattr(COMMAND, "_open", lambda path, public_key, explained: COMMAND.Opened(detect))
    done = run_cli("predict", "model", folder, "--csv", tmp_path / "judged.csv")
    assert done.exit_code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["ecgs"]


def test_a_table_that_appears_meanwhile_is_kept(monkeypatch, folder, tmp_path):
    table = tmp_path / "judged.csv"

    def detect(path):
        table.write_text("another's", encoding="utf-8")
        return Detection(0.1, False, 0.5, (), {})

    monkeypatch.setattr(COMMAND, "_open", lambda path, public_key, explained: COMMAND.Opened(detect))
    done = run_cli("predict", "model", folder, "--csv", table)
    assert done.exit_code == 2 and "appeared meanwhile" in done.stderr
    assert table.read_text(encoding="utf-8") == "another's"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["judged.csv"]


def test_an_empty_folder_is_told_and_the_others_are_judged(model, folder, tmp_path):
    (tmp_path / "nothing").mkdir()
    done = run_cli("predict", model, tmp_path / "nothing", folder / "b.hea", "--json")
    assert done.exit_code == 2
    rows = json.loads(done.stdout)
    assert rows[0]["error"] == "nothing: no recording in this folder that can be read; name another"
    assert rows[1]["ecg_id"] == "b"


def test_a_format_that_needs_a_package_stops_nothing(monkeypatch, folder):
    def detect(path):
        if path.stem == "a":
            raise ModuleNotFoundError("No module named 'pydicom'", name="pydicom")
        return Detection(0.1, False, 0.5, (), {})

    monkeypatch.setattr(COMMAND, "_open", lambda path, public_key, explained: COMMAND.Opened(detect))
    rows = json.loads(run_cli("predict", "model", folder, "--json").stdout)
    assert rows[0]["error"] == "a.hea: needs pydicom to be read; run: pip install 'omi-keras[formats]'"
    assert [row["band"] for row in rows[1:]] == [None, None]


def test_a_name_that_is_not_utf8_is_told(model, tmp_path):
    bad = tmp_path / "ecgs"
    bad.mkdir()
    try:
        (bad / "a\udcff.hea").write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    done = run_cli("predict", model, bad, "--json", "--csv", tmp_path / "judged.csv")
    assert done.exit_code == 2
    assert "its name is not UTF-8" in json.loads(done.stdout)[0]["error"]
    assert "a?.hea" in (tmp_path / "judged.csv").read_text(encoding="utf-8")


def test_memory_does_not_grow_with_the_number_of_files(monkeypatch, tmp_path):
    """Rows are written as they come; of what is still to do, names alone are held."""

    def refuse(path):
        raise InputError(f"{path.name}: " + "no ECG " * 300, "flat_leads")

    monkeypatch.setattr(COMMAND, "_open", lambda path, public_key, explained: COMMAND.Opened(refuse))
    peaks = []
    for count in (200, 2000):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            (folder / f"{number:06}.hea").touch()
        tracemalloc.start()
        done = run_cli("predict", "model", folder, "--csv", folder / "judged.csv")
        peaks.append(tracemalloc.get_traced_memory()[1] - 2 * len(done.output))
        tracemalloc.stop()
        assert len((folder / "judged.csv").read_text(encoding="utf-8").splitlines()) == count + 1
    assert peaks[1] < peaks[0] + 1_500_000, peaks


def test_progress_on_a_terminal_after_two_seconds(model, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(COMMAND, "live", lambda: True)
    quick = run_cli("predict", model, folder, "--csv", tmp_path / "a.csv")
    monkeypatch.setattr(COMMAND, "SECONDS_BEFORE_PROGRESS", -1.0)
    monkeypatch.setattr(COMMAND, "SECONDS_BETWEEN", -1.0)
    long = run_cli("predict", model, folder, "--csv", tmp_path / "b.csv")
    assert "files, " not in quick.stderr
    assert "\r3 files, " in long.stderr and "1 not judged" in long.stderr


def test_a_device_needs_neither_tensorflow_nor_pandas_for_it(int8_bundle, folder, tmp_path):
    code = """
import sys
class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("tensorflow", "keras", "pandas", "rich", "sklearn", "matplotlib", "jinja2"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
from omi_keras.cli import main
main(sys.argv[1:])
"""
    arguments = ["predict", int8_bundle, folder / "b.hea", folder / "2024", "--csv", tmp_path / "judged.csv"]
    arguments += ["--html", tmp_path / "judged.html"]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("2 ECGs in ")
    assert (tmp_path / "judged.html").read_text(encoding="utf-8").count('data-part="probability"') == 2
