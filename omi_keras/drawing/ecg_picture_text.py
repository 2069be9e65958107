"""What is said about an ECG beside its curves: numbers, flags in words, the probability on its scale, ST by lead."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from omi_keras.beats.flags import in_words
from omi_keras.drawing.palette import INK, LOWERED, RAISED, SOFT
from omi_keras.drawing.scene import Group, Item, Line, Text, box, rule, shortened, text_width, wrapped
from omi_keras.measures.one_beat import ST_AFTER_J, BeatMeasures
from omi_keras.recordings.record import LEADS

# Leads in the order of the walls that they look at: front, side, underside; aVR looks into the heart.
WALLS = {
    "anterior": ("V1", "V2", "V3", "V4"),
    "lateral": ("V5", "V6", "I", "aVL"),
    "inferior": ("II", "aVF", "III"),
    "": ("aVR",),
}
# The strip chart reaches so far, and farther levels are arrows: mV.
ST_REACH = 0.3
_BAR_LEFT, _BAR = 5.0, 66.0


@dataclass(frozen=True)
class Judgement:
    """What a model says.

    Attributes
    ----------
    probability, threshold
        P(OMI); OMI when it reaches the threshold.
    bands
        ``rule_out`` and ``rule_in``: probabilities below which and from which on; either may be None.
    """

    probability: float
    threshold: float
    bands: Mapping[str, float | None] | None = None

    @property
    def decision(self) -> bool:
        """Whether it is called OMI."""
        return self.probability >= self.threshold

    @property
    def band(self) -> str:
        """``rule-in``, ``rule-out``, ``open``; empty without bands."""
        from edge.bands import band_of

        return band_of(self.probability, self.bands) or ""

    def said(self) -> str:
        """In words."""
        return f"P(OMI) {self.probability:.2f}, {'OMI' if self.decision else 'no OMI'}" + (
            f", {self.band}" if self.band else ""
        )


def heading(title: str, facts: list[str], left: float, top: float, width: float) -> list[Item]:
    """Title and facts about the recording."""
    return [
        Text(
            left,
            top + 4.0,
            shortened(title or "no name", width, 4.2, bold=True),
            4.2,
            bold=True,
            data={"part": "title"},
        ),
        Text(left, top + 8.2, shortened(" · ".join(facts), width, 2.8), 2.8, colour=SOFT, data={"part": "facts"}),
    ]


def intervals(measures: BeatMeasures, left: float, top: float) -> list[Item]:
    """Rate, intervals and axes in a line."""
    items: list[Item] = []
    x = left
    for name, key, value, unit in _numbers(measures):
        items.append(Text(x, top, name, 2.8, colour=SOFT))
        x += text_width(name, 2.8) + 1.0
        told = "–" if math.isnan(value) else f"{value:.0f}".replace("-", "−") + unit
        items.append(Text(x, top, told, 3.2, bold=True, data={"measure": key, "value": value}))
        x += text_width(told, 3.2, bold=True) + 3.5
    return [Group(items, {"part": "intervals"})]


def _numbers(measures: BeatMeasures) -> list[tuple[str, str, float, str]]:
    return [
        ("Rate", "rate", measures.rate, "/min"),
        ("PR", "pr-ms", measures.pr_ms, " ms"),
        ("QRS", "qrs-ms", measures.qrs_ms, " ms"),
        ("QT", "qt-ms", measures.qt_ms, " ms"),
        ("QTcF", "qtcf-ms", measures.qtcf_ms, " ms"),
        ("QRS axis", "qrs-axis-deg", measures.qrs_axis_deg, "°"),
        ("T axis", "t-axis-deg", measures.t_axis_deg, "°"),
    ]


def quality_said(flags: tuple[str, ...], unknown: bool) -> str:
    """Flags in words."""
    return f"Quality: {'; '.join(in_words(flags)) or ('not judged' if unknown else 'good')}"


def quality(flags: tuple[str, ...], unknown: bool, left: float, top: float, width: float) -> list[Item]:
    """The same, two lines at most."""
    lines = wrapped(quality_said(flags, unknown), width, 2.6, lines=2)
    items: list[Item] = [Text(left, top + 3.3 * k, line, 2.6) for k, line in enumerate(lines)]
    return [Group(items, {"part": "quality", "flags": " ".join(flags)})]


def probability_scale(judged: Judgement, left: float, top: float) -> list[Item]:
    """The probability on a scale from 0 to 1, with threshold and bands; 80 mm × 20 mm."""
    p, limit = judged.probability, judged.threshold
    bands = judged.bands or {}
    low, high = bands.get("rule_out"), bands.get("rule_in")
    x, y, height = left + _BAR_LEFT, top + 9.0, 3.4

    def at(value: float) -> float:
        return x + _BAR * min(max(value, 0.0), 1.0)

    first, second = (low if low is not None else 0.0), (high if high is not None else 1.0)
    if not judged.band:
        first = second = limit
    said = f"P(OMI) {p:.2f}: {'OMI' if judged.decision else 'no OMI'}"
    items: list[Item] = [
        Text(left, top + 4.0, said, 4.2, bold=True),
        box(x, y, _BAR, height, fill="#ffffff"),
        box(at(first), y, at(second) - at(first), height, fill="#e2e2e2"),
        box(at(second), y, at(1.0) - at(second), height, fill="#b9b9b9"),
        box(x, y, _BAR, height, colour=SOFT, line=0.2),
        Text(x - 1.0, y + 2.7, "0", 2.6, "end", colour=SOFT),
        Text(x + _BAR + 1.0, y + 2.7, "1", 2.6, colour=SOFT),
    ]
    if judged.band:
        items.append(Text(left + text_width(said, 4.2, bold=True) + 3.0, top + 4.0, judged.band, 3.4, colour=SOFT))
    items.append(rule(at(limit), y - 0.8, at(limit), y + height + 0.8, colour=INK, line=0.3, dash=(0.8, 0.5)))
    # The marker is dark where it is OMI and hollow where not, besides its place.
    shape = [[at(p), y + height - 0.4], [at(p) - 1.5, y - 2.2], [at(p) + 1.5, y - 2.2], [at(p), y + height - 0.4]]
    fill, colour = (RAISED, RAISED) if judged.decision else ("#ffffff", LOWERED)
    items.append(Line(np.array(shape), colour, 0.35, fill=fill))
    points = [f"threshold {limit:.2g}"]
    points += [f"rule-out below {low:.2g}"] if low is not None else []
    points += [f"rule-in from {high:.2g}"] if high is not None else []
    items.append(Text(left, y + height + 4.2, " · ".join(points), 2.6, colour=SOFT))
    data: dict[str, str | float] = {
        "part": "probability", "probability": p, "threshold": limit, "decision": str(judged.decision).lower(),
    }  # fmt: skip
    data |= {"band": judged.band} if judged.band else {}
    data |= {name: value for name, value in (("rule-out", low), ("rule-in", high)) if value is not None}
    return [Group(items, data)]


def st_chart(measures: BeatMeasures, left: float, top: float, height: float) -> list[Item]:
    """ST levels by lead as bars, wall by wall: 35 mm wide; raised ones to the right, lowered ones to the left."""
    zero, reach, row = left + 17.5, 7.5, height / (len(LEADS) + 1.2)
    items: list[Item] = [Text(left, top - 1.6, f"ST at J+{ST_AFTER_J}, mV", 2.8, bold=True)]
    y = top
    for wall, leads in WALLS.items():
        if wall != "anterior":
            y += 0.4 * row
            items.append(rule(left, y - 0.2 * row, left + 35.0, y - 0.2 * row, colour="#dddddd", line=0.15))
        for lead in leads:
            items.append(Group(_bar(lead, float(measures.st_mv[LEADS.index(lead)]), left, y, zero, reach, row), {
                "part": "st", "lead": lead, "mv": float(measures.st_mv[LEADS.index(lead)]), "wall": wall,
            }))  # fmt: skip
            y += row
    items.append(rule(zero, top, zero, y, colour=SOFT, line=0.2))
    return items


def _bar(lead: str, mv: float, left: float, y: float, zero: float, reach: float, row: float) -> list[Item]:
    base, thick = y + 0.5 * row + 0.9, 0.52 * row
    items: list[Item] = [Text(left, base, lead, 2.6, bold=True)]
    if math.isnan(mv):
        return [*items, Text(left + 35.0, base, "–", 2.6, "end", colour=SOFT)]
    length = reach * min(abs(mv), ST_REACH) / ST_REACH
    x, middle = (zero, y + 0.5 * row) if mv >= 0 else (zero - length, y + 0.5 * row)
    style = {"fill": RAISED, "colour": RAISED} if mv >= 0 else {"fill": "#ffffff", "colour": LOWERED}
    items.append(box(x, middle - thick / 2, length, thick, line=0.35, **style))
    if abs(mv) > ST_REACH:
        tip, back = (zero + reach + 1.2, zero + reach) if mv > 0 else (zero - reach - 1.2, zero - reach)
        items.append(Line(np.array([[back, middle - 1], [tip, middle], [back, middle + 1]]), style["colour"], 0.35))
    return [*items, Text(left + 35.0, base, _signed(mv), 2.6, "end")]


def _signed(mv: float) -> str:
    """With its sign, but for what is rounded to nothing."""
    return f"{mv:+.2f}".replace("-", "−") if abs(mv) >= 0.005 else "0.00"


def stemi_said(measures: BeatMeasures) -> str:
    """STEMI criteria in a sentence."""
    if measures.stemi is None:
        return "STEMI criteria: not measured"
    leads = ", ".join(measures.stemi_leads)
    if measures.stemi_excluded:
        return f"STEMI criteria: not read in {' and '.join(measures.stemi_excluded)}" + (
            f"; ST raised in {leads}" if leads else ""
        )
    return f"STEMI criteria (ST at J): met in {leads}" if measures.stemi else "STEMI criteria (ST at J): not met"


def stemi(measures: BeatMeasures, left: float, top: float, width: float) -> list[Item]:
    """The sentence, three lines at most."""
    lines = wrapped(stemi_said(measures), width, 2.6, lines=3, bold=True)
    items: list[Item] = [Text(left, top + 3.3 * k, line, 2.6, bold=True) for k, line in enumerate(lines)]
    met = {None: "unknown", True: "true", False: "false"}[measures.stemi]
    data = {"part": "stemi", "met": met, "leads": " ".join(measures.stemi_leads)}
    return [Group(items, data | {"excluded": ", ".join(measures.stemi_excluded)})]


def described(measures: BeatMeasures | None, judged: Judgement | None, flags: tuple[str, ...], refusal: str) -> str:
    """All numbers in words, for those who cannot see the picture."""
    said = []
    if judged is not None:
        said.append(f"{judged.said()}, threshold {judged.threshold:.2g}")
    if measures is not None:
        known = [(name, value, unit) for name, _, value, unit in _numbers(measures) if not math.isnan(value)]
        said.append(", ".join(f"{name} {value:.0f}{unit}" for name, value, unit in known))
        levels = zip(LEADS, measures.st_mv.tolist(), strict=True)
        if told := ", ".join(f"{lead} {_signed(mv)}" for lead, mv in levels if not math.isnan(mv)):
            said.append(f"ST at J+{ST_AFTER_J} in mV: {told}")
        said.append(stemi_said(measures))
    if refusal:
        said.append(f"No median beat: {refusal}")
    said.append(quality_said(flags, measures is None or not measures.marks_ms))
    return ". ".join(part for part in said if part) + "."
