"""A folder → its recordings: each once, in order, and nothing that is none."""

import os

import numpy as np
import pytest

from omi_keras.recordings.folders import expand, recordings_in

NO_RECORDINGS = {
    "labels.csv": b"record,patient_id,omi\na,p,1\n",
    "notes.txt": b"I said to the patient, II\n",
    "README.md": b"# ECGs\n",
    "printout.pdf": b"%PDF-1.7\n",
    "curve.png": b"\x89PNG\r\n\x1a\n",
    "rows.npy.json": b"{}",
    "lonely.dat": bytes(100),
    "DICOMDIR": bytes(128) + b"DICM",
    "page": b"<html></html>",
    "program.xyz": bytes(600),
    "empty": b"",
    ".hidden.hea": b"x",
    ".git/a.hea": b"x",
}
RECORDINGS = {
    "a.hea": b"a 12 500 5000\n",
    "b.SCP": b"",
    "c.xml": b"<?xml?><other/>",
    "deep/er/d.edf": b"0       ",
    "e.npz": b"damaged",
    "f.npy": b"damaged",
    "g.csv": b"I,II,V1,V2,V3,V4,V5,V6\n0,0,0,0,0,0,0,0\n",
    "h": bytes(128) + b"DICM",
    "i.rec": b"0       patient",
    "j.ecg": b"<?xml version='1.0'?>\n<restingecgdata>",
    "k.mat": b"damaged",
    "l.hea": b"l 12 500 5000\n",
}


def fill(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def names(folder):
    return [path.relative_to(folder).as_posix() for path in recordings_in(folder)]


def test_each_recording_once_in_the_order_of_names(tmp_path):
    fill(tmp_path, {**RECORDINGS, **NO_RECORDINGS, "a.dat": bytes(9), "l.mat": bytes(9)})
    np.save(tmp_path / "m.npy", np.zeros((12, 5000)))
    np.save(tmp_path / "beats.npy", np.zeros((3, 12, 600)))
    assert names(tmp_path) == [*RECORDINGS, "m.npy"]


@pytest.mark.parametrize("name", NO_RECORDINGS)
def test_what_is_no_recording_is_passed_over(name, tmp_path):
    fill(tmp_path, {name: NO_RECORDINGS[name]})
    assert names(tmp_path) == []
    assert list(expand([tmp_path])) == [tmp_path], "the folder itself, to be told about"


def test_files_that_are_named_are_taken_as_they_are(tmp_path):
    fill(tmp_path, {"b/x.hea": b"x", "b/x.dat": b"x", "labels.csv": b"record\n"})
    given = [tmp_path / "absent", tmp_path / "labels.csv", tmp_path / "b", tmp_path / "b" / "x.dat"]
    assert list(expand(given)) == [*given[:2], tmp_path / "b" / "x.hea", given[3]]


def test_links_are_followed_to_files_and_not_in_circles(tmp_path):
    fill(tmp_path, {"inside/a.hea": b"a", "elsewhere/b.hea": b"b"})
    (tmp_path / "inside" / "again").symlink_to(tmp_path / "inside")
    (tmp_path / "inside" / "b.hea").symlink_to(tmp_path / "elsewhere" / "b.hea")
    (tmp_path / "inside" / "c.hea").symlink_to("nowhere")
    (tmp_path / "inside" / "d.hea").symlink_to("d.hea")
    os.mkfifo(tmp_path / "inside" / "e.hea")
    assert names(tmp_path / "inside") == ["a.hea", "b.hea"]
    (tmp_path / "link").symlink_to(tmp_path / "inside")
    assert names(tmp_path / "link") == ["a.hea", "b.hea"], "the folder that was named may be a link"


def test_a_folder_that_cannot_be_listed_is_told(tmp_path, monkeypatch):
    fill(tmp_path, {"a/x.hea": b"x", "b/x.hea": b"x", "c.hea": b"x"})
    kind, listed = type(tmp_path), type(tmp_path).iterdir

    def iterdir(path):
        if path.name == "a":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(kind, "iterdir", iterdir)
    assert names(tmp_path) == ["a", "b/x.hea", "c.hea"]
