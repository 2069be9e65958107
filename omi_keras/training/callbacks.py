"""What training calls while it works: functions of ours, and Keras callbacks of anybody's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from omi_keras.data.augmentation import Augmentation
from omi_keras.recordings.errors import InputError

EpochDone = Callable[[dict[str, float]], None]  # the epoch's row of history.csv
StepDone = Callable[[int, int], None]  # step, steps of this epoch


@dataclass(frozen=True)
class Chance:
    """What an epoch draws besides its rows, a function of seed, fold, epoch and batch.

    Attributes
    ----------
    augment
        Number of a batch, from 1, and its beats (n, 12, 600) → what is trained on; None: the beats.
    kept
        Number of a batch and of its ECGs → :func:`omi_keras.models.fast.dropped_inputs.draw_kept`; None: everything.
    """

    augment: Augmentation | None = None
    kept: Callable[[int, int], np.ndarray] | None = None


ROWS_ONLY = Chance()
# Train on batches of rows; return the mean loss over their ECGs.
Epoch = Callable[[list[np.ndarray], StepDone, Chance], float]

_OF_STEPS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


class Told:
    """The Keras callbacks of one fold's training, called on both backends as ``keras.Model.fit`` calls them.

    At the end of an epoch first the protocol's own, then ``save``, then the user's. A user's callback therefore hears
    of an epoch when that is safe on disk: interrupted and resumed, none is told an epoch twice, and one that was saved
    in the moment of the interruption is told never (``history.csv`` has it).

    Parameters
    ----------
    model
        The network that is trained, with its optimizer as ``model.optimizer``.
    own, users
        Callbacks of the protocol and of the user.
    save
        Writes the checkpoint.
    params
        What callbacks find in ``self.params``.

    Raises
    ------
    InputError
        When one of the user's is no Keras callback.
    """

    def __init__(
        self,
        model: keras.Model,
        own: Sequence[keras.callbacks.Callback],
        save: Callable[[], None],
        users: Sequence[keras.callbacks.Callback],
        **params: Any,
    ) -> None:
        check_callbacks(users)
        saving = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: save())
        self._list = keras.callbacks.CallbackList([*own, saving, *users], model=model, **params)
        # Steps are told only to who listens: a step of 18 ECGs takes a few milliseconds.
        self._steps = any(_overrides(callback, name) for callback in users for name in _OF_STEPS)

    def begin(self) -> None:
        """Training begins, or goes on."""
        self._list.on_train_begin({})

    def epoch_begins(self, epoch: int) -> None:
        """Epoch ``epoch``, from 1, begins: for Keras it is number ``epoch`` − 1."""
        self._list.on_epoch_begin(epoch - 1, {})

    def epoch_ends(self, epoch: int, row: dict[str, float]) -> None:
        """Epoch ``epoch`` has this row of ``history.csv``."""
        self._list.on_epoch_end(epoch - 1, {name: value for name, value in row.items() if name != "epoch"})

    def end(self, row: dict[str, float]) -> None:
        """Training has ended with this row."""
        self._list.on_train_end({name: value for name, value in row.items() if name != "epoch"})

    def steps(self, step_done: StepDone) -> StepDone:
        """What an epoch calls after each step: ``step_done``, and whoever listens to steps.

        Their logs are empty, because who reads a loss waits for the device that computes it.
        """
        if not self._steps:
            return step_done

        def told(step: int, steps: int) -> None:
            step_done(step, steps)
            self._list.on_train_batch_end(step - 1, {})
            if step < steps:
                self._list.on_train_batch_begin(step, {})

        self._list.on_train_batch_begin(0, {})
        return told


def check_callbacks(callbacks: Any) -> None:
    """Raise InputError unless all are Keras callbacks."""
    if not isinstance(callbacks, Sequence):
        raise InputError(
            f"callbacks is a {type(callbacks).__name__}; give a list of keras.callbacks.Callback", "callbacks"
        )
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise InputError(
                f"callbacks has a {getattr(callback, '__name__', type(callback).__name__)}, which is no "
                f"keras.callbacks.Callback object",
                "callbacks",
            )


def _overrides(callback: keras.callbacks.Callback, name: str) -> bool:
    return getattr(getattr(callback, name), "__func__", None) is not getattr(keras.callbacks.Callback, name)
