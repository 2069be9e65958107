"""Train one network on one fold by the paper's protocol (section II.B)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from omi_keras.data.augmentation import augmentation
from omi_keras.data.batches import fold_batches
from omi_keras.evaluation.metrics import ranking_metrics
from omi_keras.models.catalogue import build
from omi_keras.models.fast.dropped_inputs import draw_kept, read_out_inputs
from omi_keras.models.inference import cross_entropy, omi_probability, predict_logits
from omi_keras.recordings.errors import InputError
from omi_keras.training.callbacks import Chance, Epoch, EpochDone, StepDone, Told
from omi_keras.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from omi_keras.training.losses import objective
from omi_keras.training.optimizer import TorchAdam
from omi_keras.training.plateau import Plateau, rate_of
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import write_history
from omi_keras.training.schedule import MONITORED
from omi_keras.training.start import Start

# Tells the generator of dropout from those of rows and augmentation.
_DROPOUT = 1


def fit_fold(
    protocol: Protocol,
    fold: int,
    beats: np.ndarray,
    omi: np.ndarray,
    training: np.ndarray,
    validation: np.ndarray,
    checkpoint: Path,
    *,
    run_id: str = "",
    start: Start | None = None,
    epoch_done: EpochDone = lambda row: None,
    step_done: StepDone = lambda step, steps: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> tuple[keras.Model, Progress]:
    """Train, keep the epoch with the best validation score, continue from ``checkpoint`` if it exists.

    Parameters
    ----------
    beats, omi
        (n_ecgs, 12, 600) float32 mV and (n_ecgs,) labels of the whole dataset.
    training, validation
        Rows of the two parts.
    checkpoint
        File written after each epoch.
    run_id
        Which run a checkpoint must belong to.
    start
        Puts the parameters that training starts from into the new network, instead of those that the seed gives.
    epoch_done, step_done
        Called with the epoch's row of ``history.csv``, and after each step.
    callbacks
        Called as :class:`omi_keras.training.callbacks.Told` says. One that sets ``model.stop_training`` ends the fold
        after the epoch, for good. What they do to weights and learning rate is in the checkpoint, what they themselves
        remember is not.

    Returns
    -------
    The model with the weights of the best epoch, and the progress with its history.
    """
    # Weights, and nothing else, come from this seed: batches have their own generator.
    seed = int(np.random.SeedSequence([protocol.seed, fold]).generate_state(1)[0])
    model = build(protocol.model, protocol.precision, seed, protocol.input)
    if start is not None:
        start(model)
    optimizer: keras.optimizers.Optimizer = TorchAdam(protocol.learning_rate, protocol.weight_decay)
    if protocol.precision == "mixed_float16":
        # bfloat16 has the range of float32.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    # Where callbacks look for it. Not by compile, which imports TensorFlow on JAX.
    model.optimizer = optimizer
    progress = load_checkpoint(checkpoint, model, optimizer, run_id) if checkpoint.exists() else Progress()

    def batches_of(epoch: int) -> list[np.ndarray]:
        return fold_batches(
            omi, training, fold, epoch,
            seed=protocol.seed, batch_size=protocol.batch_size, balance=protocol.balance,
        )  # fmt: skip

    def chance(epoch: int) -> Chance:
        def kept(batch: int, ecgs: int) -> np.ndarray:
            rng = np.random.default_rng([protocol.seed, fold, epoch, batch, _DROPOUT])
            return draw_kept(rng, ecgs, read_out_inputs(model), protocol.dropout)

        augment = augmentation(protocol.augment, protocol.seed, fold, epoch)
        return Chance(augment, kept if protocol.dropout else None)

    column, mode = MONITORED[protocol.monitor]
    plateau = Plateau(column, mode, rate=protocol.learning_rate) if protocol.schedule == "plateau" else None
    if plateau is not None and progress.plateau is not None:
        plateau.restore(progress.plateau)

    def save() -> None:
        progress.plateau = plateau.counters() if plateau is not None else None
        save_checkpoint(checkpoint, model, optimizer, progress, run_id)
        # For whoever watches from another process.
        write_history(checkpoint.parent, progress.history)

    # What is saved: without an optimizer, whose slots would make the file three times as large, and in float32. It is
    # judged as well, because a network that computes in 16 bits gives other numbers than the one that anybody gets.
    saved = build(protocol.model, contract=protocol.input)
    first = batches_of(1)
    train = _epoch(protocol, model, optimizer, beats, omi, training, first)
    own = [] if plateau is None else [plateau]
    told = Told(model, own, save, callbacks, epochs=protocol.epochs, steps=len(first), verbose=0, fold=fold)
    unfinished = progress.epoch < protocol.epochs and not progress.stopped
    if unfinished:
        model.stop_training = False
        told.begin()
    while progress.epoch < protocol.epochs and not progress.stopped:
        epoch = progress.epoch + 1
        told.epoch_begins(epoch)
        rate = rate_of(optimizer, protocol.learning_rate if plateau is None else plateau.rate)
        batches = batches_of(epoch)
        # Chance may give a small dataset an epoch without any batch.
        loss = train(batches, told.steps(step_done), chance(epoch)) if batches else float("nan")
        saved.set_weights(model.get_weights())
        row = {"epoch": epoch, "loss": loss, **_judged(protocol, saved, beats, omi, validation, epoch)}
        row["learning_rate"] = rate
        progress.history.append(row)
        if progress.best.see(epoch, row[column], mode):
            progress.best_weights = [np.array(weight) for weight in saved.get_weights()]
        waited = epoch - progress.best.epoch
        progress.stopped = protocol.stop_after is not None and waited >= protocol.stop_after
        told.epoch_ends(epoch, row)
        if callbacks:
            # They may have changed the rate or the weights, or ended the fold.
            progress.stopped |= bool(model.stop_training)
            save()
        epoch_done(row)
    if unfinished:
        told.end(progress.history[-1])
    saved.set_weights(progress.best_weights)
    return saved, progress


def _judged(
    protocol: Protocol, network: keras.Model, beats: np.ndarray, omi: np.ndarray, validation: np.ndarray, epoch: int
) -> dict[str, float]:
    """What the validation part says of the network: the ``val_`` columns of ``history.csv``."""
    logits = predict_logits(network, beats, validation, contract=protocol.input)
    if not np.isfinite(logits).all():
        raise InputError(
            f"training diverged in epoch {epoch}: the network no longer gives numbers; lower --learning-rate",
            "diverged",
        )
    found = ranking_metrics(omi[validation], omi_probability(logits))
    row = {"val_loss": cross_entropy(logits, omi[validation])}
    row |= {f"val_{name}": found[name] for name in ("auc", "ap", "score")}
    if protocol.monitor == "loss":
        row["val_weighted_loss"] = class_weighted_loss(logits, omi[validation])
    return row


def class_weighted_loss(logits: np.ndarray, omi: np.ndarray) -> float:
    """Cross-entropy in which each class counts as much as the other, however many ECGs it has."""
    return float(np.mean([cross_entropy(logits[omi == label], omi[omi == label]) for label in np.unique(omi)]))


def _epoch(
    protocol: Protocol,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    beats: np.ndarray,
    omi: np.ndarray,
    training: np.ndarray,
    first: list[np.ndarray],
) -> Epoch:
    """The steps of an epoch on the backend at hand; ``first`` are the batches of the first epoch."""
    loss, dropping, augmenting = objective(protocol, omi[training]), protocol.dropout > 0, protocol.augment != "none"
    if keras.backend.backend() == "jax":
        from omi_keras.training.jax_epoch import jax_epoch

        return jax_epoch(
            model, optimizer, beats, omi, training, protocol.devices, protocol.input, loss, dropping=dropping,
            augmenting=augmenting,
        )  # fmt: skip
    from omi_keras.data.pipeline import IN_MEMORY_BYTES, TrainingPipeline
    from omi_keras.training.tensorflow_epoch import sizes_to_compile, tensorflow_epoch

    sizes = sizes_to_compile(protocol.model, first, protocol.epochs)
    pipeline = TrainingPipeline(beats, omi, training, protocol.input, memory=0 if augmenting else IN_MEMORY_BYTES)
    return tensorflow_epoch(model, optimizer, pipeline, sizes, loss, dropping=dropping)
