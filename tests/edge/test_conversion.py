"""Conversion in a process of its own: the same bytes, silence, errors that arrive, nothing left behind, flat memory."""

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_network import small

from edge.conversion import _error, conversion
from edge.conversion_process import _told
from edge.convert import convert
from omi_keras.models.catalogue import build
from omi_keras.recordings.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
BEATS = np.random.default_rng(3).standard_normal((4, 12, 600)).astype(np.float32)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary files are made, and must be gone from."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_the_same_bytes_as_in_this_process_in_silence_and_nothing_left(scratch, capfd, monkeypatch, tmp_path):
    model = build("mayo-alvd", "mixed_bfloat16", seed=4)  # which converts as the float32 network of its weights
    expected = [(found.content, found.float_layers) for found in itertools.islice(convert(model, "float16", BEATS), 2)]
    capfd.readouterr()
    before = set(scratch.iterdir())
    # What lies in the current folder is nobody's business.
    for name in ("json", "keras", "tensorflow"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('ran')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # of the process, which takes its own
    with conversion(model, "float16", BEATS) as candidates:
        found = [(candidate.content, candidate.float_layers) for candidate in itertools.islice(candidates, 2)]
    assert found == expected
    assert set(scratch.iterdir()) == before
    heard = capfd.readouterr()
    assert (heard.out, heard.err) == ("", "")


def test_candidates_end(scratch):
    with conversion(small(), "dynamic", BEATS) as candidates:
        layers = [candidate.float_layers for candidate in candidates]
    assert layers == [(), ("temporal",), ("temporal", "fc")]


def test_an_error_arrives_with_its_message(scratch):
    model = small("nobody_knows_it")
    with pytest.raises(RuntimeError, match="KeyError: 'nobody_knows_it'"), conversion(model, "int8", BEATS) as found:
        next(found)
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        InputError("the network is empty", "bad"),
        RuntimeError("conversion lost weights: 70 bytes"),
        ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow"),
        OSError(28, "No space left on device", "/scratch/candidate-0.tflite"),
        FileNotFoundError(2, "No such file or directory", "x"),
        MemoryError(),
    ],
)
def test_errors_are_what_they_were(error, capsys):
    found = _error(json.loads(json.dumps(_told(error))))
    assert (type(found), str(found)) == (type(error), str(error))
    for name in ("reason", "name", "errno", "filename"):
        assert getattr(found, name, None) == getattr(error, name, None)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
@pytest.mark.parametrize("number", ["SIGKILL", "SIGABRT"])
def test_a_converter_that_dies_is_told(scratch, monkeypatch, number):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    kind, sentence = (InputError, "ended by SIGKILL") if number == "SIGKILL" else (RuntimeError, "exit code -6")
    with pytest.raises(kind, match=sentence), conversion(build("mayo-alvd"), "float32", BEATS) as candidates:
        started[0].send_signal(getattr(signal, number))
        next(candidates)
    assert list(scratch.iterdir()) == []


# A script as people write them, whose conversion somebody stops.
SCRIPT = """
import numpy as np
from edge.conversion import conversion
from small_network import small
with conversion(small(), "float32", np.zeros((1, 12, 600), np.float32)) as candidates:
    print("begun", flush=True)
    print(len(next(candidates).content), flush=True)
    if {wait}:
        import time
        time.sleep(100)
"""


def script(tmp_path, wait):
    """The script, begun in a session of its own, and the folder of its temporary files."""
    scratch, file = tmp_path / "scratch", tmp_path / "script.py"
    scratch.mkdir()
    file.write_text(SCRIPT.replace("{wait}", str(wait)), encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests"))),
        "TMPDIR": str(scratch),
    }
    process = subprocess.Popen(
        [sys.executable, str(file)], env=environment, cwd=scratch, text=True, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout.readline() == "begun\n"
    return process, scratch


def test_a_script_without_a_main_guard_converts(tmp_path):
    process, scratch = script(tmp_path, wait=False)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert int(out) > 5000
    assert list(scratch.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "to_all", "converted"),
    [
        ("SIGKILL", False, False),
        pytest.param("SIGKILL", False, True, marks=pytest.mark.slow),
        pytest.param("SIGTERM", False, False, marks=pytest.mark.slow),
        pytest.param("SIGINT", True, False, marks=pytest.mark.slow),
        pytest.param("SIGINT", True, True, marks=pytest.mark.slow),
    ],
)
def test_whoever_is_stopped_leaves_nothing(tmp_path, number, to_all, converted):
    process, scratch = script(tmp_path, wait=True)
    assert len(list(scratch.iterdir())) == 1
    if converted:
        assert int(process.stdout.readline()) > 5000
    (os.killpg if to_all else os.kill)(process.pid, getattr(signal, number))
    assert process.wait(60) != 0
    deadline = time.monotonic() + 60
    while list(scratch.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list(scratch.iterdir()) == []
    # The converter holds neither the pipe nor the session any more.
    _, error = process.communicate(timeout=60)
    assert "converter" not in error
    assert sum("Traceback" in line for line in error.splitlines()) <= (number == "SIGINT")
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.killpg(process.pid, 0)
            time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux' account of a process")
def test_memory_stays_flat_over_twenty_exports(model_folder, easy_dataset, tmp_path):
    from edge.export import export_bundle
    from omi_keras.data.dataset import load_dataset
    from omi_keras.model import load_model

    model = dataclasses.replace(load_model(model_folder), model=build("mayo-alvd", seed=1))
    dataset, seen = load_dataset(easy_dataset), []
    for number in range(20):
        export_bundle(model, dataset, tmp_path / str(number), quantization="float32")
        seen.append(int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    assert (seen[-1] - seen[4]) / 15 < 0.5e6, [round(size / 1e6) for size in seen]
