"""What a browser prints and shows: true to scale, one ECG a sheet, nothing on top of anything."""

import html
import json
import re

import numpy as np
import pytest
from browser import chromium, lines, pages, printed

from omi_keras.beats.flags import _WORDS
from omi_keras.beats.median_beats import median_beat
from omi_keras.drawing import ecg_picture
from omi_keras.recordings.record import LEADS, Record
from omi_keras.report.pictures import pictures_page


def test_printed_paper_is_true_to_scale(tmp_path):
    """10 mm are 1 mV and 25 mm are 1 s in the PDF of A4 across, and each ECG has its sheet."""
    signal = np.zeros((12, 5000), np.float32)
    signal[:, [600, 1100]] = 1.5
    pictures = [ecg_picture(Record(signal, name), refusal="made for a test") for name in ("one", "two")]
    page = tmp_path / "page.html"
    page.write_text(pictures_page("Two", pictures), encoding="utf-8")
    pdf = printed(tmp_path, page)
    assert pages(pdf) == [pytest.approx((297, 210), abs=0.2)] * 2
    for sheet in lines(pdf):
        pulses = [line for line in sheet if len(line) == 6 and np.ptp(line[:, 0]) < 12]
        assert len(pulses) == 4  # of calibration, 1 mV for 200 ms
        for pulse in pulses:
            assert np.ptp(pulse[:, 1]) == pytest.approx(10, abs=0.02)
            assert pulse[3, 0] - pulse[2, 0] == pytest.approx(5, abs=0.02)
        rhythm = max(sheet, key=lambda line: np.ptp(line[:, 0]) if len(line) > 6 else 0)
        assert np.ptp(rhythm[:, 0]) == pytest.approx(250, abs=0.2)
        assert np.ptp(rhythm[:, 1]) == pytest.approx(15, abs=0.05)
        high = rhythm[rhythm[:, 1] > rhythm[:, 1].max() - 0.1]
        assert np.ptp(high[:, 0]) == pytest.approx(25, abs=0.05)
        everything = np.concatenate(sheet)
        assert (everything >= 4.5).all() and (everything <= (292.5, 205.5)).all()


# Pairs of texts that lie on one another, and texts that leave their sheet, of each picture on the page; 1 px of air
# above and below letters is no letter.
OVERLAPS = """
document.title = JSON.stringify([...document.querySelectorAll("svg")].map(svg => {
  const sheet = svg.getBoundingClientRect();
  const boxes = [...svg.querySelectorAll("text")].map(e => [e.textContent, e.getBoundingClientRect()]);
  const bad = boxes.filter(([, b]) => b.left < sheet.left || b.right > sheet.right || b.bottom > sheet.bottom + 1)
    .map(([said]) => [said]);
  boxes.forEach(([a, x], i) => boxes.slice(i + 1).forEach(([b, y]) => {
    if (x.left < y.right && y.left < x.right && x.top + 2 < y.bottom - 2 && y.top + 2 < x.bottom - 2) bad.push([a, b]);
  }));
  return [boxes.length, bad];
}));
"""


@pytest.mark.parametrize("width", [1400, 700])
def test_no_texts_lie_on_one_another(tmp_path, width):
    """Whatever is said: long titles, all flags at once, numbers of five digits, refusals."""
    t = np.arange(5000)
    beats = np.exp(-0.5 * (((t % 400) - 200) / 6.0) ** 2) + 0.6 * np.exp(-0.5 * (((t % 400) - 330) / 30.0) ** 2)
    noise = np.random.default_rng(0).normal(0, 0.01, (12, 5000))
    record = Record(
        (np.linspace(-1, 2, 12)[:, None] * beats + noise).astype(np.float32), "W" * 200, age=101, sex="female"
    )
    flags = [f"noisy:{lead}" for lead in LEADS] + ["dropout:3.1s", "einthoven:12345uV", *_WORDS]
    says = {"probability": 0.123, "threshold": 0.987, "bands": {"rule_out": 0.0123, "rule_in": 0.9876}}
    shares = np.full(12, 1 / 12)
    pictures = [
        ecg_picture(record, quality=flags, **says, saliency=np.ones((12, 20)), shares=shares),
        ecg_picture(record, quality=flags, title="心電図" * 60, **says),
        ecg_picture(beat=100 * median_beat(record).beat, rate=299, **says),
        ecg_picture(record, refusal="no beat, because " * 30, quality=flags, **says),
    ]
    page = tmp_path / "page.html"
    svgs = "".join(picture.svg() for picture in pictures)
    page.write_text(
        f"<!doctype html><meta charset=utf-8><style>svg{{width:{width}px;height:auto;display:block}}</style>{svgs}"
        f"<script>{OVERLAPS}</script>",
        encoding="utf-8",
    )
    told = html.unescape(re.search(r"<title>(\[\[.*?)</title>", chromium(tmp_path, "--dump-dom", page.as_uri()))[1])
    found = json.loads(told)
    assert [count > 15 for count, _ in found] == [True] * 4
    assert [bad for _, bad in found] == [[], [], [], []]
