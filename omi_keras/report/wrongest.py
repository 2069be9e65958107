"""The ECGs on which a model was most wrong, or the label is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from omi_keras.evaluation.comparison import FoldTest

if TYPE_CHECKING:
    from omi_keras.report.findings import Findings

# Of each error, in a table.
WRONGEST = 5
MISSED, FALSE_ALARM = "missed OMI", "false alarm"
_FACTS = ("age", "sex", "site", "rhythm", "artery", "mimic", "flags")


def most_wrong(judged: Findings) -> pd.DataFrame:
    """Return :func:`wrongest` of the test ECGs of the selected fold."""
    known = None if judged.data[0] is None else judged.facts
    return wrongest(judged.tested, known)


def wrongest(test: FoldTest, facts_of: Callable[[np.ndarray], pd.DataFrame] | None) -> pd.DataFrame:
    """Return missed OMI of lowest and false alarms of highest probability: ``ecg_id, error, probability, facts``.

    Parameters
    ----------
    test
        ECGs as a model judged them.
    facts_of
        ecg_ids → their rows of ``ecgs.csv``; None where the dataset is not at hand.
    """
    missed, false = (rows[:WRONGEST] for rows in errors(test).values())
    rows = np.concatenate([missed, false])
    facts = [""] * len(rows)
    if facts_of is not None and len(rows):
        facts = [", ".join(said) for said in facts_in_words(facts_of(test.ecg_id[rows]))]
    return pd.DataFrame(
        {
            "ecg_id": test.ecg_id[rows],
            "error": [MISSED] * len(missed) + [FALSE_ALARM] * len(false),
            "probability": test.probability[rows],
            "facts": facts,
        }
    )


def errors(test: FoldTest) -> dict[str, np.ndarray]:
    """Return the places of all errors, the worst first: missed OMI by rising, false alarms by falling probability."""
    alarm, omi = test.probability >= test.threshold, test.omi == 1
    order = np.argsort(test.probability, kind="stable")
    falling = order[::-1]
    return {MISSED: order[omi[order] & ~alarm[order]], FALSE_ALARM: falling[~omi[falling] & alarm[falling]]}


def facts_in_words(ecgs: pd.DataFrame) -> list[list[str]]:
    """Return what rows of ``ecgs.csv`` say of the patient and the ECG: ``age 70``, ``sex female`` …"""
    columns = [name for name in _FACTS if name in ecgs]
    return [
        [
            f"{name} {value:g}" if name == "age" else f"{name} {value}"
            for name, value in row.items()
            if value != "" and not pd.isna(value)
        ]
        for row in ecgs[columns].to_dict("records")
    ]
