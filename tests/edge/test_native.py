"""The C++ example of docs/how-to/devices.md, compiled against the library that the LiteRT wheel brings."""

import re
import subprocess

import numpy as np
import pytest

from edge.bands import band_of
from edge.verified import load, parity_set


def test_native_code_computes_the_same(program, int8_bundle, tmp_path):
    manifest, contents = load(int8_bundle)
    threshold, known = manifest["threshold"], parity_set(contents["parity.npz"])
    for i in (0, len(known["omi"]) - 1):
        known["beats"][i].tofile(tmp_path / "beat.f32")
        command = [program, int8_bundle / "model.tflite", tmp_path / "beat.f32", str(threshold)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, encoding="utf-8")
        found = float(re.search(r"P\(OMI\) (\S+)", done.stdout).group(1))
        assert found == pytest.approx(known["exported"][i], abs=1e-6)
        assert done.returncode == (3 if known["exported"][i] >= threshold else 0)


def test_native_code_says_the_band(program, int8_bundle, tmp_path):
    known = parity_set(load(int8_bundle)[1]["parity.npz"])
    known["beats"][0].tofile(tmp_path / "beat.f32")
    p = float(known["exported"][0])
    edges = [(p + 0.01, p + 0.02), (p - 0.02, p - 0.01), (p - 0.01, p + 0.01), (None, p - 0.01), (p + 0.01, None)]
    for rule_out, rule_in in edges:
        given = ["-" if edge is None else repr(edge) for edge in (rule_out, rule_in)]
        command = [program, int8_bundle / "model.tflite", tmp_path / "beat.f32", "0.5", *given]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, encoding="utf-8")
        assert done.stdout.split()[-1] == band_of(p, {"rule_out": rule_out, "rule_in": rule_in})


def test_native_code_refuses(program, int8_bundle, tmp_path):
    beat = parity_set(load(int8_bundle)[1]["parity.npz"])["beats"][0]
    beat[3, 300] = np.nan
    beat.tofile(tmp_path / "nan.f32")
    (tmp_path / "short.f32").write_bytes(b"short")
    for name in ("nan.f32", "short.f32", "absent.f32"):
        command = [program, int8_bundle / "model.tflite", tmp_path / name, "0.5"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, encoding="utf-8")
        assert done.returncode == 2, done.stdout
