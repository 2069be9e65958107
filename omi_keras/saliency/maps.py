"""Saliency maps of the OMI logit by tf-keras-vis, for many ECGs at a time.

tf-keras-vis is asked for what the paper needs and no more: the absolute gradient per sample, not scaled to 0 … 1
per map (which would change lead contributions only by a factor per ECG, but aggregates and raw maps altogether). The
networks end in bare logits, so nothing has to be replaced at their end.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np

from omi_keras.beats.model_inputs import model_input
from omi_keras.models.fast.fast_form import fast_form
from omi_keras.models.fast.short_images import without_padded_rows
from omi_keras.recordings.errors import InputError

Method = Literal["gradient", "smoothgrad", "gradcam++"]
METHODS: tuple[Method, ...] = ("gradient", "smoothgrad", "gradcam++")
BATCH_SIZE = 32
# SmoothGrad: maps averaged per ECG, and the noise's share of the ECG's range (Smilkov et al. 2017: 10 to 20 %).
SMOOTH_SAMPLES, SMOOTH_NOISE = 25, 0.15
# The deepest layer of each network that still has twelve rows, one per lead.
LEADS_KEPT = {
    "ecg_smart_net": "layer4_1_relu2",
    "temporal_resnet18": "layer4_1_relu2",
    "mayo_alvd": "temporal6_relu",
}


def saliency_maps(
    model: keras.Model,
    x: np.ndarray,
    method: Method = "gradient",
    *,
    seed: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Return saliency maps of the OMI logit.

    Parameters
    ----------
    model
        A network with input (batch, 12, 400, 1) and two logits.
    x
        (n, 12, 400) model inputs.
    method
        ``gradient``: |∂ logit / ∂ x|, the paper's (section II.C); ``smoothgrad``: its mean over 25 noisy copies;
        ``gradcam++``: the deepest features that still have a row per lead, weighted by their gradients and stretched
        to 400 samples. ResNet-18 mixes the leads from its first layer on and has no such features.
    seed
        Of SmoothGrad's noise.
    tick
        Called with (done, total) after each batch.

    Returns
    -------
    ndarray
        (n, 12, 400) float32 ≥ 0.

    Raises
    ------
    InputError
        When Keras runs on another backend than TensorFlow, which tf-keras-vis needs, or the method makes no sense
        for the network.
    """
    compute = map_function(model, method, seed, compiled=len(x) >= BATCH_SIZE)
    maps = np.empty(x.shape, np.float32)
    for start in range(0, len(x), BATCH_SIZE):
        batch = x[start : start + BATCH_SIZE]
        # One size of batch, because each is compiled anew.
        full = np.zeros((min(BATCH_SIZE, len(x)), *x.shape[1:], 1), np.float32)
        full[: len(batch), ..., 0] = batch
        maps[start : start + len(batch)] = compute(full)[: len(batch)]
        tick(start + len(batch), len(x))
    return maps


def map_function(
    model: keras.Model, method: Method, seed: int = 0, *, compiled: bool = False
) -> Callable[[np.ndarray], np.ndarray]:
    """Return model inputs (b, 12, 400, 1) → maps (b, 12, 400), to be used again as the weights change.

    ``compiled`` by XLA, gradients are twice as fast; it takes seconds for each size of batch, so for many ECGs only.

    Raises
    ------
    InputError
        See :func:`saliency_maps`.
    """
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"saliency needs Keras on TensorFlow, received {keras.backend.backend()}; set KERAS_BACKEND=tensorflow",
            "wrong_backend",
        )
    if method == "gradcam++":
        return _gradcam(model)
    with _Quiet():
        from tf_keras_vis.saliency import Saliency
    import tensorflow as tf

    options = {"keepdims": True, "normalize_map": False}
    # The same function with the same weights; tf-keras-vis hands its inputs over as a list.
    twin = fast_form(model) if compiled else without_padded_rows(model)
    vanilla = Saliency(keras.Model(list(twin.inputs), twin.outputs[0]))
    if method == "gradient":
        gradient = tf.function(lambda x: vanilla(_omi, x, **options), jit_compile=True) if compiled else None
        return lambda x: np.asarray(gradient(tf.constant(x)) if gradient else vanilla(_omi, x, **options))[..., 0]

    # tf-keras-vis draws its noise from NumPy's global generator.
    state = np.random.RandomState(seed).get_state()

    def smooth(x: np.ndarray) -> np.ndarray:
        nonlocal state
        before = np.random.get_state()  # noqa: NPY002
        np.random.set_state(state)  # noqa: NPY002
        try:
            found = vanilla(_omi, x, smooth_samples=SMOOTH_SAMPLES, smooth_noise=SMOOTH_NOISE, **options)
        finally:
            state = np.random.get_state()  # noqa: NPY002
            np.random.set_state(before)  # noqa: NPY002
        return np.asarray(found)[..., 0]

    return smooth


def inputs_of(beats: np.ndarray) -> np.ndarray:
    """Return model inputs (n, 12, 400) of median beats (n, 12, 600) in mV."""
    return model_input(beats).astype(np.float32)


def _gradcam(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    if model.name not in LEADS_KEPT:
        raise InputError(
            f"gradcam++ needs features that keep the leads apart, and {model.name} mixes them from its first layer on; "
            "use --method gradient or smoothgrad",
            "no_such_method",
        )
    with _Quiet():
        from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    vis = GradcamPlusPlus(keras.Model(list(model.inputs), list(model.outputs)))
    layer = LEADS_KEPT[model.name]

    def compute(x: np.ndarray) -> np.ndarray:
        with _Quiet():
            found = vis(
                _omi, x, penultimate_layer=layer, seek_penultimate_conv_layer=False, normalize_cam=False
            )  # fmt: skip
        return np.asarray(found)

    return compute


def _omi(logits: Any) -> Any:
    """The score that is explained: the OMI logit of each ECG."""
    return logits[:, 1]


class _Quiet(warnings.catch_warnings):
    """tf-keras-vis still imports from SciPy's old places, and hands Keras lists; both work and both warn."""

    def __enter__(self) -> Any:
        entered = super().__enter__()
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="The structure of `inputs`")
        return entered
