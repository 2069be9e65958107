"""A headless Chromium, where there is one: what it prints and shows."""

import os
import re
import shutil
import subprocess
import zlib

import numpy as np
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MM_PER_POINT = 25.4 / 72


def chromium(tmp_path, *arguments):
    """Run it, or skip the test."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium on this machine: set CHROMIUM to its path or install it")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [program, *options, *arguments], capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed(tmp_path, page):
    """The PDF of a page."""
    out = tmp_path / "printed.pdf"
    chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={out}", page.as_uri())
    return out.read_bytes()


def pages(pdf):
    """Sizes of the pages, mm, each (width, height)."""
    boxes = re.findall(rb"/MediaBox ?\[([^\]]*)\]", pdf)
    return [tuple(float(number) * MM_PER_POINT for number in box.split()[2:]) for box in boxes]


def lines(pdf):
    """Lines of each page that has some, (k, 2) mm, as the page's operators q, Q, cm, m and l say."""
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            text = zlib.decompress(stream).decode("latin-1")
        except zlib.error:
            continue
        if " Tf\n" in text:  # a page; the letters of fonts are drawn elsewhere
            found.append(list(_lines(text)))
    return found


def _lines(text):
    matrix, saved, points = np.eye(3), [], []
    for line in text.splitlines():
        *numbers, operator = line.split() or [""]
        if operator == "q":
            saved.append(matrix)
        elif operator == "Q":
            matrix = saved.pop()
        elif operator == "cm":
            a, b, c, d, e, f = map(float, numbers)
            matrix = np.array([[a, b, 0], [c, d, 0], [e, f, 1]]) @ matrix
        elif operator in ("m", "l"):
            if operator == "m" and len(points) > 1:
                yield np.array(points) * MM_PER_POINT
            if operator == "m":
                points = []
            points.append(([float(number) for number in numbers] + [1]) @ matrix[:, :2])
        elif operator in ("S", "f", "n", "h") and len(points) > 1:
            yield np.array(points) * MM_PER_POINT
            points = []
