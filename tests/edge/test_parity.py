"""The judge on the device: its metrics are scikit-learn's, its limits are kept, tampering is seen."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from edge import parity, verified
from edge.bundle import device_script
from edge.parity import compare, exceeded, replay
from edge.verified import FILES, BundleError, load, verify
from omi_keras.model import load_model

ROOT = Path(__file__).resolve().parents[2]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 80), st.integers(0, 10_000), st.sampled_from([1, 2, 8]))
def test_auc_and_average_precision_are_scikit_learns(n, seed, decimals):
    rng = np.random.default_rng(seed)
    omi, probability = rng.integers(0, 2, n), rng.random(n).round(decimals)
    omi[:2] = 0, 1
    assert parity.auc(omi, probability) == pytest.approx(roc_auc_score(omi, probability), abs=1e-12)
    expected = average_precision_score(omi, probability)
    assert parity.average_precision(omi, probability) == pytest.approx(expected, abs=1e-12)


def test_compare_counts_what_a_person_would():
    expected, found = np.array([0.1, 0.49, 0.9, 0.5]), np.array([0.1, 0.51, 0.8, 0.5])
    result = compare(expected, found, np.array([0, 1, 1, 0]), 0.5)
    assert result["n"] == 4
    assert result["flips"] == 0.25
    assert result["max_delta"] == pytest.approx(0.1)


def test_limits():
    result = {"flips": 0.01, "max_delta": float("nan"), "delta_auc": float("nan")}
    assert exceeded(result, {"flips": 0.01}) == []
    assert exceeded(result, {"flips": 0.009}) == ["flips 0.01 is above 0.009"]
    assert len(exceeded(result, {"max_delta": 1.0})) == 1, "not a number keeps no limit"
    assert exceeded(result, {"delta_auc": 0.1}) == [], "AUC of one class is undefined, not wrong"


def device_parity(bundle, *options):
    """Run the script of the bundle as a device does: nothing of the project on the path, no TensorFlow."""
    block = (
        "import sys, runpy\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in {'tensorflow', 'keras', 'omi_keras', 'edge', 'scipy', 'click'}:\n"
        "            raise ImportError('not on a device: ' + name)\n"
        "sys.meta_path.insert(0, Block())\n"
        f"sys.argv = ['device_parity.py', *{[str(o) for o in options]!r}]\n"
        f"runpy.run_path({str(bundle / 'device_parity.py')!r}, run_name='__main__')\n"
    )
    return subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, cwd=bundle.parent, timeout=300, encoding="utf-8"
    )


def test_device_parity_passes_without_tensorflow(int8_bundle):
    done = device_parity(int8_bundle)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "parity: passed" in done.stdout
    found = json.loads(device_parity(int8_bundle, "--json").stdout)
    assert found["passed"]
    assert found["against_export"]["max_delta"] == 0, "the same machine, the same kernels"
    assert found["latency_ms"]["median"] > 0
    assert 20 < found["peak_memory_mb"] < 2000
    assert found["runtime"].startswith("ai-edge-litert ")


@pytest.fixture
def bundle(int8_bundle, tmp_path):
    shutil.copytree(int8_bundle, tmp_path / "bundle")
    return tmp_path / "bundle"


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_one_altered_weight_byte_is_seen(bundle):
    flip(bundle / "model.tflite", 3_000_000)
    done = device_parity(bundle)
    assert done.returncode == 1
    assert "model.tflite was altered" in done.stdout


def resign(bundle, **change):
    """Change the manifest and make its checksums fit again, as somebody who wants to deceive would."""
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8")) | change
    manifest["sha256"] = {name: verified.hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in FILES}
    manifest["manifest_sha256"] = verified.manifest_checksum(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def alter_expected(bundle):
    with np.load(bundle / "parity.npz") as arrays:
        content = dict(arrays)
    content["expected"][3] = 1 - content["expected"][3]
    np.savez(bundle / "parity.npz", **content)


def test_one_altered_probability_is_seen_by_its_checksum(bundle):
    alter_expected(bundle)
    done = device_parity(bundle)
    assert done.returncode == 1
    assert "parity.npz was altered" in done.stdout


def test_one_altered_probability_is_seen_by_the_gate(bundle):
    alter_expected(bundle)
    resign(bundle)
    done = device_parity(bundle)
    assert done.returncode == 1
    assert "FAILED: against the trained model: max_delta" in done.stdout


def test_altered_weights_are_seen_by_the_gate(bundle):
    content = bytearray((bundle / "model.tflite").read_bytes())
    content[3_000_000:3_200_000] = bytes(200_000)
    (bundle / "model.tflite").write_bytes(content)
    resign(bundle)
    assert device_parity(bundle).returncode == 1


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_guarded(bundle, name):
    verify(bundle)
    flip(bundle / name, -3)
    with pytest.raises(BundleError, match=f"{name} was altered"):
        verify(bundle)
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        verify(bundle)
    (bundle / name).symlink_to("/etc/hostname")
    with pytest.raises(BundleError, match=f"{name} is missing"):
        verify(bundle)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0, 0.5])
def test_truncated_files_are_refused(bundle, name, share):
    content = (bundle / name).read_bytes()
    (bundle / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(BundleError, match=f"{name} was altered"):
        verify(bundle)


@pytest.mark.parametrize(("one", "other"), [FILES[:2], FILES[1:3], FILES[2:4], FILES[3:]])
def test_swapped_files_are_refused(bundle, one, other):
    (bundle / one).rename(bundle / "aside")
    (bundle / other).rename(bundle / one)
    (bundle / "aside").rename(bundle / other)
    with pytest.raises(BundleError, match="was altered"):
        verify(bundle)


def test_a_file_of_another_bundle_is_refused(bundle, small_bundle):
    shutil.copy(small_bundle / "model.tflite", bundle)
    with pytest.raises(BundleError, match=r"model\.tflite was altered"):
        verify(bundle)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_no_altered_byte_of_the_manifest_goes_unseen(bundle, place, byte):
    path = bundle / "manifest.json"
    original = path.read_bytes()
    content = bytearray(original)
    content[place % len(content)] = byte
    path.write_bytes(content)
    try:
        try:
            said = json.loads(content)
        except ValueError:
            said = None
        if said == json.loads(original):  # another space between two values says the same
            return
        with pytest.raises(BundleError):
            verify(bundle)
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_a_truncated_manifest_is_refused(bundle, share):
    content = (bundle / "manifest.json").read_bytes()
    (bundle / "manifest.json").write_bytes(content[: int(share * len(content))])
    with pytest.raises(BundleError, match="cannot be read"):
        verify(bundle)


def test_a_model_that_is_no_model_is_refused(bundle):
    (bundle / "model.tflite").write_bytes(b"TFL3" * 1000)
    resign(bundle)
    done = device_parity(bundle)
    assert done.returncode == 1
    assert "does not load" in done.stdout


def test_only_what_was_verified_is_used(bundle, monkeypatch):
    """A file that is exchanged after its check has no effect: every file is read once."""
    reads = []
    opened = os.open

    def watched(path, *arguments, **options):
        if Path(path).parent == bundle:
            reads.append(Path(path).name)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", watched)
    replay(bundle)
    assert sorted(reads) == sorted((*FILES, "manifest.json"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format_version": 3}, "format version 3, this reader knows up to 2"),
        ({"kind": "dataset"}, "not the manifest"),
        ({"threshold": 0.9}, "was altered"),
        ({"limits": {}}, "was altered"),
        ({"limits": None}, "lacks limits"),
    ],
)
def test_manifests_that_are_refused(bundle, change, sentence):
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8")) | change
    kept = {key: value for key, value in manifest.items() if value is not None}
    (bundle / "manifest.json").write_text(json.dumps(kept), encoding="utf-8")
    with pytest.raises(BundleError, match=sentence):
        verify(bundle)


@pytest.mark.parametrize(
    "threshold", [99.0, -0.1, "0.5", None, True, [0.5], float("nan"), float("inf"), 10**399], ids=lambda v: str(v)[:5]
)
def test_a_threshold_that_cannot_be_is_refused(bundle, threshold):
    resign(bundle, threshold=threshold)
    with pytest.raises(BundleError, match=r"no threshold between 0 and 1|is no number to work with"):
        verify(bundle)


def test_files_outside_the_bundle_are_refused(bundle):
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8")) | {
        "sha256": {"../../etc/passwd": "0"}
    }
    manifest["manifest_sha256"] = verified.manifest_checksum(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match="must list the checksums"):
        verify(bundle)


@pytest.mark.parametrize("name", ["../model.tflite", "/etc/passwd", "sub/../../model.tflite"])
def test_no_name_leads_out_of_the_bundle(bundle, name):
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    manifest["sha256"][name] = manifest["sha256"].pop("model.tflite")
    manifest["manifest_sha256"] = verified.manifest_checksum(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match="must list the checksums"):
        verify(bundle)


def test_a_terminal_without_greek_letters(int8_bundle):
    script = int8_bundle / "device_parity.py"
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run([sys.executable, script], capture_output=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert b"parity: passed" in done.stdout


class Bomb:
    """Its pickle, when it is loaded, touches a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_instead_of_the_parity_set_is_not_executed(bundle, tmp_path):
    (bundle / "parity.npz").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    resign(bundle)
    done = device_parity(bundle)
    assert done.returncode == 1
    assert "not a parity set" in done.stdout
    assert not (tmp_path / "exploded").exists()


def test_a_pickle_in_the_parity_set_is_not_executed(bundle):
    np.savez(bundle / "parity.npz", beats=np.array([{}], dtype=object), omi=[0], expected=[0.0], exported=[0.0])
    resign(bundle)
    with pytest.raises(BundleError, match="not a parity set"):
        replay(bundle)


def test_script_in_the_repository_is_the_same_judge(int8_bundle):
    script = ROOT / "scripts" / "device_parity.py"
    done = subprocess.run(
        [sys.executable, script, int8_bundle], capture_output=True, text=True, timeout=300, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert (int8_bundle / "device_parity.py").read_text(encoding="utf-8") == device_script()


def test_bands_are_counted_on_the_device(bundle, model_folder):
    manifest, contents = load(bundle)
    assert manifest["bands"] == load_model(model_folder).bands
    expected = verified.parity_set(contents["parity.npz"])["exported"]
    edges = {"rule_out": float(np.quantile(expected, 0.3)), "rule_in": float(np.quantile(expected, 0.8))}
    resign(bundle, bands=edges)
    found = json.loads(device_parity(bundle, "--json").stdout)
    counted = found["in_band"]
    assert sum(counted.values()) == expected.size
    # Another processor may round an ECG over an edge.
    assert abs(counted["rule-out"] - (expected < edges["rule_out"]).sum()) <= 2
    assert abs(counted["rule-in"] - (expected >= edges["rule_in"]).sum()) <= 2
    assert f"rule-in {counted['rule-in']}, open" in device_parity(bundle).stdout


def test_a_bundle_may_have_no_bands_but_no_absurd_ones(bundle):
    resign(bundle, bands=None)
    done = device_parity(bundle)
    assert done.returncode == 0, done.stdout
    assert "rule-in" not in done.stdout
    for edges in ({"rule_out": 0.7, "rule_in": 0.2}, {"rule_out": 0.1}, [0.1, 0.2], {"rule_out": True, "rule_in": 1}):
        resign(bundle, bands=edges)
        done = device_parity(bundle)
        assert done.returncode == 1
        assert "has no good bands" in done.stdout
