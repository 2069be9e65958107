"""Train one network on one fold by the paper's protocol (section II.B)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from omi_keras.data.batches import epoch_batches
from omi_keras.evaluation.metrics import ranking_metrics
from omi_keras.models.catalogue import build
from omi_keras.models.inference import cross_entropy, omi_probability, predict_logits
from omi_keras.models.weights.imagenet import start_from_imagenet
from omi_keras.recordings.errors import InputError
from omi_keras.training.callbacks import Epoch, EpochDone, StepDone
from omi_keras.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from omi_keras.training.optimizer import TorchAdam
from omi_keras.training.protocol import Protocol
from omi_keras.training.run import write_history
from omi_keras.training.schedule import Schedule


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
    start: Mapping[str, np.ndarray] | None = None,
    epoch_done: EpochDone = lambda row: None,
    step_done: StepDone = lambda step, steps: None,
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
        ImageNet parameters that a ResNet-18 starts from.
    epoch_done, step_done
        Called with the epoch's row of ``history.csv``, and after each step.

    Returns
    -------
    The model with the weights of the best epoch, and the progress with its history.
    """
    # Weights, and nothing else, come from this seed: batches have their own generator.
    seed = int(np.random.SeedSequence([protocol.seed, fold]).generate_state(1)[0])
    model = build(protocol.model, protocol.precision, seed)
    if start is not None:
        start_from_imagenet(model, start)
    optimizer: keras.optimizers.Optimizer = TorchAdam(protocol.learning_rate)
    if protocol.precision == "mixed_float16":
        # bfloat16 has the range of float32.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    progress = Progress(Schedule(protocol.learning_rate))
    if checkpoint.exists():
        progress = load_checkpoint(checkpoint, model, optimizer, run_id)

    def batches_of(epoch: int) -> list[np.ndarray]:
        rng = np.random.default_rng([protocol.seed, fold, epoch])
        batches = epoch_batches(omi[training], protocol.batch_size, protocol.balance, rng)
        return [training[rows] for rows in batches]

    # What is saved: without an optimizer, whose slots would make the file three times as large, and in float32. It is
    # judged as well, because a network that computes in 16 bits gives other numbers than the one that anybody gets.
    saved = build(protocol.model, "float32")
    train = _epoch(protocol, model, optimizer, beats, omi, training, batches_of(1))
    while progress.epoch < protocol.epochs:
        epoch = progress.epoch + 1
        optimizer.learning_rate = progress.schedule.learning_rate
        batches = batches_of(epoch)
        # Chance may give a small dataset an epoch without any batch.
        loss = train(batches, step_done) if batches else float("nan")
        saved.set_weights(model.get_weights())
        logits = predict_logits(saved, beats, validation)
        if not np.isfinite(logits).all():
            raise InputError(
                f"training diverged in epoch {epoch}: the network no longer gives numbers; lower --learning-rate",
                "diverged",
            )
        found = ranking_metrics(omi[validation], omi_probability(logits))
        row = {
            "epoch": epoch,
            "loss": loss,
            "val_loss": cross_entropy(logits, omi[validation]),
            **{f"val_{name}": found[name] for name in ("auc", "ap", "score")},
            "learning_rate": progress.schedule.learning_rate,
        }
        progress.history.append(row)
        if progress.schedule.see(epoch, found["score"]):
            progress.best_weights = [np.array(weight) for weight in saved.get_weights()]
        save_checkpoint(checkpoint, model, optimizer, progress, run_id)
        # For whoever watches from another process.
        write_history(checkpoint.parent, progress.history)
        epoch_done(row)
    saved.set_weights(progress.best_weights)
    return saved, progress


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
    if keras.backend.backend() == "jax":
        from omi_keras.training.jax_epoch import jax_epoch

        return jax_epoch(model, optimizer, beats, omi, training, protocol.devices)
    from omi_keras.training.tensorflow_epoch import sizes_to_compile, tensorflow_epoch

    sizes = sizes_to_compile(protocol.model, first, protocol.epochs)
    return tensorflow_epoch(model, optimizer, beats, omi, sizes)
