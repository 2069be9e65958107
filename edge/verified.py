"""Bundle folder → its manifest and the bytes of its files, once everything in it is what its maker put there.

Standard library and NumPy only: this is a part of every bundle's ``device_parity.py``.
"""

import hashlib
import io
import json
import os
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from omi_keras.recordings.numbers import are_bands, is_count, is_number, is_probability, parse_json

# 2: there is a model card. Who knows version 1 alone would take it for a file that somebody added.
FORMAT_VERSION = 2
MANIFEST, SIGNATURE_FILE = "manifest.json", "manifest.sig"
# All other files of a bundle: the manifest holds their checksums.
FILES = ("device_parity.py", "model.tflite", "parity.npz", "README.txt", "MODEL_CARD.md")
FILES_OF_1 = FILES[:-1]
NAMES = (*FILES, MANIFEST, SIGNATURE_FILE)
MOST_BYTES = {"model.tflite": 1 << 30, "parity.npz": 1 << 28}
MOST_BYTES_ELSE = 1 << 24
KEYS = ("quantization", "simulated", "threshold", "input", "limits", "parity", "sha256", "manifest_sha256")
# A median beat: leads, and samples with and without what the crop takes away.
LEADS, SAMPLES = 12, (600, 400)
# What the network in the graph was trained on. The graph makes it of the beat itself, so that an older reader, which
# knows no such names, runs it right all the same; bundles that say none are of the first.
CONTRACTS = ("zscore-400", "maxabs-200")
DIFFERENCES = ("max_delta", "p99_delta", "flips", "delta_auc", "delta_ap")


class BundleError(ValueError):
    """A bundle that must not be used: the message says which file and why."""

    def __init__(self, message: str) -> None:
        # Names in a strange folder may hold what a terminal obeys.
        super().__init__("".join(c if c.isprintable() else "?" for c in message))


def load(bundle: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Read every file of a bundle once and check it against the manifest; return the manifest and the contents.

    What is used afterwards are these very bytes, so nobody can exchange a file between the check and its use. The
    contents hold ``manifest.json``, and ``manifest.sig`` where there is one, as well.

    Raises
    ------
    BundleError
        When a file is missing, altered, or not in the manifest.
    """
    found = _names(bundle)
    contents = {name: _read(bundle / name) for name in found if name in (MANIFEST, SIGNATURE_FILE)}
    manifest = _manifest(contents[MANIFEST], bundle / MANIFEST)
    _refuse_foreign(bundle, [name for name in found if name not in (*contents, *manifest["sha256"])])
    for name in manifest["sha256"]:
        contents[name] = _read(bundle / name)
        if hashlib.sha256(contents[name]).hexdigest() != manifest["sha256"][name]:
            raise BundleError(
                f"{bundle / name} was altered: its checksum is not the manifest's; copy the whole bundle again"
            )
    return manifest, contents


def verify(bundle: Path) -> dict[str, Any]:
    """The manifest of a bundle whose every file is what the manifest says; raises as :func:`load`."""
    return load(bundle)[0]


def manifest_checksum(manifest: dict[str, Any]) -> str:
    """SHA-256 of everything that a manifest says, but of this sum itself."""
    said = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _names(bundle: Path) -> list[str]:
    """Names of the files; nothing may be there that no checksum vouches for."""
    try:
        found = sorted(os.listdir(bundle))  # noqa: PTH208 -- names, not paths
    except (FileNotFoundError, NotADirectoryError):
        found = []
    except (OSError, ValueError) as error:
        raise BundleError(f"{bundle} cannot be read: {error}") from None
    if MANIFEST not in found:
        raise BundleError(f"{bundle} is not a bundle: it has no {MANIFEST}")
    _refuse_foreign(bundle, [name for name in found if name not in NAMES])
    return found


def _refuse_foreign(bundle: Path, foreign: list[str]) -> None:
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise BundleError(
            f"{bundle} holds {', '.join(foreign[:3])}{more}, which its manifest does not name: somebody or some "
            "program added it; delete it, or copy the whole bundle again"
        )


def _read(path: Path) -> bytes:
    """All bytes of a plain file, at most as many as a bundle's file of this name may have."""
    most = MOST_BYTES.get(path.name, MOST_BYTES_ELSE)
    flags = os.O_RDONLY
    for name in ("O_BINARY", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    try:
        if path.is_symlink():
            raise FileNotFoundError
        with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 -- a pipe or a link must not be followed
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise FileNotFoundError
            content = file.read(most + 1)
    except (FileNotFoundError, IsADirectoryError):
        raise BundleError(f"{path} is missing or no plain file; copy the whole bundle again") from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error}") from None
    if len(content) > most:
        raise BundleError(f"{path} is larger than the {most >> 20} MiB that it may have; copy the whole bundle again")
    return content


def _manifest(content: bytes, path: Path) -> dict[str, Any]:
    try:
        manifest = parse_json(content)
    except ValueError as error:
        raise BundleError(f"{path} cannot be read: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != "bundle":
        raise BundleError(f"{path} is not the manifest of an omi-keras bundle")
    version: Any = manifest.get("format_version")
    if not is_count(version) or version > FORMAT_VERSION:
        raise BundleError(
            f"{path} has format version {str(version)[:40]}, this reader knows up to {FORMAT_VERSION}; "
            "install a newer omi-keras or export the bundle again"
        )
    absent = [key for key in KEYS if key not in manifest]
    if absent:
        raise BundleError(f"{path} lacks {', '.join(absent)}: it was altered; copy the whole bundle again")
    try:
        checksum = manifest_checksum(manifest)
    except RecursionError:
        checksum = None
    if manifest["manifest_sha256"] != checksum:
        raise BundleError(f"{path} was altered; copy the whole bundle again")
    check_manifest(manifest, path)
    return manifest


def check_manifest(manifest: dict[str, Any], path: Path) -> None:
    """Refuse a manifest with a value that no bundle can have; asked when a bundle is written and when it is read.

    Raises
    ------
    BundleError
        Naming the first such value.
    """
    contract, sums = manifest["input"], manifest["sha256"]
    limits, parity = manifest["limits"], manifest["parity"]
    shape = contract.get("shape") if isinstance(contract, dict) else None
    seen = parity.get("bundled") if isinstance(parity, dict) else None
    if not is_probability(manifest["threshold"]):
        raise BundleError(f"{path} has no threshold between 0 and 1; export the bundle again")
    files = FILES_OF_1 if manifest.get("format_version") == 1 else FILES
    if not isinstance(sums, dict) or set(sums) != set(files):
        raise BundleError(f"{path} must list the checksums of {', '.join(files)}")
    good = {
        "quantization": isinstance(manifest["quantization"], str),
        "simulated": isinstance(manifest["simulated"], bool),
        "input contract": isinstance(contract, dict) and contract.get("contract", CONTRACTS[0]) in CONTRACTS,
        "input shape": shape in [[1, LEADS, samples] for samples in SAMPLES],
        "limits": isinstance(limits, dict) and all(k in DIFFERENCES and is_limit(v) for k, v in limits.items()),
        # Bundles of omi-keras 0.1.0 have none.
        "bands": are_bands(manifest.get("bands")),
        "parity": isinstance(seen, dict) and all(is_limit(seen.get(name)) for name in DIFFERENCES),
    }
    for name, is_good in good.items():
        if not is_good:
            raise BundleError(f"{path} has no good {name}; export the bundle again")


def is_limit(value: Any) -> bool:
    """Whether a value is a number that a difference, or the limit of one, can be."""
    return is_number(value) and value >= 0


def parity_set(content: bytes) -> dict[str, np.ndarray]:
    """Arrays of ``parity.npz``: beats (n, 12, 600 or 400) mV, omi, expected (trained model), exported (this model).

    Raises
    ------
    BundleError
        When these bytes are something else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = {name: _array(archive, f"{name}.npy") for name in ("beats", "omi", "expected", "exported")}
    except Exception as error:  # zip, NumPy and pickle refusals all mean the same here
        raise BundleError(f"parity.npz of the bundle is not a parity set: {error}") from None
    n = found["omi"].size
    shapes = [(n, LEADS, samples) for samples in SAMPLES]
    flat = ("omi", "expected", "exported")
    if n == 0 or found["beats"].shape not in shapes or any(found[name].shape != (n,) for name in flat):
        raise BundleError("parity.npz of the bundle has arrays of the wrong shape")
    with np.errstate(invalid="ignore"):
        sane = np.isfinite(found["beats"]).all() and np.isin(found["omi"], (0, 1)).all()
        if not sane or any(not ((found[name] >= 0) & (found[name] <= 1)).all() for name in flat):
            raise BundleError("parity.npz of the bundle holds beats that are not finite, or no probabilities")
    return found


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array of plain numbers, whose header says exactly the bytes that follow it."""
    member = archive.getinfo(name)
    if member.file_size > MOST_BYTES["parity.npz"]:
        raise ValueError(f"{name} is too large")
    stream = io.BytesIO(archive.read(member))
    first = np.lib.format.read_magic(stream) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    flat = np.frombuffer(stream.read(), dtype).copy() if dtype.kind in "iuf" else None
    if flat is None:
        raise ValueError(f"{name} holds no plain numbers")
    return flat.reshape(shape, order="F" if fortran else "C")
