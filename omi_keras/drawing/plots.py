"""Recordings as pictures, without a model: what a person looks at to check leads, units and scale."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from omi_keras.data.artifacts import new_folder, versions, write_bytes, write_json
from omi_keras.drawing.ecg_picture_sheet import Picture, ecg_picture
from omi_keras.drawing.files import picture_bytes
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record

MARKER, FORMAT_VERSION = "pictures.json", 1
DPI = 200
# Names of files may have 255 bytes.
_LONGEST = 200


def drawn(files: Iterable[Path]) -> Iterator[tuple[dict[str, Any], Picture | None]]:
    """Draw each file: what is said of it, and its picture; None with an ``error`` where it cannot be read.

    A recording that gives no median beat is drawn with the reason, its ``refusal``.
    """
    for file in files:
        try:
            record = read_record(file)
        except (InputError, OSError) as error:
            said = str(error) if isinstance(error, InputError) else f"cannot be read: {error.strerror or error}"
            yield {"file": str(file), "error": f"{file.name}: {said.removeprefix(f'{file.name}: ')}"}, None
            continue
        picture = ecg_picture(record)
        row = {"file": str(file), "ecg_id": record.ecg_id, "quality": list(picture.quality)}
        yield row | ({"refusal": picture.refusal} if picture.refusal else {}), picture


def save_pictures(
    files: Iterable[Path],
    out: Path,
    suffix: str = ".svg",
    *,
    force: bool = False,
    tell: Callable[[dict[str, Any]], None] = lambda row: None,
) -> list[dict[str, Any]]:
    """Draw recordings into a new folder: one picture each, and ``pictures.json`` that says which is which.

    Parameters
    ----------
    files
        Recordings. Those that cannot be read stop nothing.
    out
        New folder.
    suffix
        ``.svg``, ``.png`` or ``.pdf``; the latter two need matplotlib.
    tell
        Hears of each file when it is done.

    Returns
    -------
    list
        For each file ``file, ecg_id, quality, picture`` and maybe ``refusal``; or ``file, error``.

    Raises
    ------
    InputError
        When ``out`` exists, unless ``force`` and it holds pictures of ours; when no file can be read.
    """
    rows: list[dict[str, Any]] = []
    names: set[str] = set()
    with new_folder(out, MARKER, force=force) as folder:
        for row, picture in drawn(files):
            if picture is not None:
                row["picture"] = _new_name(Path(row["file"]).stem, suffix, names)
                write_bytes(folder / row["picture"], picture_bytes(picture, suffix, DPI, row["picture"]))
            rows.append(row)
            tell(row)
        if not names:
            raise InputError(f"no file can be read, so {out} was not made", "empty")
        write_json(
            folder / MARKER,
            {"format_version": FORMAT_VERSION, "kind": "pictures", "files": rows, "versions": versions()},
        )
    return rows


def _new_name(stem: str, suffix: str, names: set[str]) -> str:
    """A name that no picture has yet; some file systems do not tell A from a."""
    while len(stem.encode()) > _LONGEST:
        stem = stem[:-1]
    number, name = 1, f"{stem}{suffix}"
    while name.casefold() in names:
        number += 1
        name = f"{stem}-{number}{suffix}"
    names.add(name.casefold())
    return name
