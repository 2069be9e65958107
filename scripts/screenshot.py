#!/usr/bin/env python
"""The top of a page as it looks in a browser, as a small PNG; README's picture:

    python scripts/screenshot.py demo/ecgs.html docs/demo.png --show OMI-RCA

Needs Chromium (or the path of another browser that is built on it, in CHROMIUM) and Pillow, which Matplotlib brings.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
COLOURS, SECONDS = 256, 120


def screenshot(page: Path, out: Path, width: int, height: int, show: str) -> None:
    """Write a page's upper left rectangle, in few colours, when the ECG whose name begins with ``show`` was chosen."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        sys.exit("no Chromium here: install it, or set CHROMIUM to its path")
    with tempfile.TemporaryDirectory() as folder:
        shot, copy = Path(folder) / "shot.png", Path(folder) / "page.html"
        copy.write_text(chosen(page.read_text(encoding="utf-8"), show), encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--user-data-dir={folder}/profile", f"--window-size={width},{height}", f"--screenshot={shot}"]
        command = [program, *options, copy.as_uri()]
        subprocess.run(command, check=True, timeout=SECONDS, stderr=subprocess.DEVNULL)
        # The colours that are farthest from each other: few have much of the page, and many tell something.
        how = {"method": Image.Quantize.MAXCOVERAGE, "dither": Image.Dither.NONE}
        few = Image.open(shot).convert("RGB").quantize(COLOURS, **how)
        few.save(out, optimize=True)


def chosen(page: str, name: str) -> str:
    """The page with a click on an ECG of its list; its policy, which allows no script but its own, is left out."""
    click = f"[...list.children].find(item => item.textContent.startsWith({json.dumps(name)})).click();scrollTo(0, 0)"
    policy = re.compile('<meta http-equiv="Content-Security-Policy"[^>]*>')
    return policy.sub("", page).replace("</body>", f"<script>{click};list.blur()</script></body>") if name else page


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--height", type=int, default=940)
    parser.add_argument("--show", default="", metavar="NAME", help="the ECG of the list whose name begins so")
    given = parser.parse_args()
    screenshot(given.page, given.out, given.width, given.height, given.show)
    print(f"{given.out}: {given.out.stat().st_size / 1000:.0f} kB")
