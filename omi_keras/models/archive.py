"""Model files whose bytes come from the model alone: no time of day, no memory addresses."""

from __future__ import annotations

import errno
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omi_keras.data.artifacts import write_bytes

if TYPE_CHECKING:
    import keras

# Where Keras writes, until the file is whole.
HALF_NETWORK = ".half.keras"
# Bytes that describe a network: an ensemble of a hundred takes about an eighth.
_MOST_CONFIG = 1 << 26
# The oldest that a ZIP file can name.
_TIME = (1980, 1, 1, 0, 0, 0)
# Values of skops that cannot change: whether two places hold one object is chance and means nothing.
_VALUES = ("JsonNode", "TypeNode")


def save_network(path: Path, model: keras.Model) -> None:
    """Write a ``.keras`` file: equal models of one version of Keras give equal bytes.

    Raises
    ------
    OSError
        With the file's name, when the disk is full.
    """
    with errors_name(path):
        # Keras writes to a name that ends so, and to no stream.
        whole = path.with_name(HALF_NETWORK)
        try:
            model.save(whole)
            content = whole.read_bytes()
        finally:
            whole.unlink(missing_ok=True)
        write_bytes(path, same_network_bytes(content))


def saved_layers(path: Path) -> list[dict[str, Any]]:
    """What a ``.keras`` file of :func:`save_network` says of its layers: ``class_name``, ``config`` and more of each.

    Raises
    ------
    ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile
        When it is no such file.
    """
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo("config.json").file_size > _MOST_CONFIG:
            raise ValueError("its description is larger than that of any network")
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
    return [layer for layer in layers if isinstance(layer["config"], dict)]


def same_network_bytes(content: bytes) -> bytes:
    """A ``.keras`` file with its objects numbered as they appear, and without the time of saving."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    metadata, config = json.loads(members["metadata.json"]), json.loads(members["config.json"])
    metadata.pop("date_saved", None)
    numbers: dict[Any, int] = {}

    def number(node: dict[str, Any]) -> None:
        if "shared_object_id" in node:
            node["shared_object_id"] = numbers.setdefault(node["shared_object_id"], len(numbers) + 1)

    _each(config, number)
    members |= {"metadata.json": json.dumps(metadata).encode(), "config.json": json.dumps(config).encode()}
    return _archive(members)


def same_forest_bytes(content: bytes) -> bytes:
    """A ``.skops`` file with its objects, and the files of their arrays, numbered as they appear."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members.pop("schema.json"))
    numbers: dict[Any, int] = {}
    files: dict[str, str] = {}

    def number(node: dict[str, Any]) -> None:
        if "__id__" in node:
            one = object() if node.get("__loader__") in _VALUES else node["__id__"]
            node["__id__"] = numbers.setdefault(one, len(numbers) + 1)
        if node.get("file") in members:
            old = node["file"]
            node["file"] = files.setdefault(old, f"{len(files) + 1}{Path(old).suffix}")

    _each(schema, number)
    named = {new: members[old] for old, new in files.items()}
    return _archive(named | {"schema.json": json.dumps(schema).encode()})


@contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """Within, an error of the file system that names no file names ``path``: "No space left on device" where?"""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # NumPy's, on a full disk
            sentence = f"not all of it could be written, perhaps for want of space ({error})"
            raise OSError(errno.EIO, sentence, str(path)) from None
        if error.filename is None:
            error.filename = str(path)
        raise


def _each(node: Any, change: Callable[[dict[str, Any]], None]) -> None:
    """Call ``change`` on every mapping, each before what it holds."""
    if isinstance(node, dict):
        change(node)
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _each(inner, change)


def _archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = 3  # Unix, wherever this runs
            archive.writestr(entry, members[name])
    return buffer.getvalue()
