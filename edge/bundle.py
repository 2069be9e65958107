"""What a bundle is: everything a device needs to run one model and to prove that it runs it right.

bundle/
  model.tflite      signature "detect": median beat (1, 12, 600 or 400) float32 mV → P(OMI) and logits
  manifest.json     format version, contracts, threshold, parity limits and result, SHA-256 of every file
  parity.npz        beats and the probabilities of the trained model, to replay on the device
  device_parity.py  replays them: NumPy and LiteRT only
  README.txt        how to use all this
  MODEL_CARD.md     what the model is for, what it was made of, how well it did
  manifest.sig      Ed25519 signature of manifest.json, in a signed bundle

Nothing else may lie in it, see :mod:`edge.verified`.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import textwrap
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edge import bands, network, parity, script_start, verified
from omi_keras.recordings import numbers

# What device_parity.py consists of, in this order; each imports of ours what stands before it, at most.
SCRIPT = (script_start, numbers, bands, verified, network, parity)
SCRIPT_HEAD = (
    '"""This file was put together from omi-keras when the bundle was made; it needs NumPy and LiteRT alone."""'
)

README = """\
omi-keras bundle: {model}, {quantization}{simulated}

Research software, not a medical device.

model.tflite      signature "{signature}".
                  Input "beat" (1, 12, {samples}) float32: a median beat of a 12-lead ECG in millivolts, 500 Hz,
                  leads I II III aVR aVL aVF V1 V2 V3 V4 V5 V6, R peak at sample {r_sample}.
{inside}
                  Outputs "probability" (1) = P(OMI) and "logits" (1, 2) of no OMI and OMI, both NaN for a beat with
                  missing values. OMI when P(OMI) >= {threshold:.6g}.{bands}
manifest.json     all of this for programs, with SHA-256 sums of all files but this one and manifest.sig.
manifest.sig      in a signed bundle: Ed25519 signature of manifest.json, and so of all files.
MODEL_CARD.md     what the model is for and not for, what it was made of, how well it did, and its licence.
device_parity.py  proves that a device computes what the trained model computed; it needs NumPy and LiteRT:

    pip install numpy ai-edge-litert
    python -I device_parity.py

No other file or folder may lie here: one that does is refused by name.

device_parity.py checks the sums and no signature, and it is a program: do not run that of a bundle whose maker you do
not know. With the maker's public key, an omi-keras of your own tells before anything of the bundle is used:

    pip install "omi-keras[sign]"
    omi-keras check-parity PATH_OF_THIS_FOLDER --verify public.pem

From an ECG file to a decision, in Python:

    pip install omi-keras        (in a checkout of the project: pip install .)
    omi-keras predict PATH_OF_THIS_FOLDER ECG.hea
"""


def write_bundle(
    folder: Path, model: bytes, parity_set: dict[str, np.ndarray], manifest: dict[str, Any], card: str
) -> dict[str, Any]:
    """Write all files of a bundle into an existing empty folder; return the manifest with the checksums.

    ``card`` is the text of its model card.

    The same arguments give the same bytes.

    Raises
    ------
    edge.verified.BundleError
        When the manifest would say what no reader accepts.
    """
    verified.check_manifest(manifest | {"sha256": dict.fromkeys(verified.FILES)}, folder / verified.MANIFEST)
    simulated = ", made with simulated ECGs" if manifest["simulated"] else ""
    beat = manifest["input"]
    told = {"simulated": simulated, "samples": beat["shape"][2], "r_sample": beat["r_sample"]}
    told |= {"bands": _bands_line(manifest.get("bands"))}
    inside = f"Done inside, for input contract {beat['contract']}: {beat['inside_the_model']}."
    margin = 18 * " "
    told["inside"] = textwrap.fill(inside, 116, initial_indent=margin, subsequent_indent=margin)
    files = {
        "model.tflite": model,
        "parity.npz": _npz(parity_set),
        "device_parity.py": device_script().encode(),
        "README.txt": README.format(**manifest | told).encode(),
        "MODEL_CARD.md": card.encode(),
    }
    manifest = {
        "format_version": verified.FORMAT_VERSION,
        "kind": "bundle",
        **manifest,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    manifest["manifest_sha256"] = verified.manifest_checksum(manifest)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8", newline="\n")
    return manifest


def _bands_line(edges: dict[str, float | None] | None) -> str:
    """What the README says of bands."""
    named = {"rule_out": "ruled out when P(OMI) <", "rule_in": "ruled in when P(OMI) >="}
    found = [f"{words} {edges[name]:.6g}" for name, words in named.items() if edges and edges[name] is not None]
    return f"\n{' ' * 18}OMI is {', '.join(found)}; else it is open." if found else ""


def device_script() -> str:
    """The source of ``device_parity.py``: one file, because a device has nothing else of ours."""
    return "\n".join([SCRIPT_HEAD, *(_alone(module) for module in SCRIPT)])


def _alone(module: ModuleType) -> str:
    """A module's source without its imports of ours, which stand before it in the script."""
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in ("edge", "omi_keras"):
            last = node.end_lineno or node.lineno
            lines[node.lineno - 1 : last] = [""] * (last - node.lineno + 1)
    return "\n".join(lines) + "\n"


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    """An .npz file without the time of its making in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), content.getvalue())
    return buffer.getvalue()
