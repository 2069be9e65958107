"""Pictures: the ECG, curves, SVG."""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from omi_keras.drawing.ecg_picture_sheet import Picture as Picture
    from omi_keras.drawing.ecg_picture_sheet import ecg_picture as ecg_picture
    from omi_keras.drawing.figures import figure5 as figure5
    from omi_keras.drawing.figures import figure6 as figure6
    from omi_keras.drawing.figures import save_figure as save_figure
    from omi_keras.drawing.plots import save_pictures as save_pictures

_HOME = {
    "Picture": "omi_keras.drawing.ecg_picture_sheet",
    "ecg_picture": "omi_keras.drawing.ecg_picture_sheet",
    "figure5": "omi_keras.drawing.figures",
    "figure6": "omi_keras.drawing.figures",
    "save_figure": "omi_keras.drawing.figures",
    "save_pictures": "omi_keras.drawing.plots",
}
__all__ = [*_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
