"""Colours of pictures of ECGs, told apart by everybody and in grey."""

from __future__ import annotations

import numpy as np

INK, SOFT, FAINT = "#111111", "#555555", "#999999"
GRID_SMALL, GRID_LARGE = "#fadfdb", "#efb6ae"
# Okabe and Ito's vermilion and blue: raised is filled and dark, lowered is hollow where colour alone would tell.
RAISED, LOWERED = "#b8440a", "#0072b2"
MARK = "#0072b2"
# The paper's: bright yellow → dark red; in grey, light → dark.
SALIENCY = ("#ffe500", "#ffb000", "#f2600c", "#c41200", "#6b0000")


def saliency_colour(level: float) -> str:
    """Colour of a saliency between 0 and 1."""
    stops = np.array([[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in SALIENCY], dtype=float)
    place = np.clip(level, 0.0, 1.0) * (len(stops) - 1)
    red, green, blue = (round(float(np.interp(place, np.arange(len(stops)), stops[:, k]))) for k in range(3))
    return f"#{red:02x}{green:02x}{blue:02x}"
