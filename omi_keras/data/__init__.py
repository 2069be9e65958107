"""Labels and recordings → dataset on disk → folds → batches."""

from typing import TYPE_CHECKING

from omi_keras.lazy import names_of

if TYPE_CHECKING:
    from omi_keras.data.batches import epoch_batches as epoch_batches
    from omi_keras.data.dataset import Dataset as Dataset
    from omi_keras.data.dataset import load_dataset as load_dataset
    from omi_keras.data.folds import assign_folds as assign_folds
    from omi_keras.data.folds import rotation as rotation
    from omi_keras.data.labels import read_labels as read_labels
    from omi_keras.data.prepare import prepare_cohort as prepare_cohort
    from omi_keras.data.prepare import prepare_records as prepare_records
    from omi_keras.data.writer import DatasetWriter as DatasetWriter

_HOME = {
    "epoch_batches": "omi_keras.data.batches",
    "Dataset": "omi_keras.data.dataset",
    "DatasetWriter": "omi_keras.data.writer",
    "load_dataset": "omi_keras.data.dataset",
    "assign_folds": "omi_keras.data.folds",
    "rotation": "omi_keras.data.folds",
    "read_labels": "omi_keras.data.labels",
    "prepare_cohort": "omi_keras.data.prepare",
    "prepare_records": "omi_keras.data.prepare",
}
__all__ = [*_HOME]
__getattr__, __dir__ = names_of(__name__, _HOME)
