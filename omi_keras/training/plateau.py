"""The learning rate falls while the validation score stands still (paper section II.B)."""

from __future__ import annotations

import math
import operator
from typing import Any, Literal

import keras
import numpy as np

FACTOR = 0.8
PATIENCE = 3


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Keras' ``ReduceLROnPlateau`` with counters that a checkpoint holds.

    Keras' own forgets what it has seen whenever training begins, so that a resumed run would be another one. Scores are
    compared as Python's numbers, not in 32 bits, and a score that is no number is never the best. The rate falls in 64
    bits, too, and the optimizer gets it rounded to its 32: otherwise roundings would add up.

    Parameters
    ----------
    monitor
        What is looked at in the logs of an epoch.
    mode
        Whether it shall rise or fall.
    factor, patience
        The rate is multiplied by ``factor`` after ``patience`` epochs without a better score.
    rate
        The rate that training begins with; None: the optimizer's.

    Examples
    --------
    >>> from omi_keras.training.plateau import Plateau
    >>> plateau = Plateau()
    >>> plateau.restore({"best": 0.71, "wait": 2, "cooldown_counter": 0, "rate": 8e-06})
    >>> plateau.on_train_begin()
    >>> plateau.counters()
    {'best': 0.71, 'wait': 2, 'cooldown_counter': 0, 'rate': 8e-06}
    """

    def __init__(
        self,
        monitor: str = "val_score",
        mode: Literal["max", "min"] = "max",
        factor: float = FACTOR,
        patience: int = PATIENCE,
        rate: float | None = None,
    ) -> None:
        super().__init__(monitor, factor=factor, patience=patience, mode=mode, min_delta=0.0)
        self.monitor_op = operator.gt if mode == "max" else operator.lt
        self.rate = rate
        best = -math.inf if mode == "max" else math.inf
        self.restore({"best": best, "wait": 0, "cooldown_counter": 0, "rate": rate})

    def counters(self) -> dict[str, Any]:
        """What must be saved besides the optimizer."""
        return {name: getattr(self, name) for name in self._start}

    def restore(self, counters: dict[str, Any]) -> None:
        """Go on from saved counters when training begins."""
        self._start = counters

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start from the counters that were restored, not from nothing."""
        super().on_train_begin(logs)
        for name, value in self._start.items():
            setattr(self, name, value)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Lower the rate when its time has come."""
        optimizer = self.model.optimizer
        before = self.rate = rate_of(optimizer, self.rate)
        # A copy, because Keras' own writes into logs that others read.
        super().on_epoch_end(epoch, dict(logs or {}))
        if rate_of(optimizer, before) != before:
            self.rate = optimizer.learning_rate = before * self.factor


def rate_of(optimizer: keras.optimizers.Optimizer, known: float | None = None) -> float:
    """The learning rate of an optimizer: ``known`` if that is what its 32 bits were rounded from, else the shortest."""
    rate = np.float32(keras.ops.convert_to_numpy(optimizer.learning_rate))
    return known if known is not None and np.float32(known) == rate else float(str(rate))
