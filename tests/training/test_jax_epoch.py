"""The same training on JAX, in a process that never imports TensorFlow."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed; pip install 'omi-keras[jax]'"
)
ON_JAX = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}

# Trains a small network by jax_epoch, whose batches are filled up, and by Keras' own step, whose batches are not.
SCRIPT = """
import json, random, sys
import keras, numpy as np
from omi_keras.beats.contracts import input_shape
from omi_keras.data.batches import read_batch
from omi_keras.training.jax_epoch import jax_epoch
from omi_keras.training.optimizer import TorchAdam

_, scaling, place = sys.argv
contract = "maxabs-200"
def network():
    beat = keras.Input(input_shape(contract))
    x = keras.layers.ZeroPadding2D((0, 1))(beat)
    x = keras.layers.Conv2D(4, (1, 3), use_bias=False)(x)
    x = keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9)(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.MaxPooling2D((1, 4))(x)
    return keras.Model(beat, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))

random.seed(0)  # of Keras' initializers: some first weights have gradients of rounding alone, which Adam makes large
rng = np.random.default_rng(0)
beats = rng.standard_normal((90, 12, 600)).astype(np.float32)
omi = (rng.random(90) < 0.4).astype(int)
training = np.arange(10, 90)
batches = [training[:20], training[20:36], training[36:73]]
ours, theirs = network(), network()
theirs.set_weights(ours.get_weights())
optimizer = TorchAdam(1e-2)
if scaling == "scaled":
    optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
optimizer.build(ours.trainable_variables)
if place == "disk":
    import omi_keras.training.jax_epoch as module
    module.ON_DEVICE = 0
epoch = jax_epoch(ours, optimizer, beats, omi, training, contract=contract)
steps = []
losses = [epoch(batches, lambda step, of: steps.append((step, of))) for _ in range(2)]
theirs.compile(TorchAdam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
expected = []
for _ in range(2):
    each = [float(theirs.train_on_batch(read_batch(beats, rows, contract), omi[rows])) for rows in batches]
    expected.append(float(np.average(each, weights=[len(rows) for rows in batches])))
apart = max(float(np.abs(a - b).max()) for a, b in zip(ours.get_weights(), theirs.get_weights()))
print(json.dumps({"losses": losses, "expected": expected, "apart": apart, "steps": steps,
                  "iterations": int(optimizer.iterations), "tensorflow": "tensorflow" in sys.modules}))
"""


# Trains a small network with all that may be asked for on top of the paper, on the backend of the environment.
EVERYTHING = """
import json, sys
import keras, numpy as np
from omi_keras.data.augmentation import augmentation
from omi_keras.models.fast.dropped_inputs import draw_kept
from omi_keras.training.callbacks import Chance
from omi_keras.training.losses import Objective
from omi_keras.training.optimizer import TorchAdam

beat = keras.Input((12, 400, 1))
x = keras.layers.Conv2D(4, (1, 3), strides=(1, 4), use_bias=False)(beat)
x = keras.layers.ReLU()(keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9)(x))
model = keras.Model(beat, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
rng = np.random.default_rng(0)
model.set_weights([rng.uniform(0.1, 0.5, weight.shape) for weight in model.get_weights()])
beats = rng.standard_normal((90, 12, 600)).astype(np.float32)
omi = (rng.random(90) < 0.4).astype(int)
training = np.arange(10, 90)
batches = [training[:20], training[20:38], training[38:70]]
optimizer = TorchAdam(1e-2)
optimizer.build(model.trainable_variables)
objective = Objective(0.1, 2.0, (1.0, 3.0))
if keras.backend.backend() == "jax":
    from omi_keras.training.jax_epoch import jax_epoch
    epoch = jax_epoch(
        model, optimizer, beats, omi, training, objective=objective, dropping=True, augmenting=True
    )
else:
    from omi_keras.data.pipeline import TrainingPipeline
    from omi_keras.training.tensorflow_epoch import tensorflow_epoch
    pipeline = TrainingPipeline(beats, omi, training, memory=0)
    epoch = tensorflow_epoch(model, optimizer, pipeline, frozenset(), objective, dropping=True)
def kept(batch, ecgs):
    return draw_kept(np.random.default_rng([number, batch]), ecgs, 4, 0.5)
losses = []
for number in (1, 2):
    chance = Chance(augmentation("strong", 0, 0, number), kept)
    losses.append(epoch(batches, lambda step, of: None, chance))
print(json.dumps({"losses": losses, "tensorflow": "tensorflow" in sys.modules,
                  "weights": [weight.ravel().tolist() for weight in model.get_weights()]}))
"""


def test_both_backends_train_the_same_on_augmented_beats_with_dropout_and_another_loss():
    found = {}
    for backend in ("jax", "tensorflow"):
        done = subprocess.run(
            [sys.executable, "-c", EVERYTHING],
            env={**ON_JAX, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
            timeout=300,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found[backend] = json.loads(done.stdout.splitlines()[-1])
        assert found[backend]["tensorflow"] == (backend == "tensorflow")
    np.testing.assert_allclose(found["jax"]["losses"], found["tensorflow"]["losses"], rtol=1e-4)
    for ours, theirs in zip(found["jax"]["weights"], found["tensorflow"]["weights"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize(("scaling", "place"), [("plain", "device"), ("scaled", "disk")])
def test_filled_batches_train_as_batches_of_their_own_size(scaling, place):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, scaling, place],
        env=ON_JAX,
        capture_output=True,
        text=True,
        timeout=300,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert not found["tensorflow"]
    np.testing.assert_allclose(found["losses"], found["expected"], rtol=1e-5)
    assert found["apart"] < 1e-4
    assert found["iterations"] == 6
    assert found["steps"][:3] == [[1, 3], [2, 3], [3, 3]]
