"""Saliency maps of the OMI logit by tf-keras-vis, for many ECGs at a time.

tf-keras-vis is asked for what the paper needs and no more: the absolute gradient per sample, not scaled to 0 … 1
per map (which would change lead contributions only by a factor per ECG, but aggregates and raw maps altogether). The
networks end in bare logits, so nothing has to be replaced at their end.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np

from omi_keras.beats.contracts import CONTRACT
from omi_keras.beats.model_inputs import model_input
from omi_keras.models.ensemble import members_of, one_member
from omi_keras.models.fast.fast_form import fast_form
from omi_keras.models.fast.short_images import without_padded_rows
from omi_keras.recordings.errors import InputError

Method = Literal["gradient", "smoothgrad", "gradcam++"]
METHODS: tuple[Method, ...] = ("gradient", "smoothgrad", "gradcam++")
BATCH_SIZE = 32
# SmoothGrad: maps averaged per ECG, and the noise's share of the ECG's range (Smilkov et al. 2017: 10 to 20 %). Maps
# of two seeds, of six simulated OMI of an ECG-SMART-NET trained on such: Pearson's correlation is at least 0.93 with
# 32 samples, 0.966 with 64, 0.982 with 128, 0.992 with 256, and of their means over 40 ms 0.999 with 256.
SMOOTH_SAMPLES, SMOOTH_NOISE = 256, 0.15
# From how many ECGs on compiling pays.
COMPILED_FROM = {"gradient": BATCH_SIZE, "smoothgrad": 8}
# The deepest layer of each network that still has twelve rows, one per lead.
LEADS_KEPT = {
    "ecg_smart_net": "layer4_1_relu2",
    "temporal_resnet18": "layer4_1_relu2",
    "mayo_alvd": "temporal6_relu",
}


# Model inputs (b, 12, 400, 1) and the names of their ECGs → maps (b, 12, 400), or 200 samples of both.
MapFunction = Callable[[np.ndarray, Sequence[str]], np.ndarray]


def saliency_maps(
    model: keras.Model,
    x: np.ndarray,
    method: Method = "gradient",
    *,
    seed: int = 0,
    ecg_ids: Sequence[str] = (),
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Return saliency maps of the OMI logit. The map of an ECG does not depend on the others, nor on their order.

    Parameters
    ----------
    model
        A network with input (batch, 12, 400, 1), or as its input contract has it, and two logits.
    x
        (n, 12, 400) model inputs, or (n, 12, 200) of the contract ``maxabs-200``.
    method
        ``gradient``: |∂ logit / ∂ x|, the paper's (section II.C); ``smoothgrad``: its mean over
        :data:`SMOOTH_SAMPLES` noisy copies; ``gradcam++``: the deepest features that still have a row per lead,
        weighted by their gradients and stretched to the length of ``x``; of an ensemble, the mean of its members' maps.
        ResNet-18 mixes the leads from its first layer on and has no such features.
    seed, ecg_ids
        Of SmoothGrad's noise: each ECG has its own, drawn from the seed and the ECG's name. Only SmoothGrad needs
        the names.
    tick
        Called with (done, total) after each batch.

    Returns
    -------
    ndarray
        float32 ≥ 0, in the shape of ``x``.

    Raises
    ------
    InputError
        When Keras runs on another backend than TensorFlow, which tf-keras-vis needs, or the method makes no sense
        for the network.
    ValueError
        When SmoothGrad is asked for and there is not one name per ECG.
    """
    compute = map_function(model, method, seed, compiled=len(x) >= COMPILED_FROM.get(method, len(x) + 1))
    # SmoothGrad makes batches of one ECG's copies.
    size = 1 if method == "smoothgrad" else min(BATCH_SIZE, len(x))
    maps = np.empty(x.shape, np.float32)
    for start in range(0, len(x), size or 1):
        batch = x[start : start + size]
        # One size of batch, because each is compiled anew.
        full = np.zeros((size, *x.shape[1:], 1), np.float32)
        full[: len(batch), ..., 0] = batch
        maps[start : start + len(batch)] = compute(full, ecg_ids[start : start + size])[: len(batch)]
        tick(start + len(batch), len(x))
    return maps


def map_function(model: keras.Model, method: Method, seed: int = 0, *, compiled: bool = False) -> MapFunction:
    """Return a function that makes maps, to be used again as the weights change.

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
    fast = tf.function(lambda x: vanilla(_omi, x, **options), jit_compile=True) if compiled else None

    def gradient(x: np.ndarray, ecg_ids: Sequence[str] = ()) -> np.ndarray:
        return np.asarray(fast(tf.constant(x)) if fast else vanilla(_omi, x, **options))[..., 0]

    if method == "gradient":
        return gradient

    def smooth(x: np.ndarray, ecg_ids: Sequence[str]) -> np.ndarray:
        return np.stack([_smooth(gradient, one, _noise(seed, name)) for one, name in zip(x, ecg_ids, strict=True)])

    return smooth


def _noise(seed: int, ecg_id: str) -> np.random.Generator:
    """The source of an ECG's noise. Python's own hash of a text differs from process to process."""
    digest = hashlib.sha256(ecg_id.encode("utf-8", "surrogateescape")).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, "<u4").tolist()])


def _smooth(gradient: MapFunction, x: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """Mean of tf-keras-vis' gradients over noisy copies of one ECG (12, samples, 1), whose noise we draw.

    Its own SmoothGrad draws the noise of all ECGs of a batch from one generator, so that the map of an ECG would
    change with its neighbours.
    """
    sigma = SMOOTH_NOISE * (x.max() - x.min())
    total = np.zeros(x.shape[:2])
    for start in range(0, SMOOTH_SAMPLES, BATCH_SIZE):
        copies = x + noise.normal(0.0, sigma, (BATCH_SIZE, *x.shape))
        # Whole batches, of which the last may be needed in part.
        found = gradient(copies.astype(np.float32), ())
        total += found[: SMOOTH_SAMPLES - start].sum(axis=0, dtype=np.float64)
    return (total / SMOOTH_SAMPLES).astype(np.float32)


def inputs_of(beats: np.ndarray, contract: str = CONTRACT) -> np.ndarray:
    """Return model inputs (n, 12, 400 or 200) of median beats (n, 12, 600) in mV, by the model's input contract."""
    return model_input(beats, contract).astype(np.float32)


def _gradcam(model: keras.Model) -> MapFunction:
    if model.name not in LEADS_KEPT:
        raise InputError(
            f"gradcam++ needs features that keep the leads apart, and {model.name} mixes them from its first layer on; "
            "use --method gradient or smoothgrad",
            "no_such_method",
        )
    if (members := members_of(model)) > 1:
        of_each = [_gradcam(one_member(model, number)) for number in range(members)]

        def mean(x: np.ndarray, ecg_ids: Sequence[str] = ()) -> np.ndarray:
            return np.asarray(np.mean([compute(x, ecg_ids) for compute in of_each], axis=0))

        return mean
    with _Quiet():
        from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    vis = GradcamPlusPlus(keras.Model(list(model.inputs), list(model.outputs)))
    layer = LEADS_KEPT[model.name]

    def compute(x: np.ndarray, ecg_ids: Sequence[str] = ()) -> np.ndarray:
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
