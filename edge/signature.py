"""Who made a bundle: an Ed25519 signature (RFC 8032) of its manifest, which holds the checksums of all other files; a
bundle with a file that it does not name is refused before anybody looks at the signature.

Checksums alone show damage; only the signature shows deceit. Keys are PEM files, as OpenSSL makes them:

    openssl genpkey -algorithm ed25519 -out private.pem
    openssl pkey -in private.pem -pubout -out public.pem
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.verified import MANIFEST
from edge.verified import SIGNATURE_FILE as FILE
from omi_keras.recordings.errors import InputError


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
    (folder / FILE).write_bytes(key.sign((folder / MANIFEST).read_bytes()))


def check_signature(bundle: Path, key: Any, contents: dict[str, bytes]) -> None:
    """Raise InputError unless a bundle was signed with the private half of ``key``.

    Parameters
    ----------
    bundle
        The folder, for the message.
    contents
        Of :func:`edge.verified.load`: these very bytes are what is used, and what was signed.
    """
    from cryptography.exceptions import InvalidSignature

    if FILE not in contents:
        raise InputError(f"{bundle} is not signed: it has no {FILE}; export it with --sign", "bad_signature")
    try:
        key.verify(contents[FILE], contents[MANIFEST])
    except InvalidSignature:
        raise InputError(
            f"{bundle} was not signed with this key, or {MANIFEST} or {FILE} was altered; do not use it",
            "bad_signature",
        ) from None
