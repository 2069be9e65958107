#!/usr/bin/env python
"""What `omi-keras validate` found, in a few lines for a terminal:  python scripts/demo_told.py demo/new-report"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

STEMI = "STEMI criteria"


def told(report: dict[str, Any]) -> str:
    """AUC of each model, what it and the STEMI criteria find, and what the first finds where both are as specific."""
    of_models = {row["model"]: row for row in report["metrics"]}
    some = next(iter(of_models.values()))
    word = "simulated " if report["simulated"] else ""
    lines = [
        f"{some['ecgs']:,} new {word}ECGs of {some['patients']:,} patients, {some['omi']} with OMI [95 %, patients]:"
    ]
    for row in report["decisions"]:
        name = row["model"]
        if row["rule"] == "operating point" or name == STEMI:
            auc = f"AUC {rate(of_models[name], 'auc')}" if name in of_models else "yes or no"
            found = f"finds {rate(row, 'sensitivity')} of OMI at a specificity of {rate(row, 'specificity')}"
            lines.append(f"  {name:<18}  {auc:<22}  {found}")
    for row in report["comparison"]:
        if row["second"] == STEMI and row["metric"] == "sensitivity at equal specificity":
            lines.append(
                f"  As specific as the {STEMI}, {row['first']} finds {row['first_value']:.2f}, they find "
                f"{row['second_value']:.2f}: {row['difference']:+.2f} [{row['lo']:+.2f}, {row['hi']:+.2f}]"
            )
    return "\n".join(lines)


def rate(row: dict[str, Any], name: str) -> str:
    """``0.83 [0.80, 0.86]``."""
    return f"{row[name]:.2f} [{row[name + '_lo']:.2f}, {row[name + '_hi']:.2f}]"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(told(json.loads((Path(sys.argv[1]) / "report.json").read_text(encoding="utf-8"))))
