"""The documents are built without a warning, and what they run runs. The Dockerfile is linted where hadolint is."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\(([^)#\s]+)")
# A file or folder of the project, alone or in a command.
PLACE = re.compile(r"(?<![\w/.-])(?:omi_keras|edge|tests|scripts|docs)/[\w./-]*\w/?")
PAGES = sorted(path for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def test_the_site_is_built_and_its_notebooks_run(tmp_path):
    pytest.importorskip("sphinx", reason="the docs extra is not installed")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-d",
        tmp_path / "trees",
        "docs",
        tmp_path / "site",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=1200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    page = (tmp_path / "site" / "tutorials" / "your-data-in-python.html").read_text(encoding="utf-8")
    assert "validation AUC" in page, "what the notebook printed is on the page"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    if "generated" in page.parts:
        return
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_are_there(page):
    if "generated" in page.parts:
        return
    places = {place for place in PLACE.findall(page.read_text(encoding="utf-8")) if "NAME" not in place}
    assert not sorted(place for place in places if not (ROOT / place).exists())


def test_contributing_answers_where_things_are():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`" in line]
    paths = [path for row in rows for path in re.findall(r"`((?:omi_keras|edge|tests)/[^`]+)`", row)]
    assert len(rows) >= 10
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_the_dockerfile_is_linted():
    if shutil.which("hadolint", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("hadolint is not installed")
    subprocess.run([Path(sys.executable).parent / "hadolint", ROOT / "Dockerfile"], check=True)
