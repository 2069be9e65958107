"""Where a probability lies: OMI ruled in, open, or ruled out. Bundles carry a copy of this file."""

from collections.abc import Mapping

RULE_IN, OPEN, RULE_OUT = "rule-in", "open", "rule-out"


def band_of(probability: float, bands: "Mapping[str, float | None] | None") -> "str | None":
    """``rule-in`` from ``bands["rule_in"]`` on, ``rule-out`` below ``bands["rule_out"]``, else ``open``.

    An edge that is None does not exist: no threshold reached its target. None without bands.
    """
    if bands is None:
        return None
    rule_in, rule_out = bands.get("rule_in"), bands.get("rule_out")
    if rule_in is not None and probability >= rule_in:
        return RULE_IN
    if rule_out is not None and probability < rule_out:
        return RULE_OUT
    return OPEN
