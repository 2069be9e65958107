"""One epoch of training steps on JAX, without TensorFlow: batches are picked on the device that computes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from omi_keras.beats.contracts import CONTRACT
from omi_keras.data.batches import read_batch
from omi_keras.models.fast.dropped_inputs import dropping_inputs, keeping
from omi_keras.models.fast.fast_form import fast_form
from omi_keras.models.fast.filled_batches import ignoring_filling, rows_that_count
from omi_keras.training.callbacks import ROWS_ONLY, Chance, Epoch, StepDone
from omi_keras.training.data_parallel import Placement, placement
from omi_keras.training.losses import PAPER, Objective

# JAX compiles every batch size anew: batches are filled up to a multiple of this, and of the number of devices; what
# fills them counts nowhere.
GRAIN = 16
# Model inputs of as many ECGs as this stay on the device (4 GB); of more, each batch is read from the disk.
ON_DEVICE = 200_000


def jax_epoch(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    beats: np.ndarray,
    omi: np.ndarray,
    training: np.ndarray,
    devices: int = 1,
    contract: str = CONTRACT,
    objective: Objective = PAPER,
    *,
    dropping: bool = False,
    augmenting: bool = False,
) -> Epoch:
    """A function that trains ``model`` on batches of rows and returns the mean loss over their ECGs.

    Parameters
    ----------
    model
        Its weights are what is trained.
    optimizer
        Built for the model's trainable variables.
    beats, omi
        (n_ecgs, 12, 600) mV, may be a memory map, and (n_ecgs,) labels 0/1.
    training
        Rows that batches are drawn from.
    devices
        Devices of this machine that share each batch.
    contract
        Input contract of the model.
    objective
        What is minimised.
    dropping
        Whether inputs of the read-out are dropped.
    augmenting
        Whether each batch is another recording of its beats: then it is made on the host.

    Raises
    ------
    InputError
        When there are fewer devices.
    """
    where = placement(devices) if devices > 1 else None
    # A GPU's own library filters minimally itself.
    network = fast_form(model) if jax.default_backend() == "cpu" else model
    network = ignoring_filling(network)
    step = _step(dropping_inputs(network) if dropping else network, optimizer, objective, where)
    grain = math.lcm(GRAIN, devices)
    place = np.full(len(beats), -1)
    place[training] = np.arange(len(training))
    # Read in the order of the disk, in parts: at most one part is twice in memory.
    parts = [part for part in np.array_split(training, 32) if len(part)]
    parts = [] if len(training) > ON_DEVICE or augmenting else parts
    stored = jnp.concatenate([jnp.asarray(read_batch(beats, part, contract)) for part in parts]) if parts else None
    if where and stored is not None:
        stored = where.copied(stored)
    pick = jax.jit(lambda inputs, rows: inputs[rows], out_shardings=where.rows if where else None)

    def epoch(batches: list[np.ndarray], step_done: StepDone, chance: Chance = ROWS_ONLY) -> float:
        state = _state(model, optimizer, where)
        losses = []
        for number, rows in enumerate(batches, start=1):
            filled, counts = _filled(rows, grain)
            if stored is None:
                # What is drawn for a batch is drawn for its own rows.
                augment = functools.partial(chance.augment, number) if chance.augment else None
                x = read_batch(beats, rows, contract, augment)
                x = np.concatenate([x, np.repeat(x[:1], len(filled) - len(rows), axis=0)])
            else:
                x = pick(stored, place[filled])
            batch = [x, omi[filled], counts]
            if chance.kept:
                kept = chance.kept(number, len(rows))
                batch.append(np.concatenate([kept, np.ones((len(filled) - len(rows), kept.shape[1]), np.float32)]))
            state, loss = step(state, *(map(where.divided, batch) if where else batch))
            losses.append(loss * len(rows))
            step_done(number, len(batches))
        # Only now does the host wait for the device.
        total = float(jnp.stack(losses).sum())
        _restore(model, optimizer, state)
        return total / sum(len(rows) for rows in batches)

    return epoch


def _filled(rows: np.ndarray, grain: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows, the first of them repeated up to a multiple of the grain, and 1 where a row counts."""
    size = -(-len(rows) // grain) * grain
    counts = (np.arange(size) < len(rows)).astype(np.float32)
    return np.concatenate([rows, np.repeat(rows[:1], size - len(rows))]), counts


def _step(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    objective: Objective,
    where: Placement | None = None,
) -> Callable[..., Any]:
    def loss(trainable: Any, fixed: Any, slots: Any, x: Any, y: Any, counts: Any, kept: Any = None) -> Any:
        with rows_that_count(counts), keeping(kept):
            logits, fixed = network.stateless_call(trainable, fixed, x, training=True)
        mean = objective(y, logits, counts)
        with keras.StatelessScope(state_mapping=list(zip(optimizer.variables, slots, strict=True))):
            return optimizer.scale_loss(mean), (mean, fixed)

    def step(state: Any, *batch: Any) -> Any:
        trainable, fixed, slots = state
        (_, (mean, fixed)), gradient = jax.value_and_grad(loss, has_aux=True)(trainable, fixed, slots, *batch)
        trainable, slots = optimizer.stateless_apply(slots, gradient, trainable)
        return (trainable, fixed, slots), mean

    return jax.jit(step, donate_argnums=0, out_shardings=where.whole if where else None)


def _state(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, where: Placement | None
) -> tuple[list[Any], list[Any], list[Any]]:
    # Copies, because a step gives the memory of its arguments to its results.
    kinds = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    copies = tuple([jnp.array(variable.value) for variable in kind] for kind in kinds)
    return where.copied(copies) if where else copies  # type: ignore[return-value]


def _restore(model: keras.Model, optimizer: keras.optimizers.Optimizer, state: tuple[list[Any], ...]) -> None:
    kinds = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    for variables, values in zip(kinds, state, strict=True):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
