"""The picture of an ECG that is shown everywhere: recording, median beats, marks, numbers, and what a model says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from omi_keras.beats.median_beats import MedianBeat, median_beat
from omi_keras.beats.model_inputs import BEAT_SAMPLES
from omi_keras.drawing import ecg_picture_beats as beats
from omi_keras.drawing import ecg_picture_strips as strips
from omi_keras.drawing import ecg_picture_text as words
from omi_keras.drawing.palette import INK, SOFT
from omi_keras.drawing.scene import Item, Text, box, shortened
from omi_keras.drawing.scene_svg import scene_svg
from omi_keras.measures.one_beat import BeatMeasures, measure_beat
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS, Record, Sex

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A sheet of A4 across without the margins that printers need, mm.
WIDTH, LEFT, RIGHT = 287.0, 5.0, 5.0
_HEAD, _GAP, _FOOT = 24.0, 6.5, 4.5
_SCALE_LEFT = 203.0
_DPI = 200


@dataclass(frozen=True)
class Picture:
    """A drawn ECG; in a notebook it shows itself.

    Attributes
    ----------
    items
        What is drawn, from the lowest up.
    width, height
        Of the sheet, mm.
    title, description
        In words, for those who cannot see it.
    measures
        The numbers in it; None without a median beat.
    quality
        Flags.
    refusal
        Why there is no median beat; empty where there is one.
    """

    items: tuple[Item, ...]
    width: float
    height: float
    title: str
    description: str
    measures: BeatMeasures | None
    quality: tuple[str, ...] = ()
    refusal: str = ""

    def svg(self) -> str:
        """As an ``<svg>`` element or file, true to scale at its own size; NumPy and SciPy are enough."""
        return scene_svg(self.items, self.width, self.height, self.title, self.description)

    def figure(self, dpi: float = _DPI) -> Figure:
        """As a matplotlib figure, for PNG and PDF."""
        from omi_keras.drawing.scene_figure import scene_figure

        return scene_figure(self.items, self.width, self.height, dpi)

    def save(self, path: str | Path, *, dpi: float = _DPI) -> None:
        """Write ``.svg``, ``.png`` or ``.pdf``, whole or not at all; an existing file is replaced.

        Raises
        ------
        InputError
            When the name ends otherwise.
        """
        from omi_keras.drawing.files import save_picture

        save_picture(self, Path(path), dpi)

    def _repr_html_(self) -> str:
        return self.svg()


def ecg_picture(
    record: Record | None = None,
    beat: MedianBeat | ArrayLike | None = None,
    *,
    title: str | None = None,
    refusal: str = "",
    rate: float | None = None,
    age: float | None = None,
    sex: Sex | None = None,
    quality: Sequence[str] | None = None,
    probability: float | None = None,
    threshold: float | None = None,
    bands: Mapping[str, float | None] | None = None,
    saliency: ArrayLike | None = None,
    shares: ArrayLike | None = None,
    simulated: bool = False,
    model_simulated: bool = False,
    facts: Sequence[str] | None = None,
    measured: bool = True,
) -> Picture:
    """Draw an ECG: the recording on its paper, the median beat enlarged with its marks, numbers, the model's word.

    Every mark and number is what the functions of :mod:`omi_keras.measures` return; they stand in the SVG as data
    attributes too. What is not given is not drawn, and the picture says so.

    Parameters
    ----------
    record
        The recording. Without one, as in a dataset, the median beat alone is drawn.
    beat
        Its median beat, or (12, 600) mV of one. When there is a recording and no beat, it is computed; where that is
        refused, the recording is drawn with the reason.
    title
        Plain text; by default the recording's id.
    refusal
        Why there is no median beat, where that is known already; none is computed then.
    rate
        Beats per minute, for a beat that is an array.
    age, sex
        For the STEMI criteria; by default the recording's.
    quality
        Flags; by default those of the median beat, or of the recording.
    probability, threshold
        What a model says and its operating point; both or neither.
    bands
        ``rule_out`` and ``rule_in``, as :attr:`omi_keras.Model.bands`.
    saliency
        (12, k) of k equal windows of samples 150 … 549 (:func:`omi_keras.saliency.contributions.windows`).
    shares
        (12,) share of each lead (:func:`omi_keras.saliency.lead_contribution`).
    simulated
        Says so on the picture; a recording whose source is ``simulated`` does by itself.
    model_simulated
        Says that the model learned from simulated ECGs.
    facts
        What stands under the title; by default age, sex, source, duration and number of beats.
    measured
        False draws the curves alone, as for the mean of many people's beats.

    Raises
    ------
    InputError
        When there is neither a recording nor a beat, a shape is wrong, or a probability has no threshold.

    Examples
    --------
    >>> from omi_keras.drawing import ecg_picture
    >>> ecg_picture(record).svg()[:4]
    '<svg'
    """
    if record is None and beat is None:
        raise InputError("expected a recording or a median beat, received neither", "nothing_to_draw")
    found = beat if isinstance(beat, MedianBeat) else None
    if record is not None and beat is None and not refusal:
        try:
            found = median_beat(record)
        except InputError as error:
            refusal = str(error)
    x = found.beat if found is not None else None if beat is None else np.asarray(beat, dtype=np.float32)
    measures = None
    if x is not None and x.shape != (len(LEADS), BEAT_SAMPLES):
        raise InputError(f"expected a median beat of shape (12, 600), received {x.shape}", "wrong_shape")
    if x is not None and measured:
        rate = found.heart_rate if rate is None and found is not None else math.nan if rate is None else rate
        who: dict[str, object] = {"age": age, "sex": sex}
        if record is not None:
            who = {"age": record.age if age is None else age, "sex": record.sex if sex is None else sex}
        measures = measure_beat(x, rate=rate, **who)  # type: ignore[arg-type]
    flags = tuple(quality) if quality is not None else found.flags if found else record.flags if record else ()
    judged = _judged(probability, threshold, bands)
    simulated = simulated or (record is not None and record.source == "simulated")
    name = title if title is not None else record.ecg_id if record is not None else "Median beat"
    if facts is None:
        facts = _facts(record, found, age, sex)
    if model_simulated and judged:
        facts = ["model trained on simulated ECGs", *facts]
    facts = [*(["simulated ECG"] if simulated else []), *facts]
    seen = _checked_saliency(saliency, shares, x)
    items, height = _sheet(record, x, measures, judged, flags, refusal, name, facts, *seen)
    spoken = ", ".join(part for part in ("ECG", name, judged.said() if judged else "") if part)
    about = words.described(measures, judged, flags, refusal)
    return Picture(tuple(items), WIDTH, height, spoken, about, measures, flags, refusal if x is None else "")


def _judged(
    probability: float | None, threshold: float | None, bands: Mapping[str, float | None] | None
) -> words.Judgement | None:
    if (probability is None) != (threshold is None):
        raise InputError("a probability is drawn with its threshold, received one without the other", "bad_value")
    if probability is None or threshold is None:
        return None
    return words.Judgement(float(probability), float(threshold), bands)


def _checked_saliency(
    saliency: ArrayLike | None, shares: ArrayLike | None, beat: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if saliency is None or beat is None:
        return None, None
    windows = np.asarray(saliency, dtype=np.float64)
    if windows.ndim != 2 or windows.shape[0] != len(LEADS) or windows.shape[1] == 0 or 400 % windows.shape[1]:
        raise InputError(f"saliency: expected (12, k) of k equal windows, received {windows.shape}", "wrong_shape")
    if shares is None:
        return windows, None
    of_lead = np.asarray(shares, dtype=np.float64)
    if of_lead.shape != (len(LEADS),):
        raise InputError(f"shares: expected one for each of 12 leads, received {of_lead.shape}", "wrong_shape")
    return windows, of_lead


def _facts(record: Record | None, found: MedianBeat | None, age: float | None, sex: Sex | None) -> list[str]:
    said = []
    age = record.age if age is None and record is not None else age
    sex = record.sex if sex is None and record is not None else sex
    said += [f"{age:.0f} years"] if age is not None and math.isfinite(age) else []
    said += [sex] if sex else []
    if record is not None:
        said += [record.source] if record.source and record.source != "simulated" else []
        said.append(f"{record.seconds:.1f} s")
    else:
        said.append("median beat only, no recording at hand")
    if found is not None:
        said.append(f"{found.beats_kept} of {found.beats_found} beats in the median")
    return said


def _sheet(
    record: Record | None,
    beat: np.ndarray | None,
    measures: BeatMeasures | None,
    judged: words.Judgement | None,
    flags: tuple[str, ...],
    refusal: str,
    title: str,
    facts: list[str],
    saliency: np.ndarray | None,
    shares: np.ndarray | None,
) -> tuple[list[Item], float]:
    """All parts at their places, and the height of the sheet."""
    wide = (_SCALE_LEFT if judged else WIDTH - RIGHT) - LEFT - 4.0
    y = 2.5
    items = words.heading(title, facts, LEFT, y, wide)
    if measures is not None:
        items += words.intervals(measures, LEFT, y + 12.7)
    if measures is not None or refusal or flags:
        unknown = measures is None or not measures.marks_ms
        items += words.quality(flags, unknown, LEFT, y + (12.4 if measures is None else 16.7), wide)
    if judged is not None:
        items += words.probability_scale(judged, _SCALE_LEFT, y)
    y = _HEAD
    if record is not None:
        items += strips.strips(record.signal, LEFT, y, WIDTH - LEFT - RIGHT)
        y += strips.HEIGHT
    if beat is not None:
        y += _GAP
        items += beats.legend(LEFT, y - 1.8, measures, saliency is not None)
        items += beats.median_beats(beat, measures, LEFT, y, saliency, shares)
        if measures is not None:
            column = LEFT + beats.WIDTH + 2.5
            items += words.st_chart(measures, column, y, beats.HEIGHT - 12.0)
            items += words.stemi(measures, column, y + beats.HEIGHT - 6.6, 35.0)
        y += beats.HEIGHT
    elif refusal:
        y += 3.0
        items += _refused(refusal, y)
        y += 12.0
    items.append(Text(WIDTH - RIGHT, y + 3.6, "Research software, not a medical device.", 2.2, "end", colour=SOFT))
    return items, math.ceil(y + _FOOT)


def _refused(refusal: str, y: float) -> list[Item]:
    cut = shortened(refusal, WIDTH - LEFT - RIGHT - 5.0, 2.8)
    return [
        box(LEFT, y, WIDTH - LEFT - RIGHT, 10.0, colour=INK, line=0.3),
        Text(LEFT + 2.5, y + 4.2, "No median beat, so nothing was measured or judged:", 2.8, bold=True),
        Text(LEFT + 2.5, y + 8.2, cut, 2.8, data={"part": "refusal"}),
    ]
