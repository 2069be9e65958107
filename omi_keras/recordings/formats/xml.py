"""XML of strangers: no entities, nothing fetched, bounded in size, depth and elements; and numbers in it."""

from __future__ import annotations

import base64
import binascii
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

import numpy as np

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.formats.files import MAX_PARSED_BYTES
from omi_keras.recordings.formats.recording import needs, printable

MAX_DEPTH = 64
MAX_ELEMENTS = 200_000
_CHUNK = 1 << 16


def parse(data: bytes, file: str) -> Element:
    """The root element of a document.

    ``defusedxml`` refuses entity declarations and external references; a document type alone is let through, for
    every MUSE file has one.

    Raises
    ------
    InputError
        When it is not well formed, declares entities, or is too large, deep or rich in elements.
    """
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import DefusedXMLParser
    except ImportError:
        raise needs("defusedxml", file) from None
    if len(data) > MAX_PARSED_BYTES:
        raise InputError(f"{file}: {len(data)} bytes of XML are too many; cut out the 10 s of interest", "too_large")
    parser = DefusedXMLParser(target=_Builder(file), forbid_dtd=False, forbid_entities=True, forbid_external=True)
    try:
        for start in range(0, len(data), _CHUNK):
            parser.feed(data[start : start + _CHUNK])
        root: Element = parser.close()
    except ParseError as error:
        raise InputError(
            f"{file}: XML not well formed or cut off ({printable(str(error), 80)}); export it again", "bad_xml"
        ) from None
    except DefusedXmlException:
        raise InputError(f"{file}: XML with entities is refused; export it without them", "forbidden_xml") from None
    except (ValueError, LookupError) as error:  # an unknown or wrong encoding
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: XML in an unknown encoding; save it as UTF-8", "bad_xml") from None
    return root


class _Builder(TreeBuilder):
    """Builds the tree and stops where a document is deeper or richer than any ECG."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file, self.depth, self.elements = file, 0, 0

    def start(self, tag, attrs, /):  # type: ignore[no-untyped-def]  # as its parent
        self.depth += 1
        self.elements += 1
        if self.depth > MAX_DEPTH or self.elements > MAX_ELEMENTS:
            raise InputError(f"{self.file}: XML too deep or too many elements for an ECG", "forbidden_xml")
        return super().start(tag, attrs)

    def end(self, tag, /):  # type: ignore[no-untyped-def]
        self.depth -= 1
        return super().end(tag)


def local_name(element: Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def text(element: Element | None, path: str = "") -> str:
    """Text of an element, or of the first one below it at ``path`` (any namespace); empty when not there."""
    if element is not None and path:
        element = element.find("/".join(f"{{*}}{name}" if name else "" for name in path.split("/")))
    return "" if element is None else (element.text or "").strip()


def require(element: Element | None, path: str, file: str) -> Element:
    """The first element at ``path``, which must be there."""
    found = None if element is None else element.find("/".join(f"{{*}}{name}" for name in path.split("/")))
    if found is None:
        raise InputError(f"{file}: element <{path.split('/')[-1]}> is missing; export it again", "bad_xml")
    return found


def number(value: str | None, what: str, file: str) -> float:
    """A finite number that the file must state."""
    try:
        found = float(value or "")
    except ValueError:
        found = np.nan
    if not np.isfinite(found):
        raise InputError(
            f"{file}: {what} must be a number, got '{printable(value or '')}'; correct the file", "bad_xml"
        )
    return found


def integers(content: str, file: str, what: str = "sample") -> np.ndarray:
    """White-space separated integers, (n,) float64; the first that is none is named, counted from 0."""
    words = content.split()
    try:
        values = np.array(words, dtype=np.float64)
        if values.size == 0 or (np.isfinite(values).all() and (values == np.rint(values)).all()):
            return values
    except ValueError:
        pass
    for k, word in enumerate(words):
        try:
            int(word)
        except ValueError:
            raise InputError(
                f"{file}: {what} {k} is not an integer: {printable(word)}; export it again", "bad_signal"
            ) from None
    raise InputError(f"{file}: samples are not integers; export it again", "bad_signal")


def from_base64(content: str, file: str, what: str) -> bytes:
    """Bytes behind base 64 text."""
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{file}: {what} is not base 64; export it again", "bad_signal") from None
