"""What a file is that is no recording: a sentence about that helps more than one about missing bytes."""

from __future__ import annotations

import re

ZIP_MAGIC = b"PK\x03\x04"
# Start of the content → what it is, what to do.
_MAGIC = (
    (b"\x1f\x8b\x08", "compressed (gzip)", "unpack it first"),
    (b"BZh", "compressed (bzip2)", "unpack it first"),
    (b"\xfd7zXZ\0", "compressed (xz)", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "an archive (7-Zip)", "unpack it first"),
    (b"Rar!\x1a\x07", "an archive (RAR)", "unpack it first"),
    (b"PK\x05\x06", "an empty ZIP archive", "export the record again"),
    (b"%PDF", "a PDF document", "export the samples, not the printout"),
    (b"{\\rtf", "a text document (RTF)", "export the samples, not the printout"),
    (b"\x89PNG\r\n", "a picture (PNG)", "export the samples, not the picture"),
    (b"\xff\xd8\xff", "a picture (JPEG)", "export the samples, not the picture"),
    (b"GIF8", "a picture (GIF)", "export the samples, not the picture"),
    (b"II*\0", "a picture (TIFF)", "export the samples, not the picture"),
    (b"MM\0*", "a picture (TIFF)", "export the samples, not the picture"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document", "save the samples as CSV"),
    (b"\x89HDF\r\n\x1a\n", "HDF5", "save a .mat file with -v7, anything else as NPY or CSV"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself with git lfs pull"),
)
_HTML = re.compile(rb"(<\?xml[^>]*>|<!--.*?-->|\s)*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)


def what_it_is(head: bytes) -> tuple[str, str] | None:
    """What else a file is by its first bytes, and what to do about it; None when nothing that is known."""
    for magic, what, advice in _MAGIC:
        if head.startswith(magic):
            return what, advice
    if head.startswith(ZIP_MAGIC) and not is_npz(head):
        return "a ZIP archive", "unpack it first"
    if _HTML.match(head.removeprefix(b"\xef\xbb\xbf")):
        return "a web page (HTML), perhaps of an error", "download the record again"
    return None


def is_npz(head: bytes) -> bool:
    """Whether a ZIP archive begins with an array of NumPy."""
    size = int.from_bytes(head[26:28], "little")
    return head.startswith(ZIP_MAGIC) and head[30 : 30 + size].endswith(b".npy")
