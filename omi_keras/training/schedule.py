"""Which epoch to keep, and when a fold ends (paper section II.B); the rate's fall is :mod:`.plateau`'s."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple


class Monitored(NamedTuple):
    """A number of ``history.csv``, and whether it shall rise or fall."""

    column: str
    mode: Literal["max", "min"]


# By the protocol's ``monitor``. The loss is class-weighted, because OMI are few: each class counts one half.
MONITORED = {"score": Monitored("val_score", "max"), "loss": Monitored("val_weighted_loss", "min")}


@dataclass
class Best:
    """The best epoch so far.

    Attributes
    ----------
    epoch
        Its number, from 1; 0 before the first one. Of equal ones, the first.
    value
        What was monitored there; None while no epoch had a number, of which the first one then is the best.
    """

    epoch: int = 0
    value: float | None = None

    def see(self, epoch: int, value: float, mode: Literal["max", "min"]) -> bool:
        """Take the monitored number of ``epoch``; return whether it is the best so far."""
        if math.isnan(value):
            better = self.epoch == 0
        elif self.value is None:
            better = True
        else:
            better = value > self.value if mode == "max" else value < self.value
        if better:
            self.epoch, self.value = epoch, None if math.isnan(value) else float(value)
        return better
