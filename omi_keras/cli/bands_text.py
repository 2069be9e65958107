"""A model's bands in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def bands_text(bands: Mapping[str, float | None], details: Mapping[str, Any], simulated: bool) -> str:
    """What a model's bands are and what they did on the ECGs that they were chosen on, in one sentence.

    Parameters
    ----------
    bands, details
        ``bands`` and ``bands_details`` of ``model.json``.
    """
    found = []
    for name, sign, rate, named in (("rule_out", "<", "sensitivity", "sensitivity"), ("rule_in", "≥", "ppv", "PPV")):
        edge, shown, of = bands[name], name.replace("_", " "), details[name]
        if edge is None:
            found.append(f"no {shown} (no threshold reaches a {named} of {details['targets'][rate]:g})")
        else:
            low, high = of[f"{rate}_lo"], of[f"{rate}_hi"]
            found.append(f"{shown} {sign} {edge:.4f} ({named} {of[rate]:.2f}, 95 % {low:.2f} to {high:.2f})")
    return f"{', '.join(found)} of {details['omi_patients']} patients with OMI{', simulated' if simulated else ''}"
