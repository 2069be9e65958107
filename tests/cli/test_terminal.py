"""What surrounds a command: signals, closed and broken streams, names and locales that cannot be written down."""

import os
import subprocess
import sys
import time

import pytest
from helpers import run_cli

from omi_keras.data.stops import STOPS
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.paths import check_path

COMMAND = [sys.executable, "-c", "from omi_keras.cli import main; main()"]
SIMULATE = [*COMMAND, "simulate", "--ecgs", "4", "--patients", "4"]
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
posix = pytest.mark.skipif(os.name != "posix", reason="shells of Windows have no such redirections")


def shell(command, redirection, **environment):
    line = 'exec "$@" ' + redirection
    return subprocess.run(
        ["sh", "-c", line, "sh", *map(str, command)], capture_output=True, timeout=120, env=os.environ | environment
    )


@posix
@pytest.mark.parametrize("redirection", ["2>&-", ">&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_and_full_streams_cost_nothing(tmp_path, redirection):
    done = shell([*SIMULATE, tmp_path / "out"], redirection)
    assert done.returncode == 0 and not done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@posix
def test_a_result_that_cannot_be_printed_is_told(tmp_path):
    done = shell([*SIMULATE, tmp_path / "out"], ">/dev/full")
    assert done.returncode == 2
    assert done.stderr.decode() == "omi-keras: standard output: No space left on device\n"
    assert (tmp_path / "out" / "dataset.json").is_file(), "the work is done"


@posix
def test_a_reader_that_left_is_no_failed_check():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*COMMAND, "--help"], stdout=writing, stderr=subprocess.PIPE, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (128 + 13, b"")


@posix
def test_a_full_pipe_that_does_not_block_is_waited_for():
    code = "import os; from omi_keras.cli.terminal import mend_streams; mend_streams(); print('x' * 300_000)"
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    time.sleep(1)
    content = b""
    while block := os.read(reading, 1 << 16):
        content += block
    os.close(reading)
    assert process.communicate(timeout=60)[1] == b"" and process.returncode == 0
    assert content == b"x" * 300_000 + b"\n"


@posix
@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize("command", ["simulate", "prepare"])
def test_signals_leave_nothing(tmp_path, number, command):
    if command == "simulate":
        call = [*COMMAND, "simulate", tmp_path / "out", "--ecgs", "5000", "--patients", "4000"]
    else:
        records = tmp_path / "records"
        assert run_cli("simulate", records, "--as", "records", "--ecgs", 60, "--patients", 40).exit_code == 0
        call = [*COMMAND, "prepare", records, tmp_path / "out", "--labels", records / "labels.csv", "--jobs", "2"]
    before = {path.name for path in tmp_path.iterdir()}
    process = subprocess.Popen([str(part) for part in call], stderr=subprocess.PIPE)
    while process.poll() is None and not list(tmp_path.glob(".out.*partial")):
        time.sleep(0.01)
    process.send_signal(number)
    error = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 128 + number, error
    assert len(error.splitlines()) == 1 and "Traceback" not in error
    left = {path.name for path in tmp_path.iterdir()} - before
    if left:  # what prepare keeps for --resume
        assert command == "prepare" and left == {".out.partial"} and "--resume" in error
        assert (tmp_path / ".out.partial" / "progress.json").is_file()


@pytest.mark.parametrize(
    "call",
    [
        ["simulate", "{bad}"],
        ["prepare", "{bad}", "out", "--labels", "x"],
        ["prepare", "x", "out", "--labels", "{bad}"],
        ["train", "{bad}", "out"],
        ["search-lr", "x", "{bad}"],
        ["evaluate", "x", "{bad}", "out"],
        ["select", "{bad}", "out"],
        ["validate", "x", "{bad}", "out", "--dataset", "x"],
        ["validate", "x", "out", "--dataset", "{bad}"],
        ["saliency", "x", "x", "{bad}"],
        ["export-tflite", "x", "out", "--dataset", "{bad}"],
        ["check-parity", "{bad}"],
        ["predict", "x", "{bad}"],
        ["import-torch", "x", "{bad}", "--model", "mayo-alvd"],
    ],
)
def test_names_that_are_no_text_are_refused(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    result = run_cli(*(part.format(bad=os.fsdecode(b"na\xffme")) for part in call))
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert "na?me: its name is not UTF-8" in result.stderr
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_folder_above_whose_name_is_no_text(tmp_path, monkeypatch):
    above = tmp_path / os.fsdecode(b"\xff")
    try:
        above.mkdir()
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    (tmp_path / "link").symlink_to(above)
    with pytest.raises(InputError, match="not UTF-8"):
        check_path(tmp_path / "link" / "out")
    monkeypatch.chdir(above)
    assert "not UTF-8" in run_cli("simulate", "out").stderr


@posix
def test_under_a_locale_without_utf_8(tmp_path):
    """Names of this locale are ASCII: refused in a sentence; what is inside the files is UTF-8 all the same."""
    done = shell([*SIMULATE, "--as", "records", tmp_path / "records"], "", **C_LOCALE)
    assert done.returncode == 0, done.stderr
    labels = (tmp_path / "records" / "labels.csv").read_text(encoding="utf-8")
    rows = [f"{line},ä" if number else f"{line},note" for number, line in enumerate(labels.splitlines())]
    rows[1] = rows[1].replace(",0,", ",1,", 1)
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    call = [*COMMAND, "prepare", tmp_path / "records", tmp_path / "out", "--labels", tmp_path / "labels.csv"]
    done = shell(call, "", **C_LOCALE)
    assert done.returncode == 0, done.stderr
    assert "ä" in (tmp_path / "out" / "ecgs.csv").read_text(encoding="utf-8")
    rows[1] = "ä" + rows[1]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for refused in ([*call[:-3], tmp_path / "other", *call[-2:]], [*SIMULATE, tmp_path / "ä"]):
        done = shell(refused, "", **C_LOCALE)
        assert done.returncode == 2 and b"set PYTHONUTF8=1" in done.stderr and b"Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.csv", "out", "records"]


@pytest.mark.parametrize("backend", ["torch", "bogus", "TENSORFLOW"])
def test_backends_that_are_none(easy_dataset, tmp_path, monkeypatch, backend):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    for call in (
        ["train", easy_dataset, tmp_path / "run", "--model", "mayo-alvd"],
        ["search-lr", easy_dataset, tmp_path / "run"],
        ["saliency", tmp_path, easy_dataset, tmp_path / "out"],
        ["export-tflite", tmp_path, tmp_path / "out", "--dataset", easy_dataset],
        ["import-torch", tmp_path / "x.pt", tmp_path / "out", "--model", "mayo-alvd"],
    ):
        result = run_cli(*call)
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1].startswith(f"omi-keras: KERAS_BACKEND={backend}: omi-keras runs on")
    assert run_cli("--help").exit_code == run_cli("simulate", tmp_path / "s", "--ecgs", 4, "--patients", 4).exit_code
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
