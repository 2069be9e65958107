"""Every file of shared/ecg/bad does what bad.csv expects, in a process of its own that time and memory are taken of."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS, MEGABYTES = 5, 1000
# Flags that tell how a file was read; all others are warnings.
NOTICES = {"derived_leads", "transposed", "assumed_leads", "assumed_rate", "assumed_units"}
# What must be in the sentence, or among the flags.
SAYS = {
    "truncated_dat.hea": "expected 120000 bytes, found 70001",
    "missing_dat.hea": "signal file missing_dat.dat not found next to the header",
    "more_nsig.hea": "header says 15 signals but lists 12",
    "gain_zero.hea": "uncalibrated, amplitudes unknown",
    "uv_as_mv.hea": "units are probably µV",
    "mv_as_uv.hea": "units are probably mV",
    "path_traversal.hea": "must be a plain name beside the header",
    "absolute_path.hea": "must be a plain name beside the header",
    "date_swapped.hea": "",
    "empty_hea.hea": "empty header",
    "missing_lead.hea": "missing lead V3",
    "missing_derivable.hea": "derived_leads",
    "lead_names_swapped.hea": "einthoven",
    "arm_reversal.hea": "lead_reversal",
    "odd_names.hea": "",
    "leads15.hea": "",
    "nan_wfdb.hea": "aVR: 500 missing samples",
    "inf_nan.npy": "V1: 1 missing samples, V2: 1 missing samples",
    "one_flat.hea": "flat:V3",
    "three_flat.hea": "3 of 12 leads are flat: V2 V4 V6",
    "white_noise.hea": "no reproducible beats",
    "railed.hea": "clipped:V3",
    "short3s.hea": "3.0 s is too short",
    "asystole_one_beat.hea": "found, a median needs 3",
    "fs_wrong.hea": "implausible_rate_or_width",
    "fs_zero.hea": "sampling frequency must be > 0",
    "empty.xml": "empty file",
    "folder.xml": "folder.xml: is a directory",
    "not_ecg.xml": "not a supported ECG XML (root element <note>)",
    "truncated.xml": "XML not well formed or cut off (no element found: line 852",
    "bomb.xml": "entities",
    "xxe.xml": "entities",
    "utf16_lying.xml": "encoding specified in XML declaration is incorrect",
    "plain_short.xml": "expected 66000 samples (12 leads of 5500), found 62000",
    "plain_text.xml": "sample 100 is not an integer: NaN",
    "res_zero.xml": "signal resolution must be > 0",
    "version_9.xml": "unsupported SierraECG version 9.99",
    "calpulse_only.xml": "no signal",
    "image.dcm": "DICOM object is not an ECG waveform",
    "truncated.dcm": "truncated DICOM",
    "evil.npy": "pickle",
    "evil_object.npy": "object arrays are not allowed",
    "bomb.npz": "12 x 4000000 is too long",
    "huge_shape.npy": "file is shorter than its header says",
    "transposed.npy": "transposed",
    "wrong_rank.npy": "expected 12 x samples, got (60000,)",
    "int16_no_units.npy": "integers without a unit",
    "comma_decimals.csv": "decimal comma found in row 2",
    "ragged.csv": "row 779: expected 12 values, found 9",
    "text_cell.csv": "row 102, lead I: not a number: n/a",
    "bom_crlf.csv": "assumed_rate",
    "phi.xml": "",
    "really_xml.dcm": "really_xml.dcm: looks like XML, not like .dcm",
}
READ_ALL = """
import json, pathlib, re, signal, sys, time
from omi_keras.recordings.errors import InputError
from omi_keras.beats.median_beats import median_beat
from omi_keras.recordings.readers import read_record
for path in json.load(sys.stdin):
    signal.alarm(5)
    start = time.perf_counter()
    try:
        record = read_record(path)
        beat = median_beat(record)
        found = ["read", " ".join(beat.flags), repr(record)]
    except InputError as error:
        found = ["refused", str(error), error.reason]
    signal.alarm(0)
    print(json.dumps([path, *found, time.perf_counter() - start]))
# Not getrusage, whose peak has this process' parent in it. Linux alone has this file.
status = pathlib.Path("/proc/self/status")
print(re.search(r"VmHWM:\\s*(\\d+)", status.read_text(encoding="utf-8"))[1] if status.exists() else 0)
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="time and memory are limited as Unix does")


def read_all(paths: list[Path], folder: Path) -> dict[str, list]:
    """What a process says of each path; it works in ``folder``, where pickles would leave their mark."""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL],
        input=json.dumps([str(path) for path in paths]),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *lines, peak = map(json.loads, done.stdout.splitlines())
    assert peak / 1024 < MEGABYTES
    assert not list(folder.rglob("PICKLE_WAS_EXECUTED"))
    for _, _, sentence, _, seconds in lines:
        assert seconds < SECONDS and "\n" not in sentence
    return {Path(path).name: rest for path, *rest in lines}


def test_every_row_of_the_table(recordings: Path, tmp_path: Path) -> None:
    pytest.importorskip("defusedxml")
    pytest.importorskip("pydicom")
    with (recordings / "bad" / "bad.csv").open(encoding="utf-8") as file:
        rows = {Path(row["file"]).name: row for row in csv.DictReader(file) if row["category"] != "labels"}
    assert rows.keys() == SAYS.keys()
    found = read_all([recordings / "bad" / row["file"] for row in rows.values()], tmp_path)
    for name, row in rows.items():
        outcome, sentence, _, _ = found[name]
        flags = set() if outcome == "refused" else set(sentence.split()) - NOTICES
        mine = "error" if outcome == "refused" else "warning" if flags else "ok"
        assert mine == row["expected_outcome"], (name, sentence)
        assert SAYS[name] in sentence, (name, sentence)
        if mine == "error":
            assert Path(name).stem in sentence, sentence
    assert not any("TESTNAME" in text for text in found["phi.xml"][:3])
    assert (
        Path("/etc/hostname").exists() is False
        or Path("/etc/hostname").read_text(encoding="utf-8").strip() not in found["xxe.xml"][1]
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_cannot_be_stored(tmp_path: Path) -> None:
    """The cases that the table's README lists: pipes, devices, loops, unreadable files."""
    work, files = tmp_path / "work", tmp_path / "files"
    work.mkdir()
    files.mkdir()
    os.mkfifo(files / "fifo.xml")
    (files / "zero.npy").symlink_to("/dev/zero")
    (files / "terminal.xml").symlink_to("/dev/tty")
    (files / "loop_a.xml").symlink_to(files / "loop_b.xml")
    (files / "loop_b.xml").symlink_to(files / "loop_a.xml")
    (files / "dangling.csv").symlink_to(files / "nowhere.csv")
    (files / "sidecar.npy").write_bytes(
        b"\x93NUMPY\x01\0v\0" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (12, 0)}"
    )
    os.mkfifo(files / "sidecar.npy.json")
    with (files / "large.xml").open("wb") as file:  # takes no room on the disk
        file.write(b"<a>")
        file.truncate(40 << 30)
    (files / "secret.edf").write_bytes(b"0       ")
    (files / "secret.edf").chmod(0)
    paths = sorted(files.glob("*.xml")) + sorted(files.glob("*.npy")) + [files / "dangling.csv", files / "secret.edf"]
    for name, (outcome, sentence, reason, _) in read_all(paths, work).items():
        assert outcome == "refused" and name in sentence, (name, sentence)
        assert reason in {
            "not_a_file",
            "unreadable",
            "missing_file",
            "too_large",
            "bad_array",
            "bad_header",
            "truncated",
        }, (name, reason)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from omi_keras.recordings.errors import InputError
    from omi_keras.recordings.formats import files

    path = tmp_path / "a.edf"
    path.write_bytes(b"0       " * 100)
    real = os.fdopen

    def shrink(*arguments: object) -> object:
        os.truncate(path, 90)
        return real(*arguments)  # type: ignore[call-overload]

    monkeypatch.setattr(files.os, "fdopen", shrink)
    before = path.stat()
    monkeypatch.setattr(files.os, "fstat", lambda handle: before)
    with pytest.raises(InputError, match="changed while it was read"):
        files.read_bytes(path)
