"""What a page's content security policy lets run: its own script, and no other."""

from __future__ import annotations

import base64
import hashlib


def script_sha256(script: str) -> str:
    """Checksum of a script as a policy names it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
