"""The picture of an ECG: true to scale, its numbers those of the functions, the same whoever draws it."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import resample
from svg_reading import SVG, distance, marks, mm_per_unit, part, points, read, texts

from omi_keras.beats.median_beats import median_beat
from omi_keras.drawing import ecg_picture
from omi_keras.measures import FEATURES, beat_features, delineate, stemi_criteria
from omi_keras.measures.one_beat import fridericia, measure_beat
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import LEADS, Record
from omi_keras.simulate import simulate_cohort


@pytest.fixture(scope="module")
def ecgs():
    return [ecg.record for ecg in simulate_cohort(8, 8, 0.5, seed=1)]


@pytest.fixture(scope="module")
def seen(ecgs):
    """A picture with everything in it, and what it was made of."""
    saliency = np.random.default_rng(0).random((12, 20))
    shares = saliency.sum(axis=1) / saliency.sum()
    options = {"probability": 0.83, "threshold": 0.57, "bands": {"rule_out": 0.05, "rule_in": 0.8}}
    record = ecgs[3]
    picture = ecg_picture(record, **options, saliency=saliency, shares=shares)
    return record, median_beat(record), saliency, shares, read(picture.svg())


def flat_record(n=5000, **signal):
    leads = np.zeros((12, n), np.float32)
    for lead, values in signal.items():
        leads[LEADS.index(lead)] = values
    return Record(leads, "made")


def test_ten_millimetres_are_a_millivolt_and_25_a_second():
    pulses = np.zeros(5000, np.float32)
    pulses[[500, 1000]] = 1.0
    root = read(ecg_picture(flat_record(I=pulses, V6=-pulses, II=pulses), refusal="made").svg())
    assert root.get("width") == "287mm"  # and the view box is as wide, whatever its unit
    assert mm_per_unit(root) == pytest.approx(1 / 40)
    (lead,) = part(root, "strip", lead="I")
    line = points(root, next(lead.iter(f"{SVG}path")))
    tops = line[line[:, 1] == line[:, 1].min()]
    assert np.diff(tops[:, 0]) == pytest.approx(25.0, abs=0.01)
    assert line[:, 1].max() - line[:, 1].min() == pytest.approx(10.0, abs=0.01)
    for pulse in part(root, "calibration"):
        high = points(root, pulse)
        assert np.ptp(high[:, 1]) == pytest.approx(10.0 * float(pulse.get("data-mv")))
        upright = high[np.flatnonzero(np.diff(high[:, 1]))][:, 0]
        assert np.ptp(upright) == pytest.approx(25.0 * float(pulse.get("data-ms")) / 1000)
    # The paper: whole millimetres and whole large squares, from the same edge.
    small, large = ([e for e in root.iter() if (e.get("stroke-dasharray") or "") == dash] for dash in ("4 36", "6 194"))
    assert len(small) == len(large) == 4 - 2 * (len(small) == 2)


@pytest.mark.parametrize("lead", LEADS)
def test_every_sample_lies_on_its_line(seen, lead):
    record, *_, root = seen
    strips = part(root, "strip", lead=lead) + part(root, "rhythm", lead=lead)
    assert len(strips) == (2 if lead == "II" else 1)
    for strip in strips:
        first = round(float(strip.get("data-from-ms")) / 2)
        n = 5000 if strip.get("data-part") == "rhythm" else 1250
        mv = record.signal[LEADS.index(lead), first : first + n].astype(float) - float(strip.get("data-median-mv"))
        x = float(strip.get("data-x-mm")) + 25 / 500 * np.arange(n)
        samples = np.column_stack([x, float(strip.get("data-baseline-mm")) - 10 * mv])
        on_paper = (samples[:, 1] > 24.2) & (samples[:, 1] < 123.8)
        lines = [points(root, path) for path in strip.iter(f"{SVG}path")]
        away = np.min([distance(samples[on_paper], line) for line in lines], axis=0)
        assert away.max() < 0.15  # half the width of the line
        # The highest and the lowest sample are there as they are.
        heights = np.concatenate(lines)[:, 1]
        assert heights.min() == pytest.approx(max(samples[:, 1].min(), 24.2), abs=0.0251)
        assert heights.max() == pytest.approx(min(samples[:, 1].max(), 123.8), abs=0.0251)


def test_numbers_are_those_of_the_functions(seen):
    record, found, _, shares, root = seen
    values = dict(zip(FEATURES, beat_features(found.beat[None])[0].tolist(), strict=True))
    told = {e.get("data-measure"): float(e.get("data-value")) for e in root.iter() if e.get("data-measure")}
    expected = {
        "rate": found.heart_rate,
        "pr-ms": values["pr_interval_ms"],
        "qrs-ms": values["qrs_duration_ms"],
        "qt-ms": values["qt_interval_ms"],
        "qtcf-ms": values["qt_interval_ms"] / (60 / found.heart_rate) ** (1 / 3),
        "qrs-axis-deg": values["frontal_qrs_axis_deg"],
        "t-axis-deg": values["frontal_t_axis_deg"],
    }
    assert told == pytest.approx(expected, abs=1e-4)
    for lead in LEADS:
        (bar,) = part(root, "st", lead=lead)
        assert float(bar.get("data-mv")) == pytest.approx(values[f"{lead}_st_j60_mv"], abs=1e-4)
        (beat,) = part(root, "beat", lead=lead)
        assert float(beat.get("data-share")) == pytest.approx(shares[LEADS.index(lead)], abs=1e-4)
    (stemi,) = part(root, "stemi")
    positive = bool(stemi_criteria(found.beat[None], [record.age], [record.sex])[0])
    assert (stemi.get("data-met") == "true") == positive
    (scale,) = part(root, "probability")
    assert [scale.get(f"data-{name}") for name in ("probability", "threshold", "decision", "band")] == [
        "0.83", "0.57", "true", "rule-in"
    ]  # fmt: skip
    assert (scale.get("data-rule-out"), scale.get("data-rule-in")) == ("0.05", "0.8")


def test_marks_stand_where_the_functions_put_them(seen):
    _, found, *_, root = seen
    at = delineate(found.beat[None].astype(float))
    places = {"QRS onset": at.qrs_onset[0], "J": at.j[0], "T end": at.t_end[0]}
    for name, place in places.items():
        lines = marks(root, name)
        assert len(lines) == 12
        for lead, line in zip(part(root, "beat"), lines, strict=True):
            assert float(line.get("data-ms")) == 2.0 * (place - 300)
            across = points(root, line)[:, 0]
            # 50 mm/s from sample 150 on
            expected = float(lead.get("data-x-mm")) + (place - 150) * 0.1
            assert across == pytest.approx(np.full(2, expected), abs=0.0126)
    j60 = at.j[0] + 30
    for k, lead in enumerate(LEADS):
        (cell,) = part(root, "beat", lead=lead)
        (dot,) = [e for e in cell if e.get("data-mark") == "J+60"]
        assert float(dot.get("data-ms")) == 2.0 * (j60 - 300)
        x, y = (float(dot.get(name)) * mm_per_unit(root) for name in ("cx", "cy"))
        level = found.beat[k, j60] * float(cell.get("data-gain"))
        assert x == pytest.approx(float(cell.get("data-x-mm")) + (j60 - 150) * 0.1, abs=0.0126)
        assert y == pytest.approx(float(cell.get("data-baseline-mm")) - level, abs=0.0126)


def test_saliency_colours_the_beat_from_yellow_to_dark_red(seen):
    _, _, saliency, _, root = seen
    for k, lead in enumerate(LEADS):
        (cell,) = part(root, "beat", lead=lead)
        pieces = [e for e in cell.iter() if e.get("data-saliency") is not None]
        level = saliency[k] / saliency.max()
        for piece in pieces:
            window = round((float(piece.get("data-from-ms")) + 300) / 40)
            assert float(piece.get("data-saliency")) == pytest.approx(level[window], abs=0.5 / 23 + 1e-3)
    colours = {float(e.get("data-saliency")): e.get("stroke") for e in root.iter() if e.get("data-saliency")}
    assert colours[1.0] == "#6b0000"
    grey = [sum(int(colours[level][k : k + 2], 16) for k in (1, 3, 5)) for level in sorted(colours)]
    assert (np.diff(grey) < 0).all()  # also told apart without colour


@pytest.mark.parametrize("windows", [np.zeros((12, 20)), np.full((12, 20), np.nan)])
def test_a_map_of_nothing_is_yellow(ecgs, windows):
    root = read(ecg_picture(beat=median_beat(ecgs[0]), saliency=windows, shares=np.full(12, np.nan)).svg())
    pieces = [e for e in root.iter() if e.get("data-saliency")]
    assert {e.get("stroke") for e in pieces} == {"#ffe500"} and len(pieces) == 12
    assert not [e for e in root.iter() if e.get("data-share")]


def test_the_mean_of_many_is_drawn_and_not_measured(ecgs):
    mean = np.mean([median_beat(record).beat for record in ecgs], axis=0)
    mean[6] *= 1.5 / np.abs(mean[6, 150:550]).max()
    picture = ecg_picture(beat=mean, title="Mean of 8", facts=["gradient"], saliency=np.eye(12, 20), measured=False)
    root = read(picture.svg())
    assert picture.measures is None and len(part(root, "beat")) == 12
    assert not any(part(root, name) for name in ("st", "stemi", "intervals", "quality")) and not marks(root, "J")
    assert "gradient" in texts(root)
    # With colours on it, no QRS complex leaves its cell.
    for cell in part(root, "beat"):
        gain, lead = float(cell.get("data-gain")), LEADS.index(cell.get("data-lead"))
        line = np.concatenate([points(root, e) for e in cell.iter() if e.get("data-saliency")])
        assert np.ptp(line[:, 1]) == pytest.approx(np.ptp(gain * mean[lead, 150:550]), abs=0.06)


def test_measures_of_one_beat(ecgs):
    found = median_beat(ecgs[2])
    measures = measure_beat(found.beat, rate=60.0)
    assert measures.qtcf_ms == measures.qt_ms  # a second from beat to beat
    assert fridericia(400.0, 480.0) == pytest.approx(800.0)
    assert list(measures.marks_ms) == ["QRS onset", "J", "J+60", "T end"]
    assert measures.marks_ms["J"] - measures.marks_ms["QRS onset"] == measures.qrs_ms
    gone = np.array(found.beat)
    gone[4, 100] = np.nan
    none = measure_beat(gone)
    assert none.marks_ms == {} and none.stemi is None and np.isnan(none.st_mv).all()
    with pytest.raises(InputError, match=r"shape \(12, 600\), received \(12, 400\)"):
        measure_beat(found.beat[:, :400])


def skeleton(svg):
    """All but the numbers of lines: texts, data, marks, colours, places of texts."""
    return re.sub(r' d="[^"]*"', "", svg)


# Waves of lead I, II, V1 … V6 in mV, their place in ms from R and their width.
WAVES = {
    "P": ((0.05, 0.1, 0.03, 0.05, 0.05, 0.05, 0.05, 0.05), -160, 22),
    "R": ((0.5, 0.9, 0.1, 0.3, 0.8, 1.2, 1.1, 0.8), 0, 11),
    "S": ((-0.05, -0.1, -0.8, -1.1, -0.7, -0.3, -0.1, -0.05), 28, 11),
    "T": ((0.15, 0.25, 0.05, 0.35, 0.4, 0.35, 0.3, 0.2), 270, 45),
}
INFERIOR = {"ST": ((-0.1, 0.25, 0.0, -0.15, -0.1, 0.0, 0.05, 0.05), 130, 60)}
ANTERIOR = {"ST": ((0.05, -0.1, 0.1, 0.45, 0.45, 0.35, 0.1, 0.0), 150, 80)}


def made(name, waves=WAVES, beats=12, **changes):
    """An ECG made of bell-shaped waves, written by a converter of 5 µV: the same numbers on every machine."""
    t = 2.0 * np.arange(5000)
    lead = np.random.default_rng(0).integers(-2, 3, (8, len(t))) / 200
    for amplitude, place, width in waves.values():
        for beat in range(beats):
            bell = np.exp(-0.5 * ((t - 500 - 800 * beat - place) / width) ** 2)
            lead += np.array(amplitude)[:, None] * bell
    one, two, chest = lead[0], lead[1], lead[2:]
    limbs = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    signal = np.rint(200 * np.vstack([limbs, chest])) / 200
    for name_of_lead, factor in changes.items():
        signal[LEADS.index(name_of_lead)] *= factor
    return Record(signal.astype(np.float32), name, age=61.0, sex="male", source="made")


MADE = {
    "normal": made("normal"),
    "inferior": made("inferior", WAVES | INFERIOR),
    "anterior": made("anterior", WAVES | ANTERIOR),
    "flat lead": made("flat lead", V5=0.0),
    "two beats": made("two beats", beats=2),
}
# What is written and marked on them. The lines are compared with the signal itself, in millimetres (above), because the
# last bits of a machine's arithmetic may move a point by 1/40 mm.
GOLDEN = {
    "normal": "82e00dffaf05739c",
    "inferior": "cbdc7331b12e91f2",
    "anterior": "788645526aede596",
    "flat lead": "df9b3f5f92430087",
    "two beats": "a377b9b242065350",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_picture_is_the_golden_one(name):
    svg = ecg_picture(MADE[name], probability=0.31, threshold=0.42).svg()
    assert hashlib.sha256(skeleton(svg).encode()).hexdigest()[:16] == GOLDEN[name], skeleton(svg)


@pytest.mark.parametrize(
    ("name", "met", "leads"),
    [("normal", "false", ""), ("inferior", "true", "II III aVF"), ("anterior", "true", "V2 V3 V4")],
)
def test_a_stemi_is_told_with_its_leads(name, met, leads):
    root = read(ecg_picture(MADE[name]).svg())
    (stemi,) = part(root, "stemi")
    assert (stemi.get("data-met"), stemi.get("data-leads")) == (met, leads)
    assert f"STEMI criteria (ST at J): {'met in' if leads else 'not met'}" in " ".join(texts(root))


def test_the_same_bytes_each_time_and_no_ids(ecgs):
    svg = ecg_picture(ecgs[0]).svg()
    assert svg == ecg_picture(ecgs[0]).svg()
    assert not re.search(r"\sid=|url\(|href|<style|<script", svg)
    assert len(svg) < 150_000


HOSTILE = [
    "<script>alert(1)</script>",
    'a" onload="x',
    "\x00\x1b]0;\x07",
    "&lt;",
    "\ud800",
    "𝔘ñïçødé 心電図",
    "x" * 500,
    "",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(ecgs, name):
    record = replace(ecgs[0], ecg_id=name, flags=("<b>:V1", 'x"y'), source="<i>")
    root = read(ecg_picture(record).svg().encode())
    assert not {e.tag.partition("}")[2] for e in root.iter()} - {"svg", "title", "desc", "g", "path", "text", "circle"}
    assert not [a for e in root.iter() for a in e.attrib if a.startswith("on")]


def test_only_a_median_beat_says_so(ecgs):
    found = median_beat(ecgs[0])
    root = read(ecg_picture(beat=found).svg())
    assert not part(root, "strip") and len(part(root, "beat")) == 12
    assert "no recording at hand" in " ".join(texts(root))
    assert float(root.get("height").removesuffix("mm")) < 110
    bare = read(ecg_picture(beat=found.beat, simulated=True, title="row 7").svg())
    assert "row 7" in texts(bare) and "–" in texts(bare)  # no rate, so no QTcF
    assert "simulated" in " ".join(texts(bare))


def test_too_few_beats_show_the_recording_and_the_reason(ecgs):
    short = replace(ecgs[0], signal=ecgs[0].signal[:, :5000].copy())
    short.signal[:, 800:] = np.random.default_rng(0).normal(0, 0.003, (12, 4200)).astype(np.float32)
    with pytest.raises(InputError) as refused:
        median_beat(short)
    root = read(ecg_picture(short).svg())
    assert len(part(root, "strip")) == 12 and not part(root, "beat")
    assert str(refused.value) in texts(root)
    assert str(refused.value) in root.find(f"{SVG}desc").text


@pytest.mark.parametrize("fault", ["flat", "noisy", "short", "long", "tiny", "huge", "empty", "nan"])
def test_whatever_was_recorded_is_drawn(ecgs, fault):
    signal = ecgs[0].signal.copy()
    if fault == "flat":
        signal[3] = 0
    if fault == "noisy":
        signal += np.random.default_rng(0).normal(0, 0.2, signal.shape).astype(np.float32)
    signal = {"short": signal[:, :1000], "empty": signal[:, :2], "long": np.tile(signal, 3)}.get(fault, signal)
    signal = signal * np.float32({"tiny": 1e-3, "huge": 1e3}.get(fault, 1))
    record = replace(ecgs[0], signal=signal)
    if fault == "nan":
        record.signal[:, 1000:1100] = np.nan  # a reader would have refused it
    windows = np.random.default_rng(0).random((12, 20))
    picture = ecg_picture(record, refusal="gaps" if fault == "nan" else "", saliency=windows)
    root = read(picture.svg())
    assert len(picture.svg()) < 150_000 and len(part(root, "strip")) == 12
    if fault == "long":
        assert any("the first 10 s of 30.0 s" in text for text in texts(root))
    if fault == "short":
        assert any("2.0 s recorded" in text for text in texts(root))
    if fault == "huge":
        assert any("cut off at the edge of the paper" in text for text in texts(root))
    if fault == "nan":  # samples 1000 to 1099 of leads in the first column: a gap of 200 ms
        (lead,) = part(root, "strip", lead="I")
        one, two = (points(root, path) for path in lead.iter(f"{SVG}path"))
        assert two[0, 0] - one[-1, 0] == pytest.approx(101 * 0.05, abs=0.01)
    for path in root.iter(f"{SVG}path"):
        if path.get("d").find("l") > 0 and "h" not in path.get("d"):
            line = points(root, path)
            assert (line >= 0).all() and (line[:, 0] <= 287).all() and (line[:, 1] <= picture.height).all()


def test_15_leads_at_1000_hz_are_the_same_picture(ecgs, tmp_path):
    """Read from a file with more leads at twice the rate: what a ruler measures is the same."""
    record = ecgs[3]
    twice = resample(record.signal, 2 * record.signal.shape[1], axis=1).astype(np.float32)
    names = np.array(["V4R", *LEADS, "V7", "V8"])
    np.savez(tmp_path / "a.npz", signal=np.vstack([twice[:1], twice, twice[:2]]), rate=1000, units="mV", leads=names)
    one, other = (read(ecg_picture(seen).svg()) for seen in (record, read_record(tmp_path / "a.npz")))
    for lead in LEADS:
        lines = [part(root, "strip", lead=lead)[0] for root in (one, other)]
        heights = [np.concatenate([points(one, path) for path in line.iter(f"{SVG}path")])[:, 1] for line in lines]
        assert heights[0].min() == pytest.approx(heights[1].min(), abs=0.15)
        assert heights[0].max() == pytest.approx(heights[1].max(), abs=0.15)


def test_a_pacemaker_is_told_and_its_spikes_are_drawn(ecgs):
    (ecg,) = list(simulate_cohort(1, 1, 0.5, seed=1))
    record = replace(ecg.record, signal=ecg.record.signal.copy())
    places = np.asarray(ecg.truth.r_samples, int) - 50
    places = places[places >= 0]
    record.signal[:, places] += np.float32(1.5)
    assert "paced" in median_beat(record).flags
    root = read(ecg_picture(record).svg())
    (quality,) = part(root, "quality")
    assert "paced" in quality.get("data-flags").split() and "paced" in quality[0].text
    # Of one sample each, and all there: nothing so thin is left out.
    (strip,) = part(root, "rhythm")
    line = np.concatenate([points(root, path) for path in strip.iter(f"{SVG}path")])
    for place in places:
        near = line[np.abs(line[:, 0] - float(strip.get("data-x-mm")) - 0.05 * place) < 0.3][:, 1]
        assert np.ptp(near) > 12


def test_beats_with_gaps_are_drawn_with_gaps(ecgs):
    beat = np.array(median_beat(ecgs[0]).beat)
    beat[3] = np.nan
    beat[5, 250:300] = np.nan
    root = read(ecg_picture(beat=beat).svg())
    assert {
        cell.get("data-lead"): len([e for e in cell if e.get("stroke-width") == "12"]) for cell in part(root, "beat")
    } == {lead: {"aVR": 0, "aVF": 2}.get(lead, 1) for lead in LEADS}
    assert not marks(root, "J") and "Quality: not judged" in texts(root)
    assert "STEMI criteria: not measured" in " ".join(texts(root))
    flat = ecg_picture(beat=np.zeros((12, 600)))
    assert "not measured" in flat.description and len(part(read(flat.svg()), "beat")) == 12


def test_what_cannot_be_drawn_is_named(ecgs):
    with pytest.raises(InputError, match="neither"):
        ecg_picture()
    with pytest.raises(InputError, match="with its threshold"):
        ecg_picture(ecgs[0], probability=0.5)
    with pytest.raises(InputError, match=r"saliency: expected \(12, k\)"):
        ecg_picture(ecgs[0], saliency=np.ones((12, 7)))
    with pytest.raises(InputError, match="shares: expected one"):
        ecg_picture(ecgs[0], saliency=np.ones((12, 20)), shares=[1.0])
    with pytest.raises(InputError, match=r"\(12, 600\)"):
        ecg_picture(beat=np.zeros((12, 400)))


def test_it_needs_neither_matplotlib_nor_tensorflow():
    check = (
        "import sys, numpy as np\n"
        "for name in ('matplotlib', 'pandas', 'tensorflow', 'keras', 'jinja2', 'sklearn'): sys.modules[name] = None\n"
        "from omi_keras.simulate import simulate_cohort\n"
        "from omi_keras.drawing import ecg_picture\n"
        "record = next(iter(simulate_cohort(1, 1, 0.5, seed=1))).record\n"
        "assert ecg_picture(record)._repr_html_().startswith('<svg')\n"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_png_and_pdf_are_the_same_picture(seen, ecgs, tmp_path):
    """Matplotlib draws the same items; the sheet has the size in pixels that its millimetres ask for."""
    picture = ecg_picture(ecgs[3], probability=0.83, threshold=0.57)
    for name in ("a.svg", "a.png", "a.pdf"):
        picture.save(tmp_path / "new" / name, dpi=100)
    assert (tmp_path / "new/a.svg").read_text(encoding="utf-8").endswith("</svg>\n")
    png = (tmp_path / "new/a.png").read_bytes()
    assert int.from_bytes(png[16:20], "big") == pytest.approx(287 / 25.4 * 100, abs=1)
    assert b"/MediaBox [ 0 0 813." in (tmp_path / "new/a.pdf").read_bytes()  # 287 mm in points
    axes = picture.figure().axes[0]
    drawn = sorted(len(line.get_xdata()) for line in axes.lines)
    root = read(picture.svg())
    lines = [p for p in root.iter(f"{SVG}path") if p.get("stroke") and "l" in p.get("d")]
    assert drawn == sorted(len(points(root, line)) for line in lines if "h" not in line.get("d"))
    assert sorted(t.get_text() for t in axes.texts) == sorted(texts(root))
    with pytest.raises(InputError, match=r"ends in \.svg, \.png, \.pdf"):
        picture.save(tmp_path / "a.gif")
