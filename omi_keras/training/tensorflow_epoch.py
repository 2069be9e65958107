"""One epoch of training steps on TensorFlow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from omi_keras.data.pipeline import TrainingPipeline
from omi_keras.models.fast.dropped_inputs import dropping_inputs, keeping, read_out_inputs
from omi_keras.models.fast.fast_form import fast_form
from omi_keras.models.fast.training_form import training_form
from omi_keras.training.callbacks import ROWS_ONLY, Chance, Epoch, StepDone
from omi_keras.training.losses import PAPER, Objective

# Compiled by XLA, a step of these takes a sixth to two fifths less of the processor; of the others it takes more.
COMPILED_NETWORKS = ("resnet18",)
# XLA compiles every batch size anew, for 5 to 20 seconds, which this many ECGs in batches of that size pay back.
WORTH_COMPILING = 5000


def tensorflow_epoch(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    pipeline: TrainingPipeline,
    compiled_sizes: frozenset[int],
    objective: Objective = PAPER,
    *,
    dropping: bool = False,
) -> Epoch:
    """A function that trains ``model`` on batches of rows and returns the mean loss over their ECGs.

    Parameters
    ----------
    model
        Its weights are what is trained.
    optimizer
        Built for the model's trainable variables.
    pipeline
        Makes batches of rows into batches of model inputs.
    compiled_sizes
        Batch sizes whose steps XLA compiles.
    objective
        What is minimised.
    dropping
        Whether inputs of the read-out are dropped.
    """
    plain, compiled = (
        training_step(model, optimizer, compiled=compiled, objective=objective, dropping=dropping)
        for compiled in (False, True)
    )

    def epoch(batches: list[np.ndarray], step_done: StepDone, chance: Chance = ROWS_ONLY) -> float:
        inputs = pipeline.epoch(batches, chance.augment) if chance.augment else pipeline.epoch(batches)
        losses = []
        for number, (rows, (x, y)) in enumerate(zip(batches, inputs, strict=True), start=1):
            step = compiled if len(rows) in compiled_sizes else plain
            losses.append(step(x, y, *([chance.kept(number, len(rows))] if chance.kept else [])))
            step_done(number, len(batches))
        # Only now does the host wait for a GPU, which computes while the pipeline reads.
        total = sum(float(loss) * len(rows) for loss, rows in zip(losses, batches, strict=True))
        return total / sum(len(rows) for rows in batches)

    return epoch


def sizes_to_compile(network: str, batches: list[np.ndarray], epochs: int) -> frozenset[int]:
    """The batch sizes that XLA compiles, from the batches of the first epoch: the same for every resumption."""
    if network not in COMPILED_NETWORKS:
        return frozenset()
    steps = Counter(len(rows) for rows in batches)
    return frozenset(size for size, count in steps.items() if size * count * epochs >= WORTH_COMPILING)


def training_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    *,
    compiled: bool,
    objective: Objective = PAPER,
    dropping: bool = False,
) -> Callable[..., Any]:
    """A function of model inputs x (n, …) float32 and y (n,) int32 that takes one step and returns the mean loss.

    With ``dropping`` also of what the read-out keeps, (n, inputs) float32. ``compiled`` by XLA, for every n anew;
    otherwise there is one trace for all n.
    """
    network = fast_form(model) if compiled else training_form(model)
    if dropping:
        network = dropping_inputs(network)
    variables = network.trainable_variables

    def step(x: Any, y: Any, kept: Any = None) -> Any:
        with tf.GradientTape() as tape, keeping(kept):
            loss = objective(y, network(x, training=True))
            scaled = optimizer.scale_loss(loss)
        optimizer.apply(tape.gradient(scaled, variables), variables)
        return loss

    if compiled:
        return tf.function(step, jit_compile=True)
    any_size = [tf.TensorSpec(model.input_shape, tf.float32), tf.TensorSpec((None,), tf.int32)]
    if dropping:
        any_size.append(tf.TensorSpec((None, read_out_inputs(model)), tf.float32))
    return tf.function(step, input_signature=any_size)
