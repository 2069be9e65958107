"""How the maps of a network change when its weights are taken away."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from omi_keras.drawing.curves import finish
from omi_keras.drawing.figures import single, with_title
from omi_keras.saliency.sanity import DESTROYED_BELOW


def sanity_figure(layers: list[str], correlation: np.ndarray, sd: np.ndarray, simulated: bool) -> Figure:
    """Draw rank correlation with the learned map against the layers that are random.

    Parameters
    ----------
    layers
        Names, from nothing random to everything.
    correlation, sd
        (k,) mean and SD over ECGs.
    """

    def draw(axes) -> None:  # type: ignore[no-untyped-def]
        place = np.arange(len(layers))
        axes.plot(place, correlation, marker="o", ms=4, color="#0072B2", label="Mean over ECGs")
        axes.fill_between(place, correlation - sd, correlation + sd, color="#0072B2", alpha=0.15, lw=0, label="± 1 SD")
        axes.axhline(DESTROYED_BELOW, color="0.5", ls=":", lw=1.2, label="Destroyed, if the last point is below")
        axes.set_xticks(place, layers, rotation=90, fontsize=7)
        axes.set_ylim(min(-0.25, float(np.nanmin(correlation - sd, initial=0)) - 0.05), 1.05)
        finish(axes, "Map with weights at random", "Random from the read-out down to", "Rank correlation")

    return with_title(single(draw), "Sanity of the maps", simulated)
