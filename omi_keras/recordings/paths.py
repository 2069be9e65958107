"""Names of files that can be written down."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from omi_keras.recordings.errors import InputError


def check_path(path: Path) -> Path:
    """The path itself, when JSON, tables and pages, which are UTF-8, can say what it is.

    Raises
    ------
    InputError
        When it, or the folder that it lies in, has a name that is not UTF-8.
    """
    for whole in (str, Path.absolute, os.path.realpath):
        text = str(whole(path))
        try:
            text.encode("utf-8")
            os.fsencode(text)
        except UnicodeEncodeError:
            raise InputError(f"{text}: {_why(text)}", "not_utf8") from None
    return path


def _why(text: str) -> str:
    coding = sys.getfilesystemencoding()
    try:
        os.fsencode(text).decode("utf-8")
    except UnicodeDecodeError:
        return "its name is not UTF-8, so no result could say where it came from; rename it"
    except UnicodeEncodeError:
        pass
    return f"this locale's file names are {coding}, which cannot hold it; set PYTHONUTF8=1 in the environment"
