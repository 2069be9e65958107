"""What somebody keeps inside a folder of ours, and what ``--force`` would take with it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from omi_keras.recordings.errors import InputError

_HALF_WRITTEN = r"(.+/)?\..+\.[0-9a-f]{16}\.part"
# What systems leave in every folder that they show.
_LITTER = r"(.+/)?(\.DS_Store|Thumbs\.db|desktop\.ini|\.nfs[0-9a-f]+)"
_DATASET = r"(beats|true_beats)\.npy|(ecgs|rejected)\.csv|dataset\.json|overview\.html"
_MODEL = r"model\.(keras|skops|json)|folds\.csv|MODEL_CARD\.md"
_RUN = (
    r"config\.json|folds\.csv|report\.html|\.features(\.partial)?\.npy|\.(features|train-[^/]*|fold-\d\d)\.lock"
    r"|fold-\d\d/(model\.(keras|skops)|(history|predictions|importances)\.csv|metrics\.json)"
    rf"|\.fold-\d\d\.partial/.+|tensorboard/.+|dataset/({_DATASET})|start/({_MODEL})"
)
# By the file that every folder of a kind has: the paths in it that omi-keras makes.
_OURS = {
    "dataset.json": _DATASET,
    "config.json": _RUN,
    "report.json": r"[^/]+\.(csv|html|json)|figures/[^/]+\.(png|svg|pdf)",
    "model.json": _MODEL,
    "manifest.json": r"model\.tflite|manifest\.(json|sig)|parity\.npz|device_parity\.py|README\.txt|MODEL_CARD\.md",
    "simulation.json": r"simulation\.json|sim-\d+\.(dat|hea)|labels\.csv|true_beats\.npy",
    "saliency.json": r"saliency\.(npz|json)|(pointing|sanity)\.csv|figures/[^/]+\.(png|svg|pdf)",
    "pictures.json": r"pictures\.json|[^/]+\.(svg|png|pdf)",
    "learning-curve.json": (
        r"learning-curve\.json|learning_curve(_summary)?\.csv|learning_curve\.png|report\.html|\.train-[^/]*\.lock"
        rf"|[^/]+/size-[^/]+/({_RUN})"
    ),
    "search.json": rf"search\.json|rates\.csv|report\.html|\.train-[^/]*\.lock|rate-[^/]+/({_RUN})",
}

_KINDS = {
    "dataset.json": "a dataset",
    "config.json": "a run",
    "report.json": "a report or validation",
    "model.json": "a model folder",
    "manifest.json": "a bundle",
    "simulation.json": "simulated records",
    "saliency.json": "saliency maps",
    "pictures.json": "pictures",
    "search.json": "a search",
    "learning-curve.json": "a learning curve",
}


def foreign_files(folder: Path, marker: str) -> list[str]:
    """Paths, from the folder, of the files and links in it that omi-keras did not make; sorted.

    An empty file is passed over: nothing is lost with it.

    Parameters
    ----------
    folder
        A folder of ours; a link to one is looked through.
    marker
        Name of the JSON file that tells its kind. Of a kind that is not known here, every file passes for ours.
    """
    if marker not in _OURS:
        return []
    ours = re.compile(rf"{_OURS[marker]}|{_HALF_WRITTEN}|{_LITTER}")
    found = []
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        found += [Path(place, name).relative_to(folder).as_posix() for name in [*links, *files]]
    return sorted(name for name in found if not ours.fullmatch(name) and os.lstat(folder / name).st_size)


def refuse_foreign_files(out: Path, marker: str) -> None:
    """Raise InputError when somebody's files would be lost with ``out``."""
    if found := foreign_files(out, marker):
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise InputError(
            f"{out} holds {', '.join(found[:3])}{more}, which is no part of {_KINDS[marker]} and would be lost; move "
            "it elsewhere, or choose another name",
            "exists",
        )


def refuse_inside(out: Path, source: Path | None) -> None:
    """Raise InputError when ``source``, which is read to make ``out``, would be deleted when ``out`` is replaced."""
    if (
        source is not None
        and os.path.lexists(out)
        and Path(os.path.realpath(source)).is_relative_to(os.path.realpath(out))
    ):
        raise InputError(
            f"{source} lies in {out} and would be deleted with it; move it elsewhere, or choose another name", "exists"
        )
