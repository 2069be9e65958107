"""Finished runs → the report that shows how good their models are."""

from omi_keras.report.write import write_report, write_run_page

__all__ = ["write_report", "write_run_page"]
