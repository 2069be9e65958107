"""The page: everything escaped, nothing requested, the policy allows its own script and no other."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jinja2 import UndefinedError
from page_reading import Elements, assert_no_requests

from omi_keras.drawing.curves import roc_panel
from omi_keras.drawing.figures import single
from omi_keras.evaluation.decisions import RATES
from omi_keras.evaluation.subgroups import METRICS
from omi_keras.report.cells import Cell, count, number
from omi_keras.report.page import render
from omi_keras.report.report_page import Evidence, report_html

ROOT = Path(__file__).resolve().parents[2]
TABLE4 = ("val_auc", "val_ap", "test_auc", "test_ap")
TABLE5 = ("accuracy", "f1", "auc", "ap")
COUNTS = ("true_positive", "false_positive", "false_negative", "true_negative")
HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"


def everything(text):
    """The report with ``text`` wherever text comes from files."""
    return report_html(evidence(text))


def evidence(text, **changed):
    interval = {"lo": 0.1, "hi": 0.9}
    rates = {f"{name}{end}": 0.5 for name in (*RATES, *METRICS, *TABLE5) for end in ("", "_lo", "_hi")}
    panels = {text: single(lambda axes: roc_panel(axes, {"test": ([0, 1], [0.2, 0.9])}, 0.5))}
    tables = {
        "table4": [{"model": text, "folds": 2} | {f"{name}_{of}": 0.5 for name in TABLE4 for of in ("mean", "sd")}],
        "intervals": [
            {"model": text, "folds": 2, "ecgs": 9, "patients": 8, "omi": 3}
            | {f"{name}{end}": 0.5 for name in ("auc", "ap", "brier") for end in ("", "_lo", "_hi")}
        ],
        "comparison": [
            {"first": text, "second": text, "metric": text, "folds": 2, "difference": 0.1, "p": 0.2, "p_holm": 0.4}
            | interval
        ],
        "table5": [{"split": text} | rates, {"split": "test"} | rates],
        "decisions": [{"rule": text, "split": text, "threshold": 0.5} | dict.fromkeys(COUNTS, 3) | rates],
        "subgroups": [{"group": text, "value": text, "ecgs": 9, "patients": 8, "omi": 3} | rates],
        "errors": [{"ecg_id": text, "error": text, "probability": 0.5, "facts": text}],
    }
    found = Evidence(
        title=text,
        simulated=True,
        selected={"model": text, "fold": 0, "threshold": 0.5, "by": "validation"},
        tables={name: pd.DataFrame(rows) for name, rows in tables.items()},
        figures=dict.fromkeys(("history", "curves", "calibration", "decision_curve"), panels),
        provenance={text: text},
        notes=[text],
    )
    return replace(found, **changed)


def test_hostile_text_is_escaped_everywhere():
    found = everything(HOSTILE)
    assert "<script>alert" not in found
    assert "<img" not in found
    # Wherever text comes from files, but the metric, which is written large.
    assert found.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 23
    assert_no_requests(found)
    assert [tag for tag, _ in Elements(found).found].count("script") == 1


@pytest.mark.parametrize("name", ["comparison", "subgroups", "errors"])
def test_what_the_evidence_lacks_the_page_leaves_out(name):
    whole = evidence("plain", figures={})
    part = replace(whole, tables={other: table for other, table in whole.tables.items() if other != name})
    empty = replace(whole, tables={**whole.tables, name: pd.DataFrame()})
    assert report_html(part) == report_html(empty)
    assert report_html(part).count("<table") == report_html(whole).count("<table") - 1
    assert "<figure>" not in report_html(whole)
    assert "SIMULATED" not in report_html(replace(whole, simulated=False))


def test_a_name_that_a_template_lacks_is_an_error():
    with pytest.raises(UndefinedError):
        render("report.html.j2", title="no more")


def test_every_template_is_part_of_the_package():
    """What is not declared as package data is missing from a wheel, and only there."""
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    folder = ROOT / "omi_keras" / "report"
    declared = {path for pattern in options["omi_keras.report"] for path in folder.glob(pattern)}
    assert declared == set((folder / "templates").iterdir())
    assert len(declared) >= 5


def test_policy_allows_the_pages_own_script_only():
    found = everything("plain")
    policy = next(
        attributes["content"]
        for tag, attributes in Elements(found).found
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    script = re.search(r"<script>(.*)</script>", found, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy


def test_same_content_same_bytes():
    assert everything("one") == everything("one")


def test_numbers():
    assert number(0.1234, 0.1, 0.2) == Cell("0.123", 0.1234, "0.100 to 0.200")
    assert number(0.0) == Cell("0.000", 0.0)
    assert number(np.nan, 0.1, 0.2).text == count(np.nan).text == "undefined"
    assert count(10893) == Cell("10,893", 10893)


@pytest.mark.parametrize(("value", "sort"), [(0.5, 'data-v="0.5"'), (0.0, 'data-v="0"'), (np.nan, 'data-v=""')])
def test_cells_sort_by_their_numbers(value, sort):
    whole = evidence("plain")
    errors = whole.tables["errors"].assign(probability=value)
    assert f"<td {sort}>" in report_html(replace(whole, tables={**whole.tables, "errors": errors}))
