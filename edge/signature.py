"""Who made a bundle: an Ed25519 signature (RFC 8032) of its manifest, which holds the checksums of all other files.

Checksums alone show damage; only the signature shows deceit. Keys are PEM files, as OpenSSL makes them:

    openssl genpkey -algorithm ed25519 -out private.pem
    openssl pkey -in private.pem -pubout -out public.pem
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omi_keras.recordings.errors import InputError

FILE = "manifest.sig"
SIZE = 64


def read_private_key(path: Path) -> Any:
    """Read a private key from an unencrypted PEM file; InputError when it holds none."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return _read(path, "private", lambda content: load_pem_private_key(content, None), "Ed25519PrivateKey")


def read_public_key(path: Path) -> Any:
    """Read a public key from a PEM file; InputError when it holds none."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return _read(path, "public", load_pem_public_key, "Ed25519PublicKey")


def _read(path: Path, kind: str, load: Any, class_name: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ed25519

    try:
        key = load(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", "not_found") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, getattr(ed25519, class_name)):
        raise InputError(f"{path} is no {kind} Ed25519 key in a PEM file without a password", "bad_key")
    return key


def sign(folder: Path, key: Any) -> None:
    """Write the signature of ``manifest.json`` beside it. The same key and manifest give the same bytes."""
    (folder / FILE).write_bytes(key.sign((folder / "manifest.json").read_bytes()))


def check_signature(bundle: Path, key: Any, manifest: dict[str, Any]) -> None:
    """Raise InputError unless ``manifest``, as read from a bundle, was signed with the private half of ``key``."""
    from cryptography.exceptions import InvalidSignature

    path = bundle / FILE
    if path.is_symlink() or not path.is_file():
        raise InputError(f"{bundle} is not signed: it has no {FILE}; export it with --sign", "bad_signature")
    with path.open("rb") as file:
        signature = file.read(SIZE + 1)
    signed = (bundle / "manifest.json").read_bytes()
    try:
        key.verify(signature, signed)
        # The file that was signed must still be the one that was read.
        genuine = json.loads(signed) == manifest
    except (InvalidSignature, ValueError):
        genuine = False
    if not genuine:
        raise InputError(
            f"{bundle} was not signed with this key, or manifest.json or {FILE} was altered; do not use it",
            "bad_signature",
        )
