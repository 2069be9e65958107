"""What decides a fold's training besides its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from omi_keras.beats.contracts import CONTRACT
from omi_keras.data.strengths import Augment
from omi_keras.models.catalogue import LEARNING_RATES, input_for
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.numbers import is_count, is_number

# A command shows the defaults below in its help, and must start without NumPy.
if TYPE_CHECKING:
    from omi_keras.data.batches import Balance
    from omi_keras.models.catalogue import Precision

RateSchedule = Literal["plateau", "constant"]
Monitor = Literal["score", "loss"]
Loss = Literal["plain", "weighted", "focal"]


@dataclass(frozen=True)
class Protocol:
    """The settings of a run, written to ``config.json``; a run is resumed with the same ones only.

    ``Protocol(model)`` is the paper's (section II.B). A random forest takes ``model``, ``seed`` and
    ``training_fraction``; it has no epochs, batches or learning rate, and no backend.

    Examples
    --------
    >>> from omi_keras.training.protocol import Protocol
    >>> Protocol("mayo-alvd").learning_rate
    0.0001
    """

    model: str
    epochs: int = 100
    batch_size: int = 128
    # None: the paper's for the model.
    learning_rate: float = None  # type: ignore[assignment]  # a number from __post_init__ on
    balance: Balance = "batch"
    seed: int = 0
    precision: Precision = "float32"
    # SHA-256 of the ImageNet weights that a ResNet-18 starts from.
    imagenet_sha256: str | None = None
    # Threads of a training process: sums over a batch are divided among them, so that another number rounds otherwise.
    threads: int = 0
    # Keras' backend: another one rounds otherwise, and draws other initial weights. None: no network.
    backend: str | None = "tensorflow"
    # Devices that share each batch, whose sums are then divided among them.
    devices: int = 1
    # As in torch.optim.Adam: so many times each parameter is added to its gradient.
    weight_decay: float = 0.0
    # Whether the rate falls while the monitored number stands still.
    schedule: RateSchedule = "plateau"
    # Epochs without a better monitored number after which a fold ends; None: it has all its epochs.
    stop_after: int | None = None
    # Input contract of the network, one of omi_keras.beats.CONTRACTS.
    input: str = CONTRACT
    # What decides the kept epoch, the rate's fall and the end: the validation score, or the class-weighted loss.
    monitor: Monitor = "score"
    # SHA-256 of the weights of the model that training goes on from.
    start_sha256: str | None = None
    # Beats are shown as other recordings might show them (omi_keras.data.augmentation).
    augment: Augment = "none"
    # Cross-entropy, weighted by class, or focal (omi_keras.training.losses), of labels that are softened so much.
    loss: Loss = "plain"
    label_smoothing: float = 0.0
    # Probability that an input of the read-out is dropped.
    dropout: float = 0.0
    # Share of the training patients that is learned from (omi_keras.training.learning_curves).
    training_fraction: float = 1.0

    def __post_init__(self) -> None:
        """Put the paper's learning rate where none is given, and refuse what is no setting.

        Raises
        ------
        InputError
            When a setting is none.
        """
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", LEARNING_RATES.get(self.model, 0.0))
        choices_of = {"schedule": RateSchedule, "monitor": Monitor, "augment": Augment, "loss": Loss}
        for name, choices in choices_of.items():
            if getattr(self, name) not in get_args(choices):
                self._refuse(name, f"take {' or '.join(get_args(choices))}")
        input_for(self.model, self.input)
        if not (is_number(self.weight_decay) and self.weight_decay >= 0):
            self._refuse("weight_decay", "take a number from 0")
        for name in ("label_smoothing", "dropout"):
            if not (is_number(value := getattr(self, name)) and 0 <= value < 1):
                self._refuse(name, "take a number from 0 to below 1")
        if not (is_number(self.training_fraction) and 0 < self.training_fraction <= 1):
            self._refuse("training_fraction", "take a number above 0 up to 1")
        if self.stop_after is not None and not (is_count(self.stop_after) and self.stop_after > 0):
            self._refuse("stop_after", "take a number of epochs from 1, or None")

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Protocol:
        """The settings that stand in ``config.json``; those that are younger than it are the defaults."""
        return cls(**{field.name: config.get(field.name, field.default) for field in fields(cls)})

    def _refuse(self, name: str, instead: str) -> None:
        raise InputError(f"{name} cannot be {getattr(self, name)!r}: {instead}", "protocol")


# config.json has always had these; the others are younger than some runs, which had the default.
_ALWAYS = ("model", "epochs", "batch_size", "learning_rate", "balance", "seed")


def younger_defaults() -> dict[str, Any]:
    """The settings that a run may be too old to have written down, and what they were."""
    return {field.name: field.default for field in fields(Protocol) if field.name not in _ALWAYS}
