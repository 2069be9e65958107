"""What a bundle is: everything a device needs to run one model and to prove that it runs it right.

bundle/
  model.tflite      input (1, 12, 400, 1) float32 z-scored beat, output (1, 2) logits
  manifest.json     format version, contracts, threshold, parity limits and result, SHA-256 of every file
  parity.npz        beats and the probabilities of the trained model, to replay on the device
  device_parity.py  replays them: NumPy and LiteRT only
  README.txt        how to use all this
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edge import parity

README = """\
omi-keras bundle: {model}, {quantization}{simulated}

Research software, not a medical device.

model.tflite      input (1, 12, 400, 1) float32: a median beat of a 12-lead ECG (I II III aVR aVL aVF V1..V6),
                  500 Hz, 400 samples with the R peak at sample 150, z-scored within each lead.
                  Output (1, 2): logits of no OMI and OMI; P(OMI) = softmax[1]; OMI when P(OMI) >= {threshold:.6g}.
manifest.json     all of this for programs, with SHA-256 sums of the files.
device_parity.py  proves that a device computes what the trained model computed; it needs NumPy and LiteRT:

    pip install numpy ai-edge-litert
    python device_parity.py

From an ECG file to a decision, in Python:

    pip install omi-keras        (in a checkout of the project: pip install .)
    omi-keras predict PATH_OF_THIS_FOLDER ECG.hea
"""


def write_bundle(
    folder: Path, model: bytes, parity_set: dict[str, np.ndarray], manifest: dict[str, Any]
) -> dict[str, Any]:
    """Write all files of a bundle into an existing empty folder; return the manifest with the checksums.

    The same arguments give the same bytes.
    """
    simulated = ", trained on simulated ECGs" if manifest["simulated"] else ""
    files = {
        "model.tflite": model,
        "parity.npz": _npz(parity_set),
        "device_parity.py": Path(parity.__file__).read_bytes(),
        "README.txt": README.format(**manifest | {"simulated": simulated}).encode(),
    }
    manifest = {
        "format_version": parity.FORMAT_VERSION,
        "kind": "bundle",
        **manifest,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    manifest["manifest_sha256"] = parity.manifest_checksum(manifest)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8", newline="\n")
    return manifest


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    """An .npz file without the time of its making in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), content.getvalue())
    return buffer.getvalue()
