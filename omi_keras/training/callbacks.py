"""What training calls while it works."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

EpochDone = Callable[[dict[str, float]], None]  # the epoch's row of history.csv
StepDone = Callable[[int, int], None]  # step, steps of this epoch
# Train on batches of rows; return the mean loss over their ECGs.
Epoch = Callable[[list[np.ndarray], StepDone], float]
