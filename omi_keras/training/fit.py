"""Train one network on one fold by the paper's protocol (section II.B)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

from omi_keras.data.batches import epoch_batches, tf_batches
from omi_keras.evaluation.metrics import ranking_metrics
from omi_keras.models.catalogue import build
from omi_keras.models.imagenet import start_from_imagenet
from omi_keras.models.inference import cross_entropy, omi_probability, predict_logits
from omi_keras.models.short_images import without_padded_rows
from omi_keras.signal.errors import InputError
from omi_keras.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from omi_keras.training.optimizer import TorchAdam
from omi_keras.training.protocol import Protocol
from omi_keras.training.schedule import Schedule

EpochDone = Callable[[dict[str, float]], None]
StepDone = Callable[[int, int], None]  # step, steps of this epoch


def fit_fold(
    protocol: Protocol,
    fold: int,
    beats: np.ndarray,
    omi: np.ndarray,
    training: np.ndarray,
    validation: np.ndarray,
    checkpoint: Path,
    *,
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
    start
        ImageNet parameters that a ResNet-18 starts from.
    epoch_done, step_done
        Called with the epoch's row of ``history.csv``, and after each step.

    Returns
    -------
    The model with the weights of the best epoch, and the progress with its history.
    """
    # Weights, and nothing else, come from this seed: batches have their own generator.
    keras.utils.set_random_seed(int(np.random.SeedSequence([protocol.seed, fold]).generate_state(1)[0]))
    model = build(protocol.model, "mixed_float16" if protocol.mixed_precision else "float32")
    if start is not None:
        start_from_imagenet(model, start)
    # The same weights, fewer products. Without XLA: it would compile every new batch size, and the paper's balancing
    # makes many; nor does it speed up the temporal networks' steps.
    trained = without_padded_rows(model)
    optimizer = TorchAdam(protocol.learning_rate)
    trained.compile(
        keras.optimizers.LossScaleOptimizer(optimizer) if protocol.mixed_precision else optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    progress = Progress(Schedule(protocol.learning_rate))
    if checkpoint.exists():
        progress = load_checkpoint(checkpoint, trained)
    validation_beats, validation_omi = beats[validation], omi[validation]
    while progress.epoch < protocol.epochs:
        epoch = progress.epoch + 1
        trained.optimizer.learning_rate = progress.schedule.learning_rate
        rng = np.random.default_rng([protocol.seed, fold, epoch])
        batches = epoch_batches(omi[training], protocol.batch_size, protocol.balance, rng)
        loss = _one_epoch(trained, beats, omi, [training[rows] for rows in batches], step_done)
        logits = predict_logits(model, validation_beats)
        if not np.isfinite(logits).all():
            raise InputError(
                f"training diverged in epoch {epoch}: the network no longer gives numbers; lower --learning-rate",
                "diverged",
            )
        found = ranking_metrics(validation_omi, omi_probability(logits))
        row = {
            "epoch": epoch,
            "loss": loss,
            "val_loss": cross_entropy(logits, validation_omi),
            **{f"val_{name}": found[name] for name in ("auc", "ap", "score")},
            "learning_rate": progress.schedule.learning_rate,
        }
        progress.history.append(row)
        if progress.schedule.see(epoch, found["score"]):
            progress.best_weights = [np.array(weight) for weight in model.get_weights()]
        save_checkpoint(checkpoint, trained, progress)
        epoch_done(row)
    # A fresh model has no optimizer, whose slots would make the saved file three times as large, and is in float32.
    best = build(protocol.model, "float32")
    best.set_weights(progress.best_weights)
    return best, progress


def _one_epoch(
    model: keras.Model, beats: np.ndarray, omi: np.ndarray, batches: list[np.ndarray], step_done: StepDone
) -> float:
    """Train on every batch once; return the mean training loss over ECGs, NaN where chance gave no batch."""
    if not batches:
        return float("nan")
    tick = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: step_done(step + 1, len(batches)))
    history = model.fit(tf_batches(beats, omi, batches), verbose=0, shuffle=False, callbacks=[tick])
    return float(history.history["loss"][0])
