"""omi-keras plot: any readable recording as a picture; the others do not stop it."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers import run_cli

from omi_keras.simulate import simulate_cohort, write_records


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plot") / "ecgs"
    write_records(simulate_cohort(3, 3, 0.5, seed=2), folder)
    return sorted(folder.glob("*.hea"))


def svg_title(path):
    return ElementTree.parse(path).getroot()[0].text


def test_one_picture(recordings, tmp_path):
    out = tmp_path / "new" / "a.svg"
    result = run_cli("plot", recordings[0], out)
    assert result.exit_code == 0, result.output
    assert svg_title(out) == f"ECG, {recordings[0].stem}"
    assert [path.name for path in out.parent.iterdir()] == ["a.svg"]
    again = run_cli("plot", recordings[1], out)
    assert again.exit_code == 2 and "exists already" in again.output
    assert run_cli("plot", recordings[1], out, "--force").exit_code == 0
    assert svg_title(out) == f"ECG, {recordings[1].stem}"


@pytest.mark.parametrize("name", ["thesis.svg", "thesis.html"])
def test_force_replaces_nobody_elses_file(recordings, tmp_path, name):
    (tmp_path / name).write_text("<svg/>", encoding="utf-8")
    result = run_cli("plot", recordings[0], tmp_path / name, "--force")
    assert result.exit_code == 2 and "not made by omi-keras" in result.output
    assert (tmp_path / name).read_text(encoding="utf-8") == "<svg/>"


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".html"])
def test_other_forms_and_force_on_our_own(recordings, tmp_path, suffix):
    out = tmp_path / f"a{suffix}"
    assert run_cli("plot", recordings[0], out).exit_code == 0
    first = out.read_bytes()
    assert first.startswith({".png": b"\x89PNG", ".pdf": b"%PDF", ".html": b"<!doctype html>"}[suffix])
    assert run_cli("plot", recordings[0], out, "--force").exit_code == 0
    assert out.read_bytes() == first


def test_a_folder_of_pictures_and_what_cannot_be_read(recordings, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("no ecg", encoding="utf-8")
    short = tmp_path / recordings[0].with_suffix(".npz").name  # the same stem as another recording
    signal = np.random.default_rng(0).normal(0, 0.3, (12, 1000)).astype(np.float32)
    leads = np.array(["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"])
    np.savez(short, signal=signal, rate=500, units="mV", leads=leads)
    out = tmp_path / "pictures"
    result = run_cli("plot", recordings[0], bad, short, recordings[1], tmp_path / "none.hea", out, "--json")
    assert result.exit_code == 2
    rows = json.loads(result.stdout)
    assert [("error" in row, "refusal" in row) for row in rows] == [
        (False, False), (True, False), (False, True), (False, False), (True, False),
    ]  # fmt: skip
    assert "too short" in rows[2]["refusal"] and rows[1]["error"].startswith("bad.csv: ")
    names = [row["picture"] for row in rows if "picture" in row]
    stem = recordings[0].stem
    assert names == [f"{stem}.svg", f"{stem}-2.svg", f"{recordings[1].stem}.svg"]
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, "pictures.json"])
    noted = json.loads((out / "pictures.json").read_text(encoding="utf-8"))
    assert noted["kind"] == "pictures" and noted["format_version"] == 1 and noted["files"] == rows
    # Ours is replaced, what somebody keeps in it is not.
    assert run_cli("plot", recordings[0], out).exit_code == 2
    assert run_cli("plot", recordings[0], out, "--force").exit_code == 0
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    kept = run_cli("plot", recordings[0], out, "--force")
    assert kept.exit_code == 2 and "notes.txt" in kept.output


def test_nothing_is_written_when_nothing_can_be_read(tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("no ecg", encoding="utf-8")
    for name in ("a.svg", "a.html", "folder"):
        result = run_cli("plot", bad, tmp_path / name)
        assert result.exit_code == 2 and "bad.csv" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


def test_what_is_meant_must_be_clear(recordings, tmp_path):
    two = run_cli("plot", *recordings[:2], tmp_path / "a.svg")
    assert two.exit_code == 2 and "there are 2 recordings" in two.output
    forgotten = run_cli("plot", recordings[0], tmp_path / "patient.hea")
    assert forgotten.exit_code == 2 and "name of a recording" in forgotten.output


def test_a_page_shows_all_and_forbids_all_requests(recordings, tmp_path):
    assert run_cli("plot", *recordings, tmp_path / "a.html").exit_code == 0
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3 and "default-src 'none'" in page
    assert not {"<img", "<link", "href=", "url("} & set(page.split())


def test_a_device_draws_without_the_train_extra(recordings, tmp_path):
    check = (
        "import sys\n"
        "for name in ('matplotlib', 'pandas', 'tensorflow', 'keras', 'jinja2', 'sklearn'): sys.modules[name] = None\n"
        "from omi_keras.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", check, "plot", str(recordings[0])]
    done = subprocess.run(
        [*command, str(tmp_path / "a.svg")], capture_output=True, encoding="utf-8", check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [*command, str(tmp_path / "a.png")], capture_output=True, encoding="utf-8", check=False, timeout=60
    )
    assert done.returncode == 2 and "pip install 'omi-keras[train]'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]
