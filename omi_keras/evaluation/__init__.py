"""Labels and probabilities → numbers: metrics, intervals, tests, calibration, decisions, subgroups, tables."""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from omi_keras.evaluation.bands import describe_bands as describe_bands
    from omi_keras.evaluation.bands import find_bands as find_bands
    from omi_keras.evaluation.bands import rule_in_threshold as rule_in_threshold
    from omi_keras.evaluation.bands import rule_out_threshold as rule_out_threshold
    from omi_keras.evaluation.bootstrap import patient_bootstrap as patient_bootstrap
    from omi_keras.evaluation.calibration import brier_score as brier_score
    from omi_keras.evaluation.calibration import calibration_curve as calibration_curve
    from omi_keras.evaluation.calibration import net_benefit as net_benefit
    from omi_keras.evaluation.comparison import comparisons as comparisons
    from omi_keras.evaluation.comparison import holm as holm
    from omi_keras.evaluation.conformal import conformal_p_values as conformal_p_values
    from omi_keras.evaluation.decisions import decision_table as decision_table
    from omi_keras.evaluation.delong import paired_delong as paired_delong
    from omi_keras.evaluation.finished import FinishedModels as FinishedModels
    from omi_keras.evaluation.metrics import best_f1_threshold as best_f1_threshold
    from omi_keras.evaluation.metrics import operating_point_metrics as operating_point_metrics
    from omi_keras.evaluation.metrics import ranking_metrics as ranking_metrics
    from omi_keras.evaluation.paired_rates import mcnemar_by_patients as mcnemar_by_patients
    from omi_keras.evaluation.subgroups import subgroup_table as subgroup_table
    from omi_keras.evaluation.tables import table4 as table4
    from omi_keras.evaluation.tables import table5 as table5

_HOME = {
    "describe_bands": "omi_keras.evaluation.bands",
    "find_bands": "omi_keras.evaluation.bands",
    "rule_in_threshold": "omi_keras.evaluation.bands",
    "rule_out_threshold": "omi_keras.evaluation.bands",
    "patient_bootstrap": "omi_keras.evaluation.bootstrap",
    "brier_score": "omi_keras.evaluation.calibration",
    "calibration_curve": "omi_keras.evaluation.calibration",
    "net_benefit": "omi_keras.evaluation.calibration",
    "comparisons": "omi_keras.evaluation.comparison",
    "holm": "omi_keras.evaluation.comparison",
    "conformal_p_values": "omi_keras.evaluation.conformal",
    "decision_table": "omi_keras.evaluation.decisions",
    "paired_delong": "omi_keras.evaluation.delong",
    "FinishedModels": "omi_keras.evaluation.finished",
    "best_f1_threshold": "omi_keras.evaluation.metrics",
    "operating_point_metrics": "omi_keras.evaluation.metrics",
    "ranking_metrics": "omi_keras.evaluation.metrics",
    "mcnemar_by_patients": "omi_keras.evaluation.paired_rates",
    "subgroup_table": "omi_keras.evaluation.subgroups",
    "table4": "omi_keras.evaluation.tables",
    "table5": "omi_keras.evaluation.tables",
}
__all__ = [*_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
