"""Every room names its public face, the same for types and at run time, and loads what is asked for only."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for path in (ROOT / "omi_keras").rglob("__init__.py")
    if "cli" not in path.parts and "formats" not in path.parts
)


def for_types(room):
    """Names that type checkers see, with the modules they come from."""
    tree = ast.parse((ROOT / Path(*room.split(".")) / "__init__.py").read_text(encoding="utf-8"))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for statement in node.body:
                assert all(alias.asname == alias.name for alias in statement.names), ast.unparse(statement)
                found |= {alias.name: statement.module for alias in statement.names}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_is_in_it(room):
    face = import_module(room)
    assert face.__doc__ and len(face.__doc__) > 20
    assert face.__all__
    home = for_types(room)
    assert sorted(home) == sorted(name for name in face.__all__ if name != "__version__")
    for name, module in home.items():
        # A name that is a module of the room as well would be one or the other, by what was imported before.
        assert not (ROOT / Path(*room.split("."), f"{name}.py")).exists(), f"{room}.{name} is a module too"
        assert getattr(face, name) is getattr(import_module(module), name)
        assert name in dir(face)
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = face.nothing_here


@pytest.mark.parametrize("room", ROOMS)
def test_entering_a_room_loads_nothing(room):
    check = (
        f"import sys, {room}\n"
        "found = {'numpy', 'scipy', 'pandas', 'tensorflow', 'keras', 'jinja2'} & sys.modules.keys()\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{check}"], check=True)
