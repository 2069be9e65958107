"""A picture as a file, whole or not at all."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from omi_keras.data.artifacts import write_bytes
from omi_keras.recordings.errors import InputError

if TYPE_CHECKING:
    from omi_keras.drawing.ecg_picture_sheet import Picture

SUFFIXES = (".svg", ".png", ".pdf")


def save_picture(picture: Picture, path: str | os.PathLike[str], dpi: float) -> None:
    """Write a picture in the form that its file's name asks for; missing folders are made."""
    target = Path(path)
    content = picture_bytes(picture, target.suffix.lower(), dpi, str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, content)


def picture_bytes(picture: Picture, suffix: str, dpi: float, name: str) -> bytes:
    """The file's content: SVG needs nothing else, PNG and PDF need matplotlib.

    Raises
    ------
    InputError
        When the suffix is none of :data:`SUFFIXES`.
    """
    if suffix not in SUFFIXES:
        raise InputError(f"{name}: expected a name that ends in {', '.join(SUFFIXES)}, received {suffix!r}", "bad_name")
    if suffix == ".svg":
        return b'<?xml version="1.0" encoding="UTF-8"?>\n' + picture.svg().encode() + b"\n"
    buffer = BytesIO()
    # The same bytes each time: no date.
    metadata: dict[str, str | None] = (
        {"Software": "omi-keras"} if suffix == ".png" else {"Creator": "omi-keras", "CreationDate": None}
    )
    picture.figure(dpi).savefig(buffer, format=suffix[1:], dpi=dpi, metadata=metadata)
    return buffer.getvalue()
