"""What a network looks at: maps, contributions, sanity check, pointing game."""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from omi_keras.saliency.contributions import lead_contribution as lead_contribution
    from omi_keras.saliency.maps import saliency_maps as saliency_maps
    from omi_keras.saliency.pointing import pointing_game as pointing_game
    from omi_keras.saliency.sanity import cascading_randomisation as cascading_randomisation
    from omi_keras.saliency.write import write_saliency as write_saliency

_HOME = {
    "lead_contribution": "omi_keras.saliency.contributions",
    "saliency_maps": "omi_keras.saliency.maps",
    "pointing_game": "omi_keras.saliency.pointing",
    "cascading_randomisation": "omi_keras.saliency.sanity",
    "write_saliency": "omi_keras.saliency.write",
}
__all__ = [*_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
