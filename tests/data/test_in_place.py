"""An output appears at once and whole, replaces nothing that is not ours, and leaves nothing beside it."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from omi_keras.data import exclusive, in_place
from omi_keras.data.artifacts import new_folder, remove_half_written, write_bytes
from omi_keras.recordings.errors import InputError

MARKER = "report.json"


@pytest.fixture(params=["call", "fallback"])
def system(request, monkeypatch):
    """With and without a call of the system that exchanges names or never replaces."""
    if request.param == "fallback":
        monkeypatch.setattr(exclusive, "_rename_by_call", lambda source, target, how: errno.ENOSYS)


def make(out, text="new", *, force=False, meanwhile=lambda: None):
    with new_folder(out, MARKER, force=force) as folder:
        (folder / "table.csv").write_text(text, encoding="utf-8")
        write_bytes(folder / MARKER, json.dumps({"kind": "report"}).encode())
        meanwhile()


def theirs(out):
    out.mkdir()
    (out / "thesis.txt").write_text("theirs", encoding="utf-8")


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def whole(folder, text="new"):
    return tree(folder) == {"table.csv": text, MARKER: '{"kind": "report"}'}


@pytest.mark.parametrize("force", [False, True])
def test_a_foreign_folder_that_appears_meanwhile_stays(tmp_path, system, force):
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"made by something else meanwhile.*finished work is in .*out\.finished"):
        make(out, force=force, meanwhile=lambda: theirs(out))
    assert tree(out) == {"thesis.txt": "theirs"}
    assert whole(tmp_path / "out.finished")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.finished"]


@pytest.mark.parametrize("what", ["file", "link", "empty folder"])
def test_whatever_appears_meanwhile_stays(tmp_path, system, what):
    out = tmp_path / "out"
    theirs(tmp_path / "elsewhere")
    appear = {
        "file": lambda: out.write_text("theirs", encoding="utf-8"),
        "link": lambda: out.symlink_to(tmp_path / "elsewhere"),
        "empty folder": out.mkdir,
    }[what]
    with pytest.raises(InputError, match="is left as it is"):
        make(out, meanwhile=appear)
    assert os.path.lexists(out) and whole(tmp_path / "out.finished")
    assert tree(tmp_path / "elsewhere") == {"thesis.txt": "theirs"}


def test_force_looks_again_at_what_it_replaces(tmp_path, system):
    out = tmp_path / "out"
    make(out, "old")

    def swapped():
        out.rename(tmp_path / "away")
        theirs(out)

    with pytest.raises(InputError, match="is left as it is"):
        make(out, force=True, meanwhile=swapped)
    assert tree(out) == {"thesis.txt": "theirs"} and whole(tmp_path / "away", "old")


def test_force_puts_back_what_it_took_for_ours(tmp_path, system, monkeypatch):
    """Ours at the last look, theirs when it has been moved aside."""
    out = tmp_path / "out"
    make(out, "old")
    replaceable, looks = in_place._replaceable, []

    def look(path, marker):
        found = replaceable(path, marker)
        looks.append(path)
        if len(looks) == 1:  # before the exchange
            out.rename(tmp_path / "away")
            theirs(out)
        return found

    monkeypatch.setattr(in_place, "_replaceable", look)
    with pytest.raises(InputError, match="is left as it is"):
        make(out, force=True)
    assert tree(out) == {"thesis.txt": "theirs"} and whole(tmp_path / "out.finished")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["away", "out", "out.finished"]


def test_force_replaces_ours(tmp_path, system):
    out = tmp_path / "out"
    out.mkdir()
    for text in ("first", "second"):
        make(out, text, force=True)
        assert whole(out, text)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_finished_works_are_both_kept(tmp_path):
    out = tmp_path / "out"
    for _ in range(2):
        with pytest.raises(InputError, match="finished"):
            make(out, meanwhile=lambda: theirs(out))
        (out / "thesis.txt").unlink()
        out.rmdir()
    assert whole(tmp_path / "out.finished") and whole(tmp_path / "out.finished-2")


DIE = """
import os, signal, sys
from pathlib import Path
from omi_keras.data import in_place
from omi_keras.data.artifacts import new_folder, write_bytes
out, where = Path(sys.argv[1]), sys.argv[2]
def die(*args):
    print("there", flush=True)
    if where == "wait":
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
if where == "before removal":
    in_place.remove = die
if where == "half removed":
    def half(path):
        os.unlink(path / "report.json")
        die()
    in_place.remove = half
if where == "aside":
    from omi_keras.data import exclusive
    exclusive._rename_by_call = lambda *args: 38
    move, moved = in_place.move_to_new_name, []
    def one(source, target):
        move(source, target)
        moved.append(target)
        if target.parent.name.endswith(".old"):
            die()
    in_place.move_to_new_name = one
with new_folder(out, "report.json", force="force" in sys.argv) as folder:
    (folder / "table.csv").write_text("killed", encoding="utf-8")
    write_bytes(folder / "report.json", b'{"kind": "report"}')
    if where in ("work", "wait"):
        die()
"""


def killed(out, where, *options):
    process = subprocess.run([sys.executable, "-c", DIE, out, where, *options], capture_output=True, timeout=60)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()


@pytest.mark.parametrize("where", ["work", "before removal", "half removed", "aside"])
def test_what_a_killed_process_left_goes_when_the_output_is_made_again(tmp_path, where):
    out = tmp_path / "out"
    if where != "work":
        make(out, "old")
    killed(out, where, "force")
    assert len(list(tmp_path.iterdir())) > 1, "nothing was left: the test tests nothing"
    foreign = tmp_path / f".out.{'ab' * 8}.partial"
    theirs(foreign)
    (tmp_path / ".out.notes.partial").write_text("theirs", encoding="utf-8")
    make(out, force=True)
    assert whole(out) and tree(foreign) == {"thesis.txt": "theirs"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([foreign.name, ".out.notes.partial", "out"])


@pytest.mark.parametrize("when", ["before", "meanwhile"])
@pytest.mark.parametrize("what", ["thesis.txt", "figures/notes.docx", "mine/data.csv", "link"])
def test_force_takes_nothing_of_somebody_with_ours(tmp_path, system, what, when):
    out, thing = tmp_path / "out", tmp_path / "out" / what
    make(out, "old")

    def put():
        thing.parent.mkdir(exist_ok=True)
        if what == "link":
            thing.symlink_to(tmp_path)
        else:
            thing.write_text("theirs", encoding="utf-8")

    if when == "before":
        put()
        sentence = f"holds {what}, which is no part of a report"
    else:
        sentence = r"made by something else meanwhile.*finished work is in .*out\.finished"
    with pytest.raises(InputError, match=sentence):
        make(out, force=True, meanwhile=put)
    assert os.path.lexists(thing) and (out / "table.csv").read_text(encoding="utf-8") == "old"


def test_what_a_system_leaves_in_every_folder_is_nobodys(tmp_path):
    make(tmp_path / "out", "old")
    (tmp_path / "out" / ".DS_Store").write_text("places of icons", encoding="utf-8")
    (tmp_path / "out" / "empty").touch()
    make(tmp_path / "out", force=True)
    assert whole(tmp_path / "out")


def test_killed_while_two_steps_replace_the_output_is_what_it_was(tmp_path):
    """Without a call that exchanges names, the old output gets its name back."""
    out = tmp_path / "out"
    make(out, "old")
    killed(out, "aside", "force")
    assert not out.exists()
    with pytest.raises(InputError, match="exists already"):
        make(out)
    assert whole(out, "old") and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_noted_name_that_somebody_else_has_now_is_left(tmp_path):
    killed(tmp_path / "out", "work")
    (left,) = tmp_path.glob(".out.*.partial")
    left.rename(tmp_path / "moved")
    theirs(left)
    make(tmp_path / "out")
    assert tree(left) == {"thesis.txt": "theirs"}


def test_what_a_living_process_makes_is_left(tmp_path):
    out = tmp_path / "out"
    other = subprocess.Popen(
        [sys.executable, "-c", DIE, out, "wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert other.stdout.readline() == "there\n"
    with pytest.raises(InputError, match="being made by another process"):
        make(out)
    assert len(list(tmp_path.glob(".out.*.partial"))) == 1
    other.kill()
    other.communicate()
    make(out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("what", ["file", "link", "folder"])
def test_somebody_elses_file_is_no_lock(tmp_path, what):
    lock = tmp_path / ".out.omi-keras.lock"
    if what == "file":
        lock.write_text("theirs", encoding="utf-8")
    elif what == "link":
        lock.symlink_to(tmp_path / "nowhere")
    else:
        theirs(lock)
    before = tree(tmp_path)
    with pytest.raises(InputError, match="not a lock of omi-keras"):
        make(tmp_path / "out")
    assert tree(tmp_path) == before and [path.name for path in tmp_path.iterdir()] == [lock.name]


def test_without_locks_it_works_and_clears_nothing(tmp_path, monkeypatch):
    """Some network file systems have none."""
    killed(tmp_path / "out", "work")
    monkeypatch.setattr(exclusive, "_lock", lambda file: False)
    make(tmp_path / "out")
    assert whole(tmp_path / "out") and len(list(tmp_path.glob(".out.*.partial"))) == 1


def test_a_failure_leaves_no_folder_above(tmp_path):
    with pytest.raises(ZeroDivisionError):
        make(tmp_path / "a" / "b" / "out", meanwhile=lambda: 1 / 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o002])
def test_files_and_folders_take_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        make(tmp_path / "above" / "out")
    finally:
        os.umask(before)
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~umask, path


def test_only_our_half_written_files_go(tmp_path):
    for name in (f".metrics.json.{'0f' * 8}.part", ".metrics.json.part", ".gitignore", ".notes.old.part"):
        (tmp_path / name).touch()
    (tmp_path / f".folder.{'0f' * 8}.part").mkdir()
    remove_half_written(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("named", [(), ("/data/run/model.keras",)])
def test_a_full_disk_names_the_output(tmp_path, named):
    """Copying names the file that was read, which has nothing to do with it."""

    def full():
        raise OSError(errno.ENOSPC, "No space left on device", *named)

    with pytest.raises(OSError) as error:
        make(tmp_path / "out", meanwhile=full)
    assert error.value.filename == str(tmp_path / "out")
