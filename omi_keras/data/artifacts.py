"""Folders and files that are whole or absent, and that say where they came from."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import secrets
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from omi_keras.data.in_place import KINDS, new_folder, put_in_place, refuse_existing, remove
from omi_keras.data.stops import undisturbed
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.numbers import is_count, is_number, parse_json

__all__ = [
    "KINDS",
    "FieldKind",
    "is_half_written",
    "new_folder",
    "plain",
    "put_in_place",
    "read_json",
    "refuse_existing",
    "remove",
    "remove_half_written",
    "sha256",
    "versions",
    "write_bytes",
    "write_json",
]

PACKAGES = (
    "omi-keras",
    "numpy",
    "scipy",
    "scikit-learn",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "jax",
    "ai-edge-litert",
)


# What a value in a JSON file must be: of a type (float: any finite number), or what a function says yes to.
FieldKind = type | Callable[[Any], bool]
_HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{16}\.part")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is never seen half-written; who may read it is what the user's umask says."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with partial.open("xb") as file:
            file.write(content)
        partial.replace(path)
    except BaseException as error:
        with undisturbed():
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk names nothing
        raise


def remove_half_written(folder: Path) -> None:
    """Remove what a process that was killed in :func:`write_bytes` left; no other may be writing there."""
    for path in folder.glob(".*.part"):
        if is_half_written(path.name) and path.is_file() and not path.is_symlink():
            path.unlink()


def is_half_written(name: str) -> bool:
    """Whether a file's name is one that only :func:`write_bytes` gives."""
    return bool(_HALF_WRITTEN.fullmatch(name))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON with stable order and plain numbers; NaN becomes null."""
    text = json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def read_json(path: Path, what: str, version: int, fields: Mapping[str, FieldKind]) -> dict[str, Any]:
    """Read one of our JSON files.

    Parameters
    ----------
    what
        What the folder should be (``"a dataset"``), for the message.
    version
        The newest format version this code reads.
    fields
        What must be in it and of which type; ``a.b`` is b inside a, float any finite number. Or a question to the
        value, such as :func:`omi_keras.recordings.numbers.is_probability`.

    Raises
    ------
    InputError
        When the file is missing, not JSON with finite numbers, of a newer format version, or lacks one of the fields.
    """
    try:
        content = parse_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path.parent} is not {what}: it has no {path.name}", "not_found") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", "unreadable") from None
    found: Any = _inside(content, "format_version")
    if not is_count(found):
        raise InputError(f"{path} has no format_version: it is not {what} made by omi-keras", "not_ours")
    if found > version:
        raise InputError(
            f"{path} has format version {found}, this omi-keras reads up to {version}; install a newer omi-keras",
            "newer_format",
        )
    absent = [name for name, kind in fields.items() if not _is(_inside(content, name), kind)]
    if absent:
        raise InputError(f"{path} lacks a good value of {', '.join(absent)}; make {what} again", "altered")
    return content


def _inside(content: Any, name: str) -> Any:
    for part in name.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _is(value: Any, kind: FieldKind) -> bool:
    if not isinstance(kind, type):
        return kind(value)
    if kind is float:
        return is_number(value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers, for provenance."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def plain(value: Any) -> Any:
    """NumPy numbers → Python numbers, NaN → None, tuples → lists, recursively."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, Path):
        return str(value)
    return value
