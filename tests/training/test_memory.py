"""A million ECGs, 29 GB of beats, are trained on in the memory of a few batches."""

import json
import subprocess
import sys

import numpy as np
import pytest

ECGS = 1_000_000
# A sparse file: its beats are zeros that take no disk. What the system keeps of a file that was read is not counted,
# because it gives that back when memory is short.
SCRIPT = """
import json, re, sys
from pathlib import Path
import numpy as np
from omi_keras.data.batches import epoch_batches
from omi_keras.data.pipeline import TrainingPipeline
from omi_keras.models.catalogue import build
from omi_keras.models.inference import predict_logits
from omi_keras.training.optimizer import TorchAdam
from omi_keras.training.tensorflow_epoch import tensorflow_epoch

def own_memory():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))[1]) // 1024

beats = np.load(sys.argv[1], mmap_mode="r")
omi = (np.random.default_rng(0).random(len(beats)) < 0.066).astype(int)
model, optimizer = build("mayo-alvd"), TorchAdam(1e-4)
optimizer.build(model.trainable_variables)
pipeline = TrainingPipeline(beats, omi, np.arange(len(beats)))
epoch = tensorflow_epoch(model, optimizer, pipeline, frozenset())
def batches(number):
    return epoch_batches(omi, 128, "batch", np.random.default_rng(number))
def train(number, steps, judged):
    epoch(batches(number)[:steps], lambda step, of: None)
    predict_logits(model, beats, np.arange(0, len(beats), len(beats) // judged))
train(0, 4, 600)
before = own_memory()
train(1, 200, 20_000)
print(json.dumps({"before": before, "after": own_memory(), "drawn": len(batches(2))}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux' account of a process")
def test_a_million_ecgs(tmp_path):
    path = tmp_path / "beats.npy"
    np.lib.format.open_memmap(path, "w+", np.float32, (ECGS, 12, 600))
    assert path.stat().st_size > 28e9
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["drawn"] == -(-ECGS // 128)
    # The 200 batches of 17 ECGs and the 20,000 judged ones would be 670 MB if they were kept.
    assert found["after"] - found["before"] < 150, found
