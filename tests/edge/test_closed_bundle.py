"""Nothing may lie in a bundle that its maker did not put there, signed or not, and nothing of it is executed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import run_cli

from edge import Detector, verified
from edge.bundle import write_bundle
from edge.parity import replay
from edge.verified import FILES, BundleError, load, verify
from omi_keras.recordings.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bundle(small_bundle, tmp_path):
    shutil.copytree(small_bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def public_key(small_bundle):
    return small_bundle.parent / "public.pem"


def traced(path, marker):
    """A module that tells when it runs."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"import posix\nposix.close(posix.open({str(marker)!r}, posix.O_CREAT | posix.O_WRONLY))\n", encoding="utf-8"
    )


# What somebody could put beside device_parity.py, and the name by which it is refused.
ADDED = {
    **{
        name: (name, lambda bundle, marker, name=name: traced(bundle / name, marker))
        for name in (
            "argparse.py", "numpy.py", "json.py", "sitecustomize.py", "usercustomize.py", "__future__.py", "os.py",
            "site.py", "encodings.py", "hashlib.py", "ai_edge_litert.py", "__main__.py", "posix.py", "sys.py",
        )
    },
    "numpy/": ("numpy", lambda bundle, marker: traced(bundle / "numpy" / "__init__.py", marker)),
    "__pycache__/": ("__pycache__", lambda bundle, marker: traced(bundle / "__pycache__" / "json.py", marker)),
    "empty folder": ("notes", lambda bundle, marker: (bundle / "notes").mkdir()),
    "hidden file": (".DS_Store", lambda bundle, marker: (bundle / ".DS_Store").write_bytes(b"\0")),
    "symlink": ("model2.tflite", lambda bundle, marker: (bundle / "model2.tflite").symlink_to("model.tflite")),
    "dangling symlink": ("lost", lambda bundle, marker: (bundle / "lost").symlink_to("/nowhere")),
    "pipe": ("pipe", lambda bundle, marker: os.mkfifo(bundle / "pipe")),
    "control characters": ("a?[31m.txt", lambda bundle, marker: (bundle / "a\x1b[31m.txt").touch()),
    "no UTF-8": ("b?.txt", lambda bundle, marker: Path(os.fsdecode(os.fsencode(bundle) + b"/b\xff.txt")).touch()),
    "other case": ("MANIFEST.JSON", lambda bundle, marker: (bundle / "MANIFEST.JSON").write_bytes(b"{}")),
}  # fmt: skip


def run_script(*command, cwd):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, encoding="utf-8")


@pytest.mark.parametrize("case", ADDED)
def test_an_added_file_is_refused_by_name(bundle, public_key, tmp_path, case):
    shown, add = ADDED[case]
    add(bundle, tmp_path / "executed")
    sentence = f"holds {shown}, which its manifest does not name"
    for opening in (load, verify, replay):
        with pytest.raises(BundleError) as refused:
            opening(bundle)
        assert sentence in str(refused.value)
    for key in (None, public_key):
        with pytest.raises(InputError) as refused:
            Detector(bundle, public_key=key)
        assert sentence in str(refused.value)
        options = ["--verify", key] if key else []
        checked = run_cli("check-parity", bundle, *options)
        assert (checked.exit_code, sentence in checked.output) == (1, True)
        predicted = run_cli("predict", bundle, "ecg.hea", *options)
        assert (predicted.exit_code, sentence in predicted.output) == (2, True)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("case", ["argparse.py", "numpy.py", "json.py", "sitecustomize.py", "__future__.py", "numpy/"])
def test_nothing_beside_the_script_is_executed(bundle, tmp_path, case):
    marker = tmp_path / "executed"
    shown, add = ADDED[case]
    add(bundle, marker)
    for cwd, script in ((tmp_path, "bundle/device_parity.py"), (bundle, "device_parity.py")):
        done = run_script(sys.executable, script, cwd=cwd)
        assert done.returncode == 1, done.stderr
        assert f"holds {shown}, which its manifest does not name" in done.stdout, done.stdout + done.stderr
    assert not marker.exists(), "a file of the bundle was executed"


def test_script_in_the_repository_refuses_too(bundle, tmp_path):
    marker = tmp_path / "executed"
    traced(bundle / "argparse.py", marker)
    done = run_script(sys.executable, ROOT / "scripts" / "device_parity.py", bundle, cwd=bundle)
    assert done.returncode == 1, done.stderr
    assert "holds argparse.py, which its manifest does not name" in done.stdout
    assert not marker.exists()


@pytest.mark.parametrize("options", [["-I"], ["-B"], ["-E"], ["-s"], ["-S"]])
def test_nothing_beside_the_script_runs_with_other_options_of_python(bundle, tmp_path, options):
    """Without site-packages (-S) NumPy is not found, but the one of the bundle is not taken instead."""
    marker = tmp_path / "executed"
    for _, add in ADDED.values():
        add(bundle, marker)
    done = run_script(sys.executable, *options, "device_parity.py", cwd=bundle)
    assert done.returncode == 1
    assert "which its manifest does not name" in done.stdout or "No module named 'numpy'" in done.stderr
    assert not marker.exists()


def test_nothing_runs_through_a_link_to_the_script(bundle, tmp_path):
    marker = tmp_path / "executed"
    for _, add in ADDED.values():
        add(bundle, marker)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "check.py").symlink_to(bundle / "device_parity.py")
    done = run_script(sys.executable, tmp_path / "bin" / "check.py", bundle, cwd=bundle)
    assert "which its manifest does not name" in done.stdout, done.stderr
    assert not marker.exists()


def test_running_leaves_the_bundle_closed(bundle, public_key):
    """Python writes no byte code beside a script."""
    for _ in range(2):
        done = run_script(sys.executable, "device_parity.py", cwd=bundle)
        assert done.returncode == 0, done.stdout + done.stderr
    Detector(bundle, public_key=public_key)
    assert sorted(path.name for path in bundle.iterdir()) == sorted((*FILES, "manifest.json", "manifest.sig"))


@pytest.mark.parametrize("name", [*FILES, "manifest.json", "manifest.sig"])
@pytest.mark.parametrize("kind", ["symlink", "folder", "pipe"])
def test_every_file_is_a_plain_file(bundle, tmp_path, name, kind):
    (bundle / name).rename(tmp_path / "aside")
    if kind == "symlink":
        (bundle / name).symlink_to(tmp_path / "aside")
    elif kind == "folder":
        (bundle / name).mkdir()
    else:
        os.mkfifo(bundle / name)
    with pytest.raises(BundleError, match=f"{name} is missing or no plain file"):
        verify(bundle)


def test_a_linked_bundle_is_a_bundle(bundle, tmp_path):
    (tmp_path / "current").symlink_to(bundle)
    verify(tmp_path / "current")


@pytest.mark.parametrize("name", ["model.tflite", "manifest.json", "README.txt"])
def test_no_file_is_read_without_end(bundle, monkeypatch, name):
    monkeypatch.setattr(verified, "MOST_BYTES", {} if name == "model.tflite" else verified.MOST_BYTES)
    monkeypatch.setattr(verified, "MOST_BYTES_ELSE", 1 << 23)
    with (bundle / name).open("r+b") as file:
        file.truncate(1 << 40)  # no block of it is on the disk
    with pytest.raises(BundleError, match=f"{name} is larger than the 8 MiB"):
        verify(bundle)


def rewrite(bundle, change):
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    change(manifest)
    manifest["sha256"] = {name: verified.hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in FILES}
    manifest["manifest_sha256"] = verified.manifest_checksum(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_two_values_of_one_name_are_refused(bundle):
    """The first one says 0.9 to some programs; Python would take the last."""
    text = (bundle / "manifest.json").read_text(encoding="utf-8")
    (bundle / "manifest.json").write_text('{"threshold": 0.9,' + text.lstrip()[1:], encoding="utf-8")
    with pytest.raises(BundleError, match="it says threshold twice"):
        verify(bundle)


def numbers(value, path=()):
    """Where the numbers and flags of a JSON value are."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from numbers(item, (*path, index))
    elif isinstance(value, int | float):
        yield path


EVIL = (10**399, -(10**399), -1, 2, 1e308, float("nan"), float("inf"), True, None, "0.5", "", [], {}, [[[0.5]]])


def test_no_value_of_a_manifest_is_more_than_a_sentence(bundle):
    """Each number becomes each evil value: a sentence, or a bundle that works within its limits."""
    (bundle / "model.tflite").write_bytes(b"")  # not looked into, and a small one is soon read
    whole = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    places = [path for path in numbers(whole) if path[0] != "metrics"]
    assert len(places) > 15
    for path in places:
        for evil in EVIL:
            manifest = json.loads(json.dumps(whole))
            inner = manifest
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = evil
            rewrite(bundle, lambda old, new=manifest: (old.clear(), old.update(new)))
            try:
                found = load(bundle)[0]
            except BundleError as error:
                assert len(str(error)) < 400
            else:
                assert verified.is_probability(found["threshold"])
                assert all(0 <= limit < np.inf for limit in found["limits"].values())


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, '{"kind": "bundle", "x": ' + "[" * 900 + "]" * 900 + "}"]
)
def test_a_manifest_without_end_is_a_sentence(bundle, text):
    (bundle / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(BundleError):
        verify(bundle)


@pytest.mark.parametrize(
    "threshold", [-3.0, 1.5, float("nan"), 10**399, True, "0.5", None], ids=lambda value: str(value)[:5]
)
def test_what_cannot_be_read_is_not_written(bundle, tmp_path, threshold):
    manifest, contents = load(bundle)
    (tmp_path / "new").mkdir()
    with np.load(bundle / "parity.npz") as arrays, pytest.raises(BundleError, match="no threshold between 0 and 1"):
        write_bundle(tmp_path / "new", contents["model.tflite"], dict(arrays), manifest | {"threshold": threshold}, "")
    assert not any((tmp_path / "new").iterdir())


@pytest.fixture
def arrays(bundle):
    with np.load(bundle / "parity.npz") as found:
        return dict(found)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("beats", lambda a: a * np.nan),
        ("beats", lambda a: a + np.inf),
        ("beats", lambda a: a.astype(object)),
        ("beats", lambda a: a.astype(np.complex64)),
        ("beats", lambda a: a[:0]),
        ("beats", lambda a: a[..., :5]),
        ("omi", lambda a: a + 2),
        ("omi", lambda a: a[:, None]),
        ("omi", lambda a: a.astype("U1")),
        ("expected", lambda a: a + 5),
        ("expected", lambda a: a * np.nan),
        ("exported", lambda a: a - 5),
        ("exported", lambda a: a[:-1]),
    ],
)
def test_parity_sets_that_are_none(bundle, arrays, name, change):
    np.savez(bundle / "parity.npz", **arrays | {name: change(arrays[name])})
    rewrite(bundle, lambda manifest: None)
    with pytest.raises(BundleError, match=r"parity\.npz"):
        replay(bundle)
    checked = run_cli("check-parity", bundle)
    assert checked.exit_code == 1
    assert "parity.npz" in checked.output


def test_a_parity_set_that_swells_is_refused(bundle, arrays, monkeypatch):
    """A gigabyte of zeros is a megabyte in an archive: its size is looked at before it is unpacked."""
    np.savez_compressed(bundle / "parity.npz", **arrays | {"beats": np.zeros((1 << 11, 12, 600), np.float32)})
    rewrite(bundle, lambda manifest: None)
    monkeypatch.setattr(verified, "MOST_BYTES", verified.MOST_BYTES | {"parity.npz": 1 << 24})
    with pytest.raises(BundleError, match=r"beats\.npy is too large"):
        replay(bundle)


def test_a_header_is_held_against_the_bytes(bundle, arrays):
    """A header may speak of terabytes that are not there: nothing of that size is asked for."""
    import io
    import zipfile

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 12, 600)})
    with zipfile.ZipFile(bundle / "parity.npz", "w") as archive:
        archive.writestr("beats.npy", header.getvalue() + bytes(100))
    rewrite(bundle, lambda manifest: None)
    with pytest.raises(BundleError, match="not a parity set"):
        replay(bundle)


@pytest.mark.parametrize("threads", ["0", "-1", "100000", "1.5", "9" * 5000])
def test_threads_of_the_script(bundle, threads):
    done = run_script(sys.executable, bundle / "device_parity.py", f"--threads={threads}", cwd=bundle)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
