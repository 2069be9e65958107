"""The C++ example, compiled."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest
from once import once

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """docs/how-to/detect.cpp against the library that the LiteRT wheel brings."""
    litert = Path(importlib.util.find_spec("ai_edge_litert").origin).parent
    if shutil.which("g++") is None or not (litert / "libLiteRt.so").is_file():
        pytest.skip("needs g++ and a LiteRT wheel with libLiteRt.so")

    def make(folder):
        command = ["g++", "-std=c++17", "-Wall", "-Werror", ROOT / "docs" / "how-to" / "detect.cpp", "-o"]
        command += [folder / "detect", "-L", litert, "-lLiteRt", f"-Wl,-rpath,{litert}"]
        subprocess.run(command, check=True, timeout=300)

    return once(tmp_path_factory, "native", make) / "detect"
