"""The house as it is drawn: a room imports only from rooms above it, devices import nothing heavy."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# From top to bottom, as the data flows; a room imports from rooms above it only.
ROOMS = (
    "omi_keras.lazy",
    "omi_keras.chatter",
    "omi_keras.recordings",
    "omi_keras.beats",
    "omi_keras.measures",
    "omi_keras.simulate",
    "omi_keras.data",
    "omi_keras.evaluation",
    "omi_keras.models",
    "omi_keras.model",
    "omi_keras.training",
    "omi_keras.drawing",
    "omi_keras.report",
    "omi_keras.saliency",
    "omi_keras.cli",
)
# What a user holds in the hand opens doors to rooms below it, inside a function, where they are asked for.
DOORS = {
    "omi_keras.model": {"omi_keras.saliency", "omi_keras.report", "edge"},
    "omi_keras.training.run": {"omi_keras.report"},
    # In a notebook they show themselves.
    "omi_keras.recordings.record": {"omi_keras.drawing"},
    "omi_keras.beats.median_beats": {"omi_keras.drawing"},
    "edge.detector": {"omi_keras.drawing"},
    # One function names the band of a probability, the device's.
    "omi_keras.drawing.ecg_picture_text": {"edge"},
    # A dataset comes with a page on which a person checks the import.
    "omi_keras.data.prepare": {"omi_keras.report"},
    # Bundles are judged as the device runs them; of models, what they look at is drawn.
    "omi_keras.report.judges": {"edge", "omi_keras.saliency"},
}
DEVICE = {"omi_keras.lazy", "omi_keras.recordings", "omi_keras.beats", "omi_keras.measures"}
EDGE = {
    "edge": DEVICE,
    # The files of edge that run where models are trained.
    "edge.export": DEVICE | {"omi_keras.data", "omi_keras.models", "omi_keras.model"},
    "edge.conversion": DEVICE | {"omi_keras.chatter", "omi_keras.models"},
    "edge.conversion_process": DEVICE | {"omi_keras.chatter", "omi_keras.models"},
    "edge.convert": DEVICE | {"omi_keras.chatter", "omi_keras.models"},
    "edge.graph": DEVICE | {"omi_keras.models"},
}
HEAVY = {"tensorflow", "keras", "sklearn", "pandas", "matplotlib", "tf_keras_vis", "jax", "torch", "wfdb", "joblib"}
HEAVY |= {"jinja2", "rich"}
HEAVY |= {"pydicom", "defusedxml", "cryptography"}  # small, but optional
# An ECG is drawn on the device too; by matplotlib only where a PNG or PDF is asked for.
PICTURE = tuple(f"omi_keras.drawing.{name}" for name in ("ecg_picture", "scene_svg", "palette", "files"))
PAGE = ("omi_keras.report.ecg_page", "omi_keras.report.policy", "omi_keras.data.one_file")
LIGHT_AT_IMPORT = (*DEVICE, *PICTURE, *PAGE, "omi_keras.simulate", "omi_keras.cli", "edge")
LONGEST = 300


def modules():
    for package in ("omi_keras", "edge"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, path


MODULES = list(modules())


def imported(tree, inside=True):
    """Names of modules that are imported; with ``inside=False`` only those that are needed at import."""
    for node in ast.walk(tree) if inside else ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            if node.module in ("edge", "omi_keras"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(name):
    parts = name.split(".")
    return parts[0] if parts[0] == "edge" else ".".join(parts[:2])


def is_ours(module):
    return module.split(".")[0] in ("omi_keras", "edge") and module not in ("omi_keras", "omi_keras.__version__")


@pytest.mark.parametrize(("name", "path"), MODULES, ids=lambda value: str(value))
def test_imports_point_one_way(name, path):
    room, tree = room_of(name), ast.parse(path.read_text(encoding="utf-8"))
    if room == "omi_keras":  # the front door
        return
    used = {room_of(module) for module in imported(tree) if is_ours(module)} - {room}
    if room == "edge":
        files = {f"edge.{other.stem}" for _, other in MODULES if other.parent.name == "edge"}
        allowed = EDGE.get(name, EDGE["edge"]) | DOORS.get(name, set())
        at_import = {room_of(module) for module in imported(tree, inside=False) if is_ours(module)}
        assert at_import.isdisjoint(DOORS.get(name, set())), f"{name} opens a door when it is loaded"
        trained = {module for module in imported(tree, inside=False) if module in EDGE and module != "edge"}
        assert name in EDGE or not trained & files, f"{name} imports {trained}, which a device does not have"
    else:
        above = set(ROOMS[: ROOMS.index(room)])
        allowed = above | DOORS.get(name, set())
        if room == "omi_keras.cli":
            allowed |= {"edge"}
        at_import = {room_of(module) for module in imported(tree, inside=False) if is_ours(module)} - {room}
        assert at_import <= above, f"{name} imports {at_import - above} when it is loaded"
    assert used <= allowed, f"{name} imports {used - allowed}"


def test_every_room_is_drawn():
    found = {room_of(name) for name, _ in MODULES if name.startswith("omi_keras.")}
    assert found == set(ROOMS)


@pytest.mark.parametrize(("name", "path"), MODULES, ids=lambda value: str(value))
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
    for name, path in MODULES:
        if not name.startswith("omi_keras.cli"):
            found = set(imported(ast.parse(path.read_text(encoding="utf-8"))))
            assert not any(module.startswith("omi_keras.cli") for module in found), name


def test_help_imports_no_numpy():
    check = (
        "import sys; from click.testing import CliRunner; from omi_keras.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "found = {'numpy', 'scipy', 'pandas', 'tensorflow', 'keras', 'ai_edge_litert'} & sys.modules.keys()\n"
        "found |= {'jinja2', 'markupsafe', 'rich'} & sys.modules.keys()\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_device_parity_is_python_3_9():
    from edge.bundle import device_script

    tree = ast.parse(device_script(), feature_version=(3, 9))
    for node in ast.walk(tree):
        kinds = [getattr(node, name, None) for name in ("annotation", "returns")]
        union = [part for kind in kinds if kind for part in ast.walk(kind) if isinstance(part, ast.BinOp)]
        assert not union, f"line {node.lineno}: int | None runs from 3.10 on; quote it"


def test_device_parity_imports_nothing_of_ours_and_nothing_before_it_left_its_folder():
    from edge.bundle import device_script

    body = ast.parse(device_script()).body
    assert {module.split(".")[0] for module in imported(ast.Module(body, []))}.isdisjoint({"edge", "omi_keras"})
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    leaves = next(node for node in body if isinstance(node, ast.If))
    before = [node for node in imports if node.lineno < leaves.lineno]
    assert [alias.name for node in before for alias in node.names] == ["sys"], "sys is built in; others are files"


def test_every_file_can_be_read_in_one_sitting():
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES}
    assert not {name: count for name, count in lines.items() if count > LONGEST}


def test_every_command_has_its_file():
    """``omi-keras export-tflite`` is in ``cli/export_tflite.py``."""
    from omi_keras.cli import main

    files = {path.stem for _, path in MODULES if path.parent.name == "cli"}
    assert {name.replace("-", "_") for name in main.commands} <= files


def test_only_the_report_knows_html():
    """Markup stands in the report's templates: no element but the SVG that matplotlib draws is written elsewhere."""
    element = r"</?(?:html|body|div|table|td|th|p|section|style|script|small|figure)\b"
    texts = {name: path.read_text(encoding="utf-8") for name, path in MODULES}
    written = {name for name, text in texts.items() if re.search(element, text) or "markupsafe" in text}
    assert written <= {"omi_keras.report.page"}
