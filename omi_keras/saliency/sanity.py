"""Does a saliency map depend on what the network has learned? Randomise its weights and see the map go.

Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018: cascading randomisation from the read-out to the first
layer. A method whose maps survive it shows the input, not the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import pandas as pd
from scipy.stats import rankdata

from omi_keras.models.ensemble import own_name
from omi_keras.saliency.maps import Method, map_function

# With all weights random, a map may agree with the learned one in rank by no more than this.
DESTROYED_BELOW = 0.5
COLUMNS = ("step", "layer", "rank_correlation", "sd", "ecgs")


def cascading_randomisation(
    model: keras.Model,
    x: np.ndarray,
    method: Method = "gradient",
    *,
    seed: int = 0,
    ecg_ids: Sequence[str] = (),
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Return how the maps change as the weights are drawn anew, layer by layer from the read-out down.

    Convolutions and linear layers get new uniform weights in ±1/√fan_in as before training; a batch normalisation is
    reset together with the layer that it follows. The model is as it was when this returns.

    Parameters
    ----------
    model
        A network.
    x
        (n, 12, 400) model inputs, or (n, 12, 200) of ``maxabs-200``.
    method, seed, ecg_ids, tick
        See :func:`~omi_keras.saliency.maps.saliency_maps`; ``seed`` also draws the weights, ``tick`` counts layers.

    Returns
    -------
    DataFrame
        ``step`` (0: nothing random), ``layer`` randomised at this step, ``rank_correlation`` (Spearman's between the
        map now and the learned one, mean over ECGs), ``sd`` over ECGs, ``ecgs``. NaN where a map is constant.
    """
    # Hundreds of gradients an ECG and layer are worth compiling.
    compute = map_function(model, method, seed, compiled=method == "smoothgrad")
    batch = x[..., None].astype(np.float32)
    learned = _ranks(compute(batch, ecg_ids))
    saved = [np.array(weight) for weight in model.get_weights()]
    rng = np.random.default_rng(seed)
    groups = list(_groups(model))
    rows = [_row(0, "none", np.ones(len(x)))]
    try:
        for step, layers in enumerate(groups, start=1):
            for layer in layers:
                _randomise(layer, rng)
            rows.append(_row(step, own_name(layers[-1].name), _correlations(learned, _ranks(compute(batch, ecg_ids)))))
            tick(step, len(groups))
    finally:
        model.set_weights(saved)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def destroyed(table: pd.DataFrame) -> bool:
    """Whether the maps of an all-random network no longer agree with the learned ones; undefined counts as gone."""
    last = float(table["rank_correlation"].iloc[-1])
    return not abs(last) >= DESTROYED_BELOW


def _groups(model: keras.Model) -> Iterator[list[keras.Layer]]:
    """Layers with weights from the output to the input; batch normalisations with the layer before them.

    A layer of an ensemble is that of all its members.
    """
    alike: dict[str, list[keras.Layer]] = {}
    for layer in model.layers:
        alike.setdefault(own_name(layer.name), []).append(layer)
    waiting: list[keras.Layer] = []
    for layers in reversed(alike.values()):
        if isinstance(layers[0], keras.layers.BatchNormalization):
            waiting += layers
        elif layers[0].weights:
            yield [*waiting, *layers]
            waiting = []


def _randomise(layer: keras.Layer, rng: np.random.Generator) -> None:
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.set_weights(
            [np.full(w.shape, w.path.endswith(("gamma", "moving_variance")), float) for w in layer.weights]
        )
        return
    bound = np.prod(layer.kernel.shape[:-1]) ** -0.5
    layer.set_weights([rng.uniform(-bound, bound, weight.shape) for weight in layer.weights])


def _ranks(maps: np.ndarray) -> np.ndarray:
    """(n, leads × samples) ranks within each map, centred and of length 1; NaN for a constant map."""
    ranks = rankdata(maps.reshape(len(maps), -1), axis=1)
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, length, out=np.full(centred.shape, np.nan), where=length > 0)


def _correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1)


def _row(step: int, layer: str, found: np.ndarray) -> dict[str, object]:
    return {
        "step": step,
        "layer": layer,
        "rank_correlation": float(found.mean()),
        "sd": float(found.std(ddof=1)) if found.size > 1 else np.nan,
        "ecgs": found.size,
    }
