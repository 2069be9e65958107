"""A recording as small as a stamp: enough to see that leads, units and scale are right."""

from __future__ import annotations

from omi_keras.drawing.ecg_picture_sheet import Picture
from omi_keras.drawing.ecg_picture_strips import COLUMN_SECONDS, about_median
from omi_keras.drawing.palette import GRID_LARGE, INK
from omi_keras.drawing.scene import Grid, Group, Item, Line, Text, trace
from omi_keras.recordings.record import LEADS, SAMPLING_RATE, Record

# A large square of the paper is as 200 ms and 0.5 mV elsewhere.
_MM_PER_S, _MM_PER_MV = 10.0, 4.0
_COLUMN, _ROW = COLUMN_SECONDS * _MM_PER_S, 9.0
WIDTH, HEIGHT = 4 * _COLUMN, 3 * _ROW
_BASELINE, _LINE, _COARSE = 5.5, 0.25, 3


def thumbnail(record: Record) -> Picture:
    """Draw the first 10 s of a recording, 2.5 s of each lead, on 100 mm × 27 mm of paper."""
    shown, _ = about_median(record.signal)
    step = max(min(COLUMN_SECONDS, (shown.shape[1] / SAMPLING_RATE - COLUMN_SECONDS) / 3), 0.0)
    items: list[Item] = [Grid(0.0, 0.0, WIDTH, HEIGHT, 2.0, GRID_LARGE, 0.08)]
    for k, lead in enumerate(LEADS):
        x, y = _COLUMN * (k // 3), _ROW * (k % 3)
        first = round(k // 3 * step * SAMPLING_RATE)
        lines = trace(
            shown[k, first : first + round(COLUMN_SECONDS * SAMPLING_RATE)], x, y + _BASELINE,
            mm_per_sample=_MM_PER_S / SAMPLING_RATE, mm_per_mv=_MM_PER_MV, top=0.1, bottom=HEIGHT - 0.1, coarse=_COARSE,
        )  # fmt: skip
        name = Text(x + 0.6, y + 2.6, lead, 2.4, bold=True, halo=True)
        items.append(Group([*(Line(points, INK, _LINE) for points in lines), name], {"lead": lead}))
    said = f"{record.seconds:.1f} s, 12 leads"
    return Picture(tuple(items), WIDTH, HEIGHT, f"ECG, {record.ecg_id}", said, None, record.flags)
