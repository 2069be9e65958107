"""The torture script on the commands that need no network; by hand it does all of them, twenty times."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "torture"


@pytest.mark.slow
def test_nothing_is_lost_or_left():
    call = [sys.executable, SCRIPT, "--times", "2", "--commands", "simulate,prepare"]
    done = subprocess.run(call, capture_output=True, encoding="utf-8", timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| simulate | 2/2 | 2/2 | 2/2 |" in done.stdout
