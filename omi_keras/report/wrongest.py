"""The ECGs on which a model was most wrong, or the label is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from omi_keras.evaluation.comparison import FoldTest

if TYPE_CHECKING:
    from omi_keras.report.findings import Findings

WRONGEST = 5


def most_wrong(judged: Findings) -> pd.DataFrame:
    """Return :func:`wrongest` of the test ECGs of the selected fold."""
    known = None if judged.data[0] is None else judged.facts
    return wrongest(judged.tests[judged.chosen.model][judged.best.fold], known)


def wrongest(test: FoldTest, facts_of: Callable[[np.ndarray], pd.DataFrame] | None) -> pd.DataFrame:
    """Return missed OMI of lowest and false alarms of highest probability: ``ecg_id, error, probability, facts``.

    Parameters
    ----------
    test
        ECGs as a model judged them.
    facts_of
        ecg_ids → their rows of ``ecgs.csv``; None where the dataset is not at hand.
    """
    alarm = test.probability >= test.threshold
    order = np.argsort(test.probability, kind="stable")
    missed = [k for k in order if test.omi[k] == 1 and not alarm[k]][:WRONGEST]
    false = [k for k in order[::-1] if test.omi[k] == 0 and alarm[k]][:WRONGEST]
    rows = missed + false
    facts = [""] * len(rows)
    if facts_of is not None and rows:
        known = facts_of(test.ecg_id[rows])
        columns = [name for name in ("age", "sex", "site", "rhythm", "artery", "mimic", "flags") if name in known]
        facts = [
            ", ".join(f"{name} {value:g}" if name == "age" else f"{name} {value}" for name, value in row.items()
                      if value != "" and not pd.isna(value))
            for row in known[columns].to_dict("records")
        ]  # fmt: skip
    return pd.DataFrame(
        {
            "ecg_id": test.ecg_id[rows],
            "error": ["missed OMI"] * len(missed) + ["false alarm"] * len(false),
            "probability": test.probability[rows],
            "facts": facts,
        }
    )
