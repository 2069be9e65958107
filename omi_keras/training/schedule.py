"""When to lower the learning rate, and which epoch to keep (paper section II.B)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Schedule:
    """The state of training that depends on validation scores alone.

    The learning rate is multiplied by ``factor`` after ``patience`` epochs without a better score, and the count
    starts anew. The epoch with the best score is the one to keep; of equal scores, the first.
    """

    learning_rate: float
    factor: float = 0.8
    patience: int = 3
    best_score: float = float("-inf")
    best_epoch: int = 0
    waited: int = 0

    def see(self, epoch: int, score: float) -> bool:
        """Take the validation score of ``epoch`` (from 1); return whether it is the best so far."""
        if score > self.best_score:
            self.best_score, self.best_epoch, self.waited = score, epoch, 0
            return True
        self.waited += 1
        if self.waited >= self.patience:
            self.learning_rate *= self.factor
            self.waited = 0
        return False
