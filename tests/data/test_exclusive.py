"""Names that only we take and work that only one process does."""

import subprocess
import sys

import pytest

from omi_keras.data import exclusive
from omi_keras.data.exclusive import move_to_new_name, only_one
from omi_keras.recordings.errors import InputError


@pytest.fixture(params=["call", "fallback"])
def system(request, monkeypatch):
    if request.param == "fallback":
        monkeypatch.setattr(exclusive, "_rename_by_call", lambda source, target, how: exclusive.errno.ENOSYS)


@pytest.mark.parametrize("there", ["empty folder", "full folder", "file", "dangling link"])
@pytest.mark.parametrize("what", ["folder", "file"])
def test_nothing_is_replaced(tmp_path, system, there, what):
    source, target = tmp_path / "ours", tmp_path / "name"
    if what == "folder":
        source.mkdir()
        (source / "content").write_text("ours", encoding="utf-8")
    else:
        source.write_text("ours", encoding="utf-8")
    if there == "file":
        target.write_text("theirs", encoding="utf-8")
    elif there == "dangling link":
        target.symlink_to(tmp_path / "nowhere")
    else:
        target.mkdir()
        if there == "full folder":
            (target / "thesis").write_text("theirs", encoding="utf-8")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(FileExistsError):
        move_to_new_name(source, target)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_new_name_is_taken(tmp_path, system, what):
    source, target = tmp_path / "ours", tmp_path / "name"
    (source.mkdir if what == "folder" else source.touch)()
    move_to_new_name(source, target)
    assert target.exists() and not source.exists()


def test_the_second_is_told(tmp_path):
    lock = tmp_path / "lock"
    inside = (
        "import sys; from pathlib import Path; from omi_keras.data.exclusive import only_one\n"
        "with only_one(Path(sys.argv[1]), 'busy'):\n    print('in', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", inside, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"in\n"
    with pytest.raises(InputError, match="made by another") as error, only_one(lock, "made by another"):
        pass
    assert error.value.reason == "busy"
    other.kill()
    other.communicate()
    with only_one(lock, "busy"):  # the lock of a dead process is free
        assert lock.exists()
    assert not lock.exists()


def test_a_lock_that_lost_its_name_is_taken_anew(tmp_path, monkeypatch):
    lock, named = tmp_path / "lock", exclusive._is_named
    calls = []

    def first_removed(file, path):
        if not calls:
            path.unlink()
        calls.append(path)
        return named(file, path)

    monkeypatch.setattr(exclusive, "_is_named", first_removed)
    with only_one(lock, "busy"):
        assert lock.exists() and len(calls) == 2
