"""Everything a fold's training is at the end of an epoch, as one file without code in it."""

from __future__ import annotations

import io
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from omi_keras.data.artifacts import write_bytes
from omi_keras.recordings.errors import InputError
from omi_keras.training.schedule import Best


@dataclass
class Progress:
    """Where a fold's training stands.

    Attributes
    ----------
    best
        The best epoch so far.
    history
        One row per finished epoch, the columns of ``history.csv``.
    best_weights
        Weights of the best epoch so far, in the order of ``model.weights``.
    plateau
        :meth:`omi_keras.training.plateau.Plateau.counters`, or None where the rate does not fall.
    stopped
        Whether the fold ended before it had all its epochs.
    """

    best: Best = field(default_factory=Best)
    history: list[dict[str, float]] = field(default_factory=list)
    best_weights: list[np.ndarray] = field(default_factory=list)
    plateau: dict[str, Any] | None = None
    stopped: bool = False

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.history)


def save_checkpoint(
    path: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer, progress: Progress, run_id: str = ""
) -> None:
    """Write weights, optimizer slots, progress and whose they are. The sampler is seeded by epoch: it has no state."""
    arrays: dict[str, Any] = {}
    for kind, values in _variables(model, optimizer).items():
        arrays |= {f"{kind}/{index}": np.asarray(value) for index, value in enumerate(values)}
    arrays |= {f"best/{index}": value for index, value in enumerate(progress.best_weights)}
    state = {
        "best": asdict(progress.best),
        "history": progress.history,
        "plateau": progress.plateau,
        "stopped": progress.stopped,
        "run": run_id,
    }
    arrays["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def load_checkpoint(
    path: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer, run_id: str = ""
) -> Progress:
    """Read a checkpoint into ``model`` and its ``optimizer``, which must be built, so that its slots exist.

    Raises
    ------
    InputError
        When the file is not a checkpoint of this model, or says that it belongs to another run than ``run_id``.
    """
    try:
        return _read(path, model, optimizer, run_id)
    except _OfAnotherRun:
        raise InputError(
            f"{path} is a checkpoint of another run: of other settings or another dataset; delete it to train the fold "
            f"anew",
            "another_run",
        ) from None
    except Exception as error:  # zip, NumPy, JSON and Keras say it each in their own way
        raise InputError(
            f"{path} is not a checkpoint of this run ({type(error).__name__}); delete it to train the fold anew",
            "unreadable",
        ) from None


class _OfAnotherRun(Exception):
    pass


def _read(path: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer, run_id: str) -> Progress:
    with np.load(path, allow_pickle=False) as arrays:
        state = json.loads(arrays["state"].tobytes())
        # Those of omi-keras 0.1.0 do not say.
        if state.get("run", run_id) != run_id:
            raise _OfAnotherRun
        for kind, variables in _variables(model, optimizer).items():
            for index, variable in enumerate(variables):
                variable.assign(arrays[f"{kind}/{index}"])
        best = [arrays[f"best/{index}"] for index in range(len(model.weights))]
    if "schedule" in state:
        return _of_a_schedule(state, best, optimizer)
    return Progress(Best(**state["best"]), state["history"], best, state["plateau"], state["stopped"])


def _of_a_schedule(
    state: dict[str, Any], best_weights: list[np.ndarray], optimizer: keras.optimizers.Optimizer
) -> Progress:
    """A checkpoint of omi-keras 0.1.0, which kept the next epoch's rate outside the optimizer."""
    before = state["schedule"]
    optimizer.learning_rate = before["learning_rate"]
    score = before["best_score"] if math.isfinite(before["best_score"]) else None
    plateau = {"best": before["best_score"], "wait": before["waited"], "cooldown_counter": 0}
    plateau["rate"] = before["learning_rate"]
    return Progress(Best(before["best_epoch"], score), state["history"], best_weights, plateau)


def _variables(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> dict[str, list[keras.Variable]]:
    return {"weights": model.weights, "optimizer": optimizer.variables}
