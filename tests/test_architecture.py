"""The house as it is drawn: a room imports only from rooms before it, devices import nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SIGNAL = "omi_keras.signal"
# What each room may import of ours. evaluation takes arrays, so it stands before training, which uses its metrics.
MAY_IMPORT = {
    "omi_keras.signal": set(),
    "omi_keras.simulate": {SIGNAL},
    "omi_keras.data": {SIGNAL, "omi_keras.simulate"},
    "omi_keras.models": {SIGNAL, "omi_keras.data"},
    "omi_keras.evaluation": {SIGNAL},
    "omi_keras.training": {SIGNAL, "omi_keras.data", "omi_keras.models", "omi_keras.evaluation"},
    "omi_keras.report": {
        SIGNAL,
        "omi_keras.data",
        "omi_keras.models",
        "omi_keras.evaluation",
        "omi_keras.training",
    },
    "omi_keras.saliency": {
        SIGNAL,
        "omi_keras.simulate",
        "omi_keras.data",
        "omi_keras.models",
        "omi_keras.evaluation",
    },
    "omi_keras.predict": {SIGNAL, "omi_keras.models", "edge"},
    "omi_keras.terminal": {SIGNAL, "omi_keras.data"},
    "edge": {SIGNAL},
    # The files of edge that run where models are trained.
    "edge.export": {SIGNAL, "edge", "edge.convert", "edge.graph", "omi_keras.data", "omi_keras.models"},
    "edge.convert": {SIGNAL, "edge", "edge.graph", "omi_keras.models"},
    "edge.graph": {SIGNAL, "omi_keras.models"},
}
HEAVY = {"tensorflow", "keras", "sklearn", "pandas", "matplotlib", "tf_keras_vis", "jax", "torch", "wfdb", "joblib"}
HEAVY |= {"pydicom", "defusedxml", "cryptography"}  # small, but optional
LIGHT_AT_IMPORT = (
    "omi_keras.signal",
    "omi_keras.simulate",
    "omi_keras.cli",
    "omi_keras.commands",
    "omi_keras.terminal",
    "edge",
)


def modules():
    for package in ("omi_keras", "edge"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, path


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            if node.module in ("edge", "omi_keras"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(name):
    if name in MAY_IMPORT:
        return name
    parts = name.split(".")
    return parts[0] if parts[0] == "edge" else ".".join(parts[:2])


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda value: str(value))
def test_imports_point_one_way(name, path):
    room = room_of(name)
    if room in ("omi_keras", "omi_keras.__version__", "omi_keras.cli", "omi_keras.commands"):
        return
    allowed = MAY_IMPORT[room] | {room}
    for module in imported(ast.parse(path.read_text(encoding="utf-8"))):
        if module.split(".")[0] not in ("omi_keras", "edge"):
            continue
        assert room_of(module) in allowed, f"{name} imports {module}"


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda value: str(value))
def test_devices_and_help_import_nothing_heavy(name, path):
    if not name.startswith(LIGHT_AT_IMPORT):
        return
    top = ast.Module([node for node in ast.parse(path.read_text(encoding="utf-8")).body if _runs(node)], [])
    assert not HEAVY & {module.split(".")[0] for module in imported(top)}


def _runs(node):
    """Whether a statement at module level runs at import (not a function, nor a block for type checkers)."""
    typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    return not typing_only and not isinstance(node, ast.FunctionDef | ast.ClassDef)


def test_nothing_imports_the_command_line():
    for name, path in modules():
        assert "omi_keras.cli" not in set(imported(ast.parse(path.read_text(encoding="utf-8")))), name


def test_help_imports_no_numpy():
    check = (
        "import sys; from click.testing import CliRunner; from omi_keras.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "found = {'numpy', 'scipy', 'pandas', 'tensorflow', 'keras', 'ai_edge_litert'} & sys.modules.keys()\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_device_parity_parses_on_python_3_9():
    source = (ROOT / "edge" / "parity.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 9))
    # New syntax of types is text to 3.9 only under this import.
    assert "from __future__ import annotations" in source


def test_every_file_can_be_read_in_one_sitting():
    long = {
        name: lines for name, path in modules() if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long
