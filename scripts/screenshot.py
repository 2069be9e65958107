#!/usr/bin/env python
"""The top of a page as it looks in a browser, as a small PNG; README's picture:

    python scripts/screenshot.py demo/ecgs.html docs/demo.png

Needs Chromium (or the path of another browser that is built on it, in CHROMIUM) and Pillow, which Matplotlib brings.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
COLOURS, SECONDS = 256, 120


def screenshot(page: Path, out: Path, width: int, height: int) -> None:
    """Write a page's upper left rectangle, in few colours."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        sys.exit("no Chromium here: install it, or set CHROMIUM to its path")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--user-data-dir={folder}/profile", f"--window-size={width},{height}", f"--screenshot={shot}"]
        command = [program, *options, page.resolve().as_uri()]
        subprocess.run(command, check=True, timeout=SECONDS, stderr=subprocess.DEVNULL)
        # The colours that are farthest from each other: few have much of the page, and many tell something.
        how = {"method": Image.Quantize.MAXCOVERAGE, "dither": Image.Dither.NONE}
        few = Image.open(shot).convert("RGB").quantize(COLOURS, **how)
        few.save(out, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--height", type=int, default=940)
    given = parser.parse_args()
    screenshot(given.page, given.out, given.width, given.height)
    print(f"{given.out}: {given.out.stat().st_size / 1000:.0f} kB")
