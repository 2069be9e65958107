"""Finished runs → the report that shows how good their models are."""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from omi_keras.report.write import write_report as write_report
    from omi_keras.report.write import write_run_page as write_run_page

_HOME = {"write_report": "omi_keras.report.write", "write_run_page": "omi_keras.report.write"}
__all__ = [*_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
