"""One fold, cross-validation, learning rates, learning curves, resuming, and where it runs."""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from omi_keras.training.cross_validation import cross_validate as cross_validate
    from omi_keras.training.ensemble import ensemble_model as ensemble_model
    from omi_keras.training.learning_curves import learning_curve as learning_curve
    from omi_keras.training.learning_tables import LearningCurve as LearningCurve
    from omi_keras.training.protocol import Protocol as Protocol
    from omi_keras.training.run import FoldResult as FoldResult
    from omi_keras.training.run import Run as Run
    from omi_keras.training.run import load_run as load_run
    from omi_keras.training.search import search_learning_rate as search_learning_rate
    from omi_keras.training.select import select_model as select_model

_HOME = {
    "cross_validate": "omi_keras.training.cross_validation",
    "ensemble_model": "omi_keras.training.ensemble",
    "LearningCurve": "omi_keras.training.learning_tables",
    "learning_curve": "omi_keras.training.learning_curves",
    "Protocol": "omi_keras.training.protocol",
    "FoldResult": "omi_keras.training.run",
    "Run": "omi_keras.training.run",
    "load_run": "omi_keras.training.run",
    "search_learning_rate": "omi_keras.training.search",
    "select_model": "omi_keras.training.select",
}
__all__ = [*_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
