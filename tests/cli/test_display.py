"""What a person sees of training: bars on a terminal, plain lines elsewhere, and nothing that ends the training."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

# Two of three folds of two epochs with four steps each; READY is said before and after Ctrl-C.
TRAIN = """
import signal, sys
from omi_keras.cli import display
display.SECONDS_BETWEEN_DRAWINGS = 0.0
row = {"loss": 0.7, "val_loss": 0.6, "val_auc": 0.5, "val_ap": 0.4, "val_score": 0.3, "learning_rate": 1e-5}
try:
    with display.Display(3, epochs=2) as shown:
        for fold in (0, 1):
            for epoch in (1, 2):
                for step in range(4):
                    shown.step(step + 1, 4)
                shown.epoch(f"fold {fold}", row | {"epoch": epoch})
            shown.fold_done(f"fold {fold}")
        if "interrupt" in sys.argv:
            signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
print("rich" in sys.modules)
"""
LINE = "fold {} epoch {}: loss 0.7000  val loss 0.6000  val AUC 0.5000  val AP 0.4000  val score 0.3000  lr 1e-05"
LINES = [LINE.format(fold, epoch) for fold in (0, 1) for epoch in (1, 2)]


def python(*arguments, **options):
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "PYTHONWARNINGS": ""}
    return subprocess.run(
        [sys.executable, "-c", TRAIN, *arguments], env=environment, stdout=subprocess.PIPE, text=True, timeout=60,
        **options,
    )  # fmt: skip


@pytest.fixture
def on_terminal():
    """Run the training on a pseudo-terminal; what stood on it, and standard output."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")

    def run(*arguments):
        ours, theirs = pty.openpty()
        done = python(*arguments, stderr=theirs)
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 1 << 16):
                seen += part
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(ours)
        assert done.returncode == 0
        return seen.decode(), done.stdout

    return run


def test_bars_and_lines_on_a_terminal(on_terminal):
    seen, out = on_terminal()
    assert out == "True\n"
    for line in LINES:
        assert seen.count(line) == 1
    for part in ("0/3", "1/3", "2/3", "step 4/4"):
        assert part in seen
    assert "3/3" not in seen
    assert re.search(r"0:00:\d\d", seen), "the time that is left"
    assert seen.count("\x1b[?25h") == seen.count("\x1b[?25l") == 1, "the cursor comes back"


def test_ctrl_c_leaves_the_terminal_as_it_was(on_terminal):
    seen, out = on_terminal("interrupt")
    assert out.startswith("interrupted\n")
    assert seen.count("\x1b[?25h") == seen.count("\x1b[?25l") == 1


def test_plain_lines_elsewhere():
    done = python(stderr=subprocess.PIPE)
    assert done.stderr.splitlines() == LINES
    assert done.stdout == "False\n"


def test_closed_standard_error_does_not_end_the_training():
    assert python(preexec_fn=lambda: os.close(2)).stdout == "False\n"


def test_reader_that_went_away_does_not_end_the_training():
    reader, writer = os.pipe()
    os.close(reader)
    done = python(stderr=writer)
    os.close(writer)
    assert (done.returncode, done.stdout) == (0, "False\n")
