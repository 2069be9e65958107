"""Text is read and written as UTF-8 wherever the program runs: nothing leaves its encoding to the locale."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = ("text", "universal_newlines")
FOLDERS = ("omi_keras", "edge", "scripts", "tests")


def left_to_the_locale(source):
    """Calls that open, read, write or decode text without saying how: [(line, what)]."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if "encoding" in given or None in given:
            continue
        whole = name in ("read_text", "write_text") and len(node.args) < (1 if name == "read_text" else 2)
        decoded = any(isinstance(given.get(way), ast.Constant) and given[way].value for way in TEXT)
        if whole or decoded or (name == "open" and _opens_text(node, given)):
            yield node.lineno, name


def _opens_text(node, given):
    method = isinstance(node.func, ast.Attribute)
    place = node.args[0 if method else 1 :]
    mode = place[0] if place else given.get("mode")
    if mode is None:
        return not node.args if method else True
    # What is no mode is another library's open.
    if not (isinstance(mode, ast.Constant) and isinstance(mode.value, str) and set(mode.value) <= set("rwax+tb")):
        return False
    return "b" not in mode.value


def files():
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and (
                path.suffix == ".py" or (folder == "scripts" and path.read_bytes()[:20].count(b"python"))
            ):
                yield path


def test_nothing_is_left_to_the_locale():
    found = [
        f"{path.relative_to(ROOT)}:{line} {what}"
        for path in files()
        for line, what in left_to_the_locale(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "bad"),
    [
        ("open('a')", True),
        ("open('a', 'w')", True),
        ("path.open()", True),
        ("path.open('r+')", True),
        ("path.read_text()", True),
        ("path.write_text(text)", True),
        ("run(a, text=True)", True),
        ("path.open('rb')", False),
        ("open('a', mode='wb')", False),
        ("path.open('w', encoding='utf-8')", False),
        ("path.read_text('utf-8')", False),
        ("archive.open(name)", False),
        ("run(a)", False),
    ],
)
def test_what_is_found(source, bad):
    assert bool(list(left_to_the_locale(source))) is bad
