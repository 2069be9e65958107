"""The page of predict: a list and pictures, all text escaped, nothing requested, memory that does not grow."""

import base64
import hashlib
import re
import tracemalloc

import pytest
from page_reading import Elements, assert_no_requests

from omi_keras.recordings.errors import InputError
from omi_keras.report.ecg_page import new_page

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)> $sheets ${items} $$ \ud800\x07 π"
SHOWN = HOSTILE.replace("\ud800\x07", "??")


class Drawn:
    """In the place of a picture."""

    def __init__(self, svg="<svg></svg>"):
        self.svg = lambda: svg


def row(name="a", probability=0.5, **more):
    found = {"file": f"ecgs/{name}.hea", "ecg_id": name, "probability": probability, "decision": probability >= 0.5}
    return found | {"threshold": 0.5, "band": None, "quality": []} | more


def written(path, rows, **options):
    with new_page(path, **options) as add:
        for one in rows:
            add(one, None if "error" in one else Drawn())
    return path.read_text(encoding="utf-8")


def options_of(text):
    return [attributes for tag, attributes in Elements(text).found if attributes.get("role") == "option"]


def said(text):
    """What the list says of each ECG."""
    return [re.sub(r"<[^>]*>", "", item).strip() for item in re.findall(r"<li .*?</li>", text, re.DOTALL)]


def test_highest_probability_first_and_what_was_not_judged_last(tmp_path):
    refused = {"file": "ecgs/bad.hea", "error": "bad.hea: is cut off"}
    rows = [row("low", 0.1), refused, row("high", 0.9, band="rule-in", quality=["flat:V2"]), row("middle", 0.5)]
    text = written(tmp_path / "a.html", rows, note="A sentence.")
    high, middle, low, bad = said(text)
    assert (high, middle) == ("high 0.90 OMI rule-in · lead V2 is flat", "middle 0.50 OMI")
    assert (low, bad) == ("low 0.10 no OMI", "bad.hea not judged is cut off")
    items = options_of(text)
    assert [item["id"] for item in items] == ["o2", "o3", "o0", "o1"]
    assert [item["aria-selected"] for item in items] == ["true", "false", "false", "false"]
    assert [item["data-probability"] for item in items] == ["0.9", "0.5", "0.1", ""]
    assert [item["data-flags"] for item in items] == ["1", "0", "0", "99"]
    sheets = [(attributes["id"], attributes["class"]) for tag, attributes in Elements(text).found if tag == "section"]
    assert sheets == [("e2", "sheet drawn shown"), ("e3", "sheet drawn"), ("e0", "sheet drawn"), ("e1", "sheet")]
    assert "3 judged, 2 OMI, 1 rule-in, 1 could not be judged. A sentence. Research software" in text
    assert "<b>Not judged.</b> bad.hea: is cut off" in text
    assert "SIMULATED" not in text and "SIMULATED" in written(tmp_path / "b.html", rows, simulated=True)


def test_ecgs_of_one_name_are_told_apart(tmp_path):
    text = written(tmp_path / "a.html", [row(), row(file="others/a.hea"), row("b")])
    assert said(text) == ["a 0.50 OMI ecgs/a.hea", "a 0.50 OMI others/a.hea", "b 0.50 OMI"]


def test_hostile_text_is_escaped_everywhere(tmp_path):
    rows = [row(HOSTILE, file=HOSTILE, band=HOSTILE, quality=[HOSTILE]), row(HOSTILE)]
    rows.append({"file": HOSTILE, "error": HOSTILE})
    text = written(tmp_path / "a.html", rows, note=HOSTILE, title=HOSTILE)
    assert "<script>alert" not in text and "<img" not in text
    assert_no_requests(text)
    found = Elements(text).found
    assert [tag for tag, _ in found].count("script") == 1
    assert {item["aria-selected"] for item in options_of(text)} == {"true", "false"}
    regions = [attributes["aria-label"] for _, attributes in found if attributes.get("role") == "region"]
    assert regions == [f"Picture of {SHOWN}"] * 2


def test_the_policy_allows_the_pages_own_script_only(tmp_path):
    text = written(tmp_path / "a.html", [row()])
    policy = next(found["content"] for tag, found in Elements(text).found if "http-equiv" in found)
    script = re.search(r"<script>(.*)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ") and f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-eval" not in policy


def test_force_replaces_such_a_page_only(tmp_path):
    page, others = tmp_path / "a.html", tmp_path / "report.html"
    first = written(page, [row()])
    others.write_text(
        '<!doctype html>\n<html lang="en">\n<meta name="generator" content="omi-keras">', encoding="utf-8"
    )
    with pytest.raises(InputError, match="exists already"):
        written(page, [row("b")])
    with pytest.raises(InputError, match="no page of predict"):
        written(others, [row("b")], force=True)
    assert page.read_text(encoding="utf-8") == first
    assert written(page, [row("b")], force=True) != first
    with pytest.raises(InputError, match="absent is not a folder"):
        written(tmp_path / "absent" / "a.html", [row()])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "report.html"]


def test_a_page_that_is_not_finished_is_none(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_page(tmp_path / "a.html") as add:
        add(row(), Drawn())
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_no_ecgs_make_a_page_too(tmp_path):
    assert "0 judged, 0 OMI. Research" in written(tmp_path / "a.html", [])


def test_memory_does_not_grow_with_the_pictures(tmp_path):
    svg = f"<svg>{'x' * 100_000}</svg>"
    tracemalloc.start()
    with new_page(tmp_path / "a.html") as add:
        for k in range(100):
            add(row(str(k)), Drawn(svg))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "a.html").stat().st_size > 100 * len(svg)
    assert peak < 2_000_000
