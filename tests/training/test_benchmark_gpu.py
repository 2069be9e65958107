"""The script that times a GPU runs, here on the CPU at toy size."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark_gpu.py"
MISSING = [name for name in ("jax", "torch") if importlib.util.find_spec(name) is None]


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_toy_size(easy_dataset, tmp_path):
    out = tmp_path / "out"
    options = ("--networks", "mayo-alvd", "--epochs", "1", "--folds", "0,1")
    subprocess.run([sys.executable, SCRIPT, easy_dataset, out, *options], check=True)
    found = json.loads((out / "gpu.json").read_text(encoding="utf-8"))
    assert found["simulated"]
    mayo = found["networks"]["mayo-alvd"]
    assert set(mayo["seconds"]) == {"folds", "one fold", "one fold, PyTorch"}
    assert mayo["ratio"] == pytest.approx(mayo["seconds"]["one fold, PyTorch"] / mayo["seconds"]["one fold"])
    assert mayo["table4"]["folds"] == 2
    assert 0 <= mayo["table4"]["test_auc_mean"] <= 1
