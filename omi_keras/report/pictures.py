"""Pictures of ECGs → a page that opens offline and prints one ECG a sheet, true to scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from omi_keras.report.page import render

if TYPE_CHECKING:
    from omi_keras.drawing.ecg_picture_sheet import Picture

_NOTE = "Printed on A4 across at 100 %: 25 mm/s and 10 mm/mV. Research software, not a medical device."


def pictures_page(title: str, pictures: Sequence[Picture], note: str = _NOTE) -> str:
    """Return the page: one file, no request, all text escaped.

    On a narrow screen a picture keeps a width at which it can be read, and scrolls.
    """
    return render("pictures.html.j2", title=title, pictures=pictures, note=note)
