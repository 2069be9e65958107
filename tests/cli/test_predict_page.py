"""omi-keras predict --html: what a browser shows and prints of it, and what stands in it."""

import json
import re
from importlib import import_module

import numpy as np
import pytest
from browser import chromium, lines, pages, printed
from helpers import run_cli

from edge.bands import band_of
from edge.detector import Detection
from omi_keras.beats import median_beat
from omi_keras.model import Model
from omi_keras.models.catalogue import build
from omi_keras.recordings.readers import read_record
from omi_keras.saliency import lead_contribution

COMMAND = import_module("omi_keras.cli.predict")
BANDS = {"rule_out": 0.2, "rule_in": 0.8}
PROBABILITIES = {"a": 0.25, "b": 0.9, "c": 0.1}


@pytest.fixture
def model(monkeypatch):
    """In the place of a bundle: the median beat is real, the probability goes by the file's name."""

    def detect(path):
        record = read_record(path)
        beat, p = median_beat(record), PROBABILITIES[path.stem]
        return Detection(p, p >= 0.5, 0.5, beat.flags, {}, band_of(p, BANDS), BANDS, record, beat)

    monkeypatch.setattr(COMMAND, "_open", lambda *arguments: COMMAND.Opened(detect, simulated=True))
    return "model"


@pytest.fixture
def ecgs(tmp_path, write_wfdb, synthetic):
    """Three ECGs, one of 4 s that gives no median beat, and one that cannot be read."""
    folder = tmp_path / "ecgs"
    folder.mkdir()
    for k, name in enumerate(PROBABILITIES):
        write_wfdb(folder, name, synthetic(np.arange(0.43, 9.9, 0.857 - 0.1 * k)))
    write_wfdb(folder, "short", synthetic(np.arange(0.43, 3.9, 0.857), 4.0))
    (folder / "torn.hea").write_text("nothing", encoding="utf-8")
    return folder


@pytest.fixture
def page(model, ecgs, tmp_path):
    done = run_cli("predict", model, ecgs, "--html", tmp_path / "judged.html")
    assert done.exit_code == 2, "two could not be judged"
    assert done.stdout == f"3 ECGs in {tmp_path / 'judged.html'}, 1 of them OMI, 2 could not be judged\n"
    assert len(done.stderr.splitlines()) == 2
    return tmp_path / "judged.html"


def sheets(text):
    """Name → its part of the page."""
    return dict(re.findall(r'<section [^>]*aria-label="([^"]*)">(.*?)</section>', text, re.DOTALL))


def test_pictures_hold_what_was_judged(page, ecgs):
    text = page.read_text(encoding="utf-8")
    found = sheets(text)
    assert list(found) == ["b", "a", "c", "short.hea", "torn.hea"]
    for name, band in (("a", "open"), ("b", "rule-in"), ("c", "rule-out")):
        p, decision = PROBABILITIES[name], str(PROBABILITIES[name] >= 0.5).lower()
        said = f'data-part="probability" data-probability="{p:g}" data-threshold="0.5" data-decision="{decision}"'
        assert f'{said} data-band="{band}" data-rule-out="0.2" data-rule-in="0.8"' in found[name]
        assert "model trained on simulated ECGs" in found[name] and str(ecgs / f"{name}.hea") in found[name]
        assert found[name].count('data-part="strip"') == 12 and "data-share" not in found[name]
    # The recording is shown where there is one, and the reason.
    assert 'data-part="strip"' in found["short.hea"] and 'data-part="probability"' not in found["short.hea"]
    assert "4.0 s is too short" in found["short.hea"]
    assert "<svg" not in found["torn.hea"] and "torn.hea: not a WFDB header" in found["torn.hea"]
    assert "SIMULATED" in text and "3 judged, 1 OMI, 1 rule-in, 1 open, 1 rule-out, 2 could not be judged" in text


def test_with_a_table_and_json(model, ecgs, tmp_path):
    page, table = tmp_path / "a.html", tmp_path / "a.csv"
    done = run_cli("predict", model, ecgs, "--html", page, "--csv", table, "--json")
    assert [row.get("ecg_id") for row in json.loads(done.stdout)] == ["a", "b", "c", None, None]
    assert len(table.read_text(encoding="utf-8").splitlines()) == 6 and page.is_file()
    first = page.read_bytes()
    refused = run_cli("predict", model, ecgs, "--html", page)
    assert refused.exit_code == 2 and "exists already" in refused.stderr and refused.stdout == ""
    run_cli("predict", model, ecgs, "--html", page, "--force")
    assert page.read_bytes() == first, "the same bytes each time"
    table.write_text("my own", encoding="utf-8")
    for options, word in ((("--html", table), "no page of predict"), (("--csv", page, "--html", page), "both")):
        done = run_cli("predict", model, ecgs, *options, "--force")
        assert done.exit_code == 2 and word in done.stderr
    assert page.read_bytes() == first and table.read_text(encoding="utf-8") == "my own"


def test_a_page_too_large_for_browsers_is_told(model, ecgs, tmp_path, monkeypatch):
    assert COMMAND.MUCH_MB * COMMAND.MB == 100_000_000
    monkeypatch.setattr(COMMAND, "MB", 1000)
    done = run_cli("predict", model, ecgs, "--html", tmp_path / "a.html")
    kilobytes = (tmp_path / "a.html").stat().st_size // 1000
    assert f"a.html has {kilobytes:,} MB, too much for many browsers" in done.stderr
    monkeypatch.setattr(COMMAND, "MUCH_MB", kilobytes)
    assert "browsers" not in run_cli("predict", model, ecgs, "--html", tmp_path / "b.html").stderr


def test_a_model_folder_shows_what_it_looks_at(ecgs, tmp_path):
    info = {"model": "mayo-alvd", "simulated": False, "threshold": 0.5, "metrics": {}, "provenance": {}}
    model = Model(info, network=build("mayo-alvd", seed=1))
    model.save(tmp_path / "model")
    done = run_cli("predict", tmp_path / "model", ecgs / "a.hea", "--html", tmp_path / "a.html")
    assert done.exit_code == 0, done.stderr
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    drawn = [float(share) for share in re.findall(r'data-share="([^"]*)"', text)]
    beat = median_beat(read_record(ecgs / "a.hea")).beat
    np.testing.assert_allclose(drawn, lead_contribution(model.saliency(beat[None]))[0], atol=1e-3)
    assert "what the network looks at" in text and "SIMULATED" not in text and "simulated" not in sheets(text)["a"]


def test_its_own_script_runs_under_its_policy(page, tmp_path):
    shown = chromium(tmp_path, "--dump-dom", page.as_uri())
    assert '<span id="place">1 of 5</span>' in shown


def test_keyboard_alone(page, tmp_path):
    """Each step: a key, where it goes; then which ECG is chosen, shown, and said to those who cannot see it."""
    steps = [
        ("j", "body"), ("k", "body"), ("End", "body"), ("ArrowDown", "body"), ("ArrowDown", "#list"), ("End", "#list"),
        ("j", "#list"), ("Home", "#list"), ("j", "#find"), ("ArrowUp", "#list"),
    ]  # fmt: skip
    script = """{
const seen=[];
for(const [key,at] of STEPS){
 const target=document.querySelector(at);target.focus();
 target.dispatchEvent(new KeyboardEvent("keydown",{key,bubbles:true,cancelable:true}));
 const item=document.querySelector("[aria-selected=true]");
 const open=[...document.querySelectorAll(".sheet")].filter(sheet=>sheet.offsetHeight).map(sheet=>sheet.ariaLabel);
 const active=document.getElementById(document.getElementById("list").getAttribute("aria-activedescendant"));
 seen.push([item.firstElementChild.textContent,open.join(),active===item])}
const sort=document.getElementById("sort"),find=document.getElementById("find"),order=()=>
 [...document.querySelectorAll("#list li:not([hidden])")].map(item=>item.firstElementChild.textContent).join();
for(const how of ["name","flags","order","probability"]){
 sort.value=how;sort.dispatchEvent(new Event("change"));seen.push(order())}
for(const words of ["no omi","rule-in","not judged short",""]){
 find.value=words;find.dispatchEvent(new Event("input"));seen.push(order())}
document.title=JSON.stringify(seen)}"""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"<meta http-equiv[^>]*>", "", text)  # the policy forbids the script of this test
    text = text.replace("</body>", f"<script>{script.replace('STEPS', json.dumps(steps))}</script></body>")
    (tmp_path / "keys.html").write_text(text, encoding="utf-8")
    shown = chromium(tmp_path, "--window-size=1400,1000", "--dump-dom", (tmp_path / "keys.html").as_uri())
    seen = json.loads(re.search(r"<title>(.*?)</title>", shown)[1])
    names = ["a", "b", "b", "a", "c", "torn.hea", "torn.hea", "b", "b", "b"]
    assert seen[: len(steps)] == [[name, name, True] for name in names]
    assert seen[len(steps) :] == [
        "a,b,c,short.hea,torn.hea", "short.hea,torn.hea,a,b,c", "a,b,c,short.hea,torn.hea", "b,a,c,short.hea,torn.hea",
        "a,c", "b", "short.hea", "b,a,c,short.hea,torn.hea",
    ]  # fmt: skip


def test_printed_one_ecg_a_sheet_true_to_scale(page, tmp_path):
    pdf = printed(tmp_path, page)
    # Three that were judged, one recording, and the sentence about what could not be read.
    assert pages(pdf) == [pytest.approx((297, 210), abs=0.2)] * 5
    drawn = [sheet for sheet in lines(pdf) if len(sheet) > 100]
    assert len(drawn) == 4
    for sheet in drawn:
        pulses = [line for line in sheet if len(line) == 6 and np.ptp(line[:, 0]) < 12]
        assert len(pulses) == 4
        for pulse in pulses:
            assert np.ptp(pulse[:, 1]) == pytest.approx(10, abs=0.02)
            assert pulse[3, 0] - pulse[2, 0] == pytest.approx(5, abs=0.02)
        everything = np.concatenate(sheet)
        assert (everything >= 4.5).all() and (everything <= (292.5, 205.5)).all()
