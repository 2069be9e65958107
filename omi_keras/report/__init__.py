"""Finished runs, and finished models on new ECGs → the report that shows how good they are."""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from omi_keras.report.judges import judge_of_model as judge_of_model
    from omi_keras.report.judges import open_judges as open_judges
    from omi_keras.report.learning_curve import write_learning_curve as write_learning_curve
    from omi_keras.report.validation import Validation as Validation
    from omi_keras.report.validation import validate as validate
    from omi_keras.report.write import write_report as write_report
    from omi_keras.report.write import write_run_page as write_run_page

_HOME = {
    "judge_of_model": "omi_keras.report.judges",
    "open_judges": "omi_keras.report.judges",
    "Validation": "omi_keras.report.validation",
    "validate": "omi_keras.report.validation",
    "write_learning_curve": "omi_keras.report.learning_curve",
    "write_report": "omi_keras.report.write",
    "write_run_page": "omi_keras.report.write",
}
__all__ = [*_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
