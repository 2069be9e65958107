"""Many ECG files → a row each, one after the other, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from edge.detector import Detection
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.paths import check_path

# Packages that read some formats, and that come with the extra ``formats``.
READERS = ("wfdb", "pydicom", "defusedxml")


class Judged(NamedTuple):
    """What is said of a file.

    Attributes
    ----------
    row
        file, ecg_id, probability, decision, threshold, band and quality; or file and error.
    file
        Its path.
    found
        What was detected, with the recording; None where the file could not be judged.
    """

    row: dict[str, Any]
    file: Path
    found: Detection | None


def judge_files(detect: Callable[[Path], Detection], files: Iterable[Path]) -> Iterator[Judged]:
    """What ``detect`` says of each file, in their order.

    A file that cannot be judged gets a sentence, and the others are judged.
    """
    for file in files:
        try:
            if check_path(file).is_dir():
                raise InputError(
                    f"{file.name}: no recording in this folder that can be read; name another", "missing_file"
                )
            found = detect(file)
        except InputError as error:
            yield _refused(file, str(error))
            continue
        except ModuleNotFoundError as error:
            if error.name not in READERS:
                raise
            yield _refused(file, f"needs {error.name} to be read; run: pip install 'omi-keras[formats]'")
            continue
        row = {
            "file": str(file),
            "ecg_id": file.stem,
            "probability": found.probability,
            "decision": bool(found.decision),
            "threshold": found.threshold,
            "band": found.band,
            "quality": list(found.quality),
        }
        yield Judged(row, file, found)


def _refused(file: Path, sentence: str) -> Judged:
    """A recording is known by its id further in; here by its file."""
    sentence = sentence.removeprefix(f"{file.name}: ").removeprefix(f"{file.stem}: ")
    return Judged({"file": _shown(file), "error": f"{_shown(Path(file.name))}: {sentence}"}, file, None)


def _shown(file: Path) -> str:
    """Its name where one that is not UTF-8 cannot be written down."""
    return str(file).encode("utf-8", "replace").decode()
