"""Folder → the recordings in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats import arrays, csv, dicom, edf, scp
from omi_keras.recordings.formats.files import read_bytes
from omi_keras.recordings.readers import HEAD_BYTES, SUFFIXES, XML_ROOTS

# The index of a folder of DICOM files.
_DICOM_INDEX = "DICOMDIR"


def expand(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as they are given, and for each folder what :func:`recordings_in` finds; itself if that is nothing."""
    for path in paths:
        found = recordings_in(path) if path.is_dir() else iter([path])
        yield next(found, path)
        yield from found


def recordings_in(folder: Path) -> Iterator[Path]:
    """Every file in a folder and the folders inside it that is a recording or looks like one, in the order of names.

    By its name: WFDB headers (their signal files are not counted again), XML, DICOM, SCP-ECG, EDF, BDF, MATLAB, NPZ;
    NPY with two axes; CSV whose first row names leads. By its content whatever its name: DICOM, SCP-ECG, EDF, BDF and
    XML of ECGs. Hidden files, and links to folders, are passed over. A folder inside that cannot be listed is yielded
    itself, since nobody knows what is in it.
    """
    open_folders = [iter([folder])]
    while open_folders:
        path = next(open_folders[-1], None)
        if path is None:
            open_folders.pop()
        elif not path.is_dir():
            yield path
        else:
            try:
                names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
            except OSError:
                yield path
            else:
                open_folders.append(_counted(path, names))


def _counted(folder: Path, names: list[str]) -> Iterator[Path]:
    """Folders and recordings right inside, one after the other: names of a million files are little, paths are not."""
    headers = {name[:-4] for name in names if name.lower().endswith(".hea")}
    for name in names:
        path = folder / name
        try:
            if path.is_dir():
                counts = not path.is_symlink()
            else:
                is_signal = path.suffix.lower() in (".mat", ".dat") and path.stem in headers
                counts = path.is_file() and not is_signal and _looks_like_one(path)
        except OSError:  # a link that cannot be followed
            counts = False
        if counts:
            yield path


def _looks_like_one(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in SUFFIXES and suffix not in (".npy", ".csv"):
        return True
    if suffix == ".dat" or path.name.upper() == _DICOM_INDEX:
        return False
    try:
        head = read_bytes(path, start=HEAD_BYTES)
    except InputError:
        return suffix in SUFFIXES
    if suffix == ".npy":
        return arrays.looks_like(head)
    if suffix in csv.SUFFIXES:
        return csv.looks_like(head)
    return (
        dicom.looks_like(head)
        or scp.looks_like(head, named=False)
        or head.startswith((edf.EDF_MAGIC, edf.BDF_MAGIC))
        or any(root.encode() in head for root in XML_ROOTS)
    )
