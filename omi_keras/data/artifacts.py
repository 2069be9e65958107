"""Folders and files that are whole or absent, and that say where they came from."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.numbers import is_count, is_number, parse_json

PACKAGES = (
    "omi-keras",
    "numpy",
    "scipy",
    "scikit-learn",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "ai-edge-litert",
)


# What a value in a JSON file must be: of a type (float: any finite number), or what a function says yes to.
FieldKind = type | Callable[[Any], bool]
KINDS = ("dataset", "run", "report", "model", "bundle", "records", "saliency")


@contextmanager
def new_folder(out: Path, marker: str, *, force: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside ``out`` that becomes ``out`` when the block ends without an error.

    Parameters
    ----------
    marker
        Name of the JSON file that every folder of this kind has: ``force`` replaces only a folder with one.

    Raises
    ------
    InputError
        As :func:`refuse_existing`.
    """
    refuse_existing(out, marker, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    try:
        yield partial
        put_in_place(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def put_in_place(partial: Path, out: Path) -> None:
    """Give a finished folder its name; what had the name goes only when that has succeeded."""
    partial.chmod(0o755)
    if not os.path.lexists(out):
        partial.rename(out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".old", dir=out.parent))
    out.rename(old / out.name)
    partial.rename(out)
    remove(old)


def refuse_existing(out: Path, marker: str, force: bool) -> None:
    """Raise InputError when ``out`` exists and may not be replaced.

    ``force`` replaces an empty folder, or one of ours with its ``marker``: never somebody's recordings or thesis.
    """
    if Path.cwd().is_relative_to(out.resolve()):
        raise InputError(f"{out} is the current folder or above it; name a new folder", "exists")
    if not os.path.lexists(out):
        return
    if not force:
        raise InputError(f"{out} exists already; choose another name or add --force to replace it", "exists")
    if out.is_dir() and not any(out.iterdir()):
        return
    try:
        ours = json.loads((out / marker).read_text(encoding="utf-8"))["kind"] in KINDS
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        ours = False
    if not ours:
        raise InputError(
            f"{out} has no {marker} of omi-keras, so --force will not replace it; choose another name", "exists"
        )


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is never seen half-written."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def remove_half_written(folder: Path) -> None:
    """Remove what a process that was killed in :func:`write_bytes` left; no other may be writing there."""
    for path in folder.glob(".*.*"):
        path.unlink()


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
