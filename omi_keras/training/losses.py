"""What training minimises: cross-entropy, as the paper; weighted by class; focal; labels softened in all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from omi_keras.training.protocol import Protocol

# γ of Lin et al. 2017, Focal loss for dense object detection: what they found best.
FOCUS = 2.0


@dataclass(frozen=True)
class Objective:
    """An ECG's loss is ``−Σ_c q_c w_c (1 − p_c)^γ log p_c``, a batch's ``Σ loss / Σ w`` with w of the ECGs' own labels.

    As in PyTorch, q is ``1 − ε / 2`` for the label and ``ε / 2`` for the other class.

    Attributes
    ----------
    smoothing
        ε.
    focus
        γ; 0: an ECG counts as much when the network is sure of it.
    weights
        w of no OMI and of OMI.
    """

    smoothing: float = 0.0
    focus: float = 0.0
    weights: tuple[float, float] = (1.0, 1.0)

    def __call__(self, y: Any, logits: Any, counts: Any = None) -> Any:
        """Mean loss of labels y (n,) and logits (n, 2); ``counts`` (n,) is 0 for ECGs that fill a batch up."""
        if self == PAPER:
            return _cross_entropy(y, logits, counts)
        log_p = ops.log_softmax(ops.cast(logits, "float32"))
        weights = ops.convert_to_tensor(np.array(self.weights, np.float32))
        label = ops.one_hot(y, 2, dtype="float32")
        aim = label * (1 - self.smoothing) + self.smoothing / 2
        terms = aim * weights * log_p
        if self.focus:
            terms = terms * (1 - ops.exp(log_p)) ** self.focus
        losses, worth = -ops.sum(terms, axis=-1), ops.sum(label * weights, axis=-1)
        if counts is not None:
            losses, worth = losses * counts, worth * counts
        return ops.sum(losses) / ops.sum(worth)


PAPER = Objective()


def objective(protocol: Protocol, omi: np.ndarray) -> Objective:
    """The loss of a protocol for training ECGs of labels ``omi`` (n,) 0/1.

    Weighted, each OMI counts as often as there are others for it among them, so that both classes count the same in
    batches that are not balanced. The authors' later code weighs its validation loss so.
    """
    positive = int(np.sum(omi))
    weights = (1.0, (len(omi) - positive) / positive) if protocol.loss == "weighted" and positive else (1.0, 1.0)
    return Objective(protocol.label_smoothing, FOCUS if protocol.loss == "focal" else 0.0, weights)


def _cross_entropy(y: Any, logits: Any, counts: Any) -> Any:
    if counts is None:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, logits)
    losses = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)(y, logits)
    return (losses * counts).sum() / counts.sum()
