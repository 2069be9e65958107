"""PyTorch's and ImageNet's weights → Keras."""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from omi_keras.models.weights.imagenet import read_imagenet_weights as read_imagenet_weights
    from omi_keras.models.weights.imagenet import start_from_imagenet as start_from_imagenet
    from omi_keras.models.weights.torch_checkpoint import read_checkpoint as read_checkpoint
    from omi_keras.models.weights.torch_weights import load_torch_parameters as load_torch_parameters

_HOME = {
    "read_imagenet_weights": "omi_keras.models.weights.imagenet",
    "start_from_imagenet": "omi_keras.models.weights.imagenet",
    "read_checkpoint": "omi_keras.models.weights.torch_checkpoint",
    "load_torch_parameters": "omi_keras.models.weights.torch_weights",
}
__all__ = [*_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
