"""The page of thumbnails that comes with a dataset of recordings."""

import re

import pytest
from helpers import run_cli

from omi_keras.data.dataset import load_dataset
from omi_keras.data.prepare import prepare_records
from omi_keras.drawing.ecg_picture_thumbnail import thumbnail
from omi_keras.recordings.record import LEADS
from omi_keras.report import overview
from omi_keras.report.overview import rare_first
from omi_keras.simulate import simulate_cohort, write_records

AT_RANDOM = "At random: 24 of 29"


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """30 recordings: one cut off, one with a hostile name that is not there any more when it is to be drawn."""
    folder = tmp_path_factory.mktemp("overview") / "records"
    write_records(simulate_cohort(30, 20, 0.4, seed=8), folder)
    cut = sorted(folder.glob("*.dat"))[3]
    cut.write_bytes(cut.read_bytes()[:999])
    return folder


@pytest.fixture(scope="module")
def dataset(records, tmp_path_factory):
    out = tmp_path_factory.mktemp("dataset") / "out"
    prepare_records(records, records / "labels.csv", out)
    return out


def sections(page):
    """Heading → captions of its figures, and how many have a picture."""
    found = {}
    for part in page.split("<section>")[1:]:
        heading = re.search(r"<h2>(.*?)</h2>", part)[1]
        captions = re.findall(r"<figcaption><b>(.*?)</b> (.*?)</figcaption>", part)
        found[heading] = captions, part.count("<svg")
    return found


def test_what_is_shown(dataset):
    page = (dataset / "overview.html").read_text(encoding="utf-8")
    found = sections(page)
    ecgs = load_dataset(dataset).ecgs
    flagged = ecgs[ecgs["flags"].fillna("") != ""]
    assert list(found) == [AT_RANDOM, f"With flags: {len(flagged)}", "Rejected: 1"]
    random, pictures = found[AT_RANDOM]
    assert pictures == 24 and len({name for name, _ in random} & set(ecgs["ecg_id"])) == 24
    assert {name for name, _ in found[f"With flags: {len(flagged)}"][0]} == set(flagged["ecg_id"])
    (refused,), none = found["Rejected: 1"]
    assert none == 0 and "sim-000003" in refused[0] and refused[1]
    assert "simulated" in page and "default-src 'none'" in page
    assert not re.search(r"<(img|link|iframe|a)\b|url\(|https?://(?!www\.w3\.org/2000/svg)", page)


def test_it_is_no_part_of_the_fingerprint(dataset, records, tmp_path, monkeypatch):
    monkeypatch.setattr(overview, "RANDOM", 2)
    prepare_records(records, records / "labels.csv", tmp_path / "other")
    assert load_dataset(tmp_path / "other").fingerprint() == load_dataset(dataset).fingerprint()
    first, second = (folder / "overview.html" for folder in (dataset, tmp_path / "other"))
    assert second.stat().st_size < first.stat().st_size


def test_force_replaces_a_dataset_with_its_page(records, tmp_path):
    arguments = ("prepare", records, tmp_path / "out", "--labels", records / "labels.csv")
    assert run_cli(*arguments).exit_code == 0
    assert run_cli(*arguments, "--force").exit_code == 0


def test_recordings_that_went_away_are_named(records, dataset, tmp_path):
    """Between reading and drawing a file may vanish: the dataset is made all the same."""
    import pandas as pd

    labels = pd.DataFrame({"ecg_id": load_dataset(dataset).ecgs["ecg_id"]})
    labels["record"] = "gone/<b>" + labels["ecg_id"]
    out = tmp_path / "copy"
    out.mkdir()
    for name in ("ecgs.csv", "rejected.csv"):
        (out / name).write_bytes((dataset / name).read_bytes())
    overview.write_overview(out, records, labels, {"simulated": False, "ecgs": 29, "patients": 20, "rejected": 1})
    page = (out / "overview.html").read_text(encoding="utf-8")
    unflagged = 24 - sum(
        bool(said) for _, said in sections((dataset / "overview.html").read_text("utf-8"))[AT_RANDOM][0]
    )
    assert "<svg" not in page and page.count("cannot be read any more") == unflagged and "<b>sim-" in page


def test_rare_kinds_come_first_and_not_too_many(monkeypatch):
    kinds = {f"ecg{k}": ["mains"] for k in range(5)} | {"x": ["paced", "mains"], "y": ["flat"], "z": ["flat"]}
    assert rare_first(kinds) == ["x", "y", "z", *(f"ecg{k}" for k in range(5))]
    monkeypatch.setattr(overview, "MOST", 2)
    assert rare_first(kinds) == ["x", "y"]


def test_a_thumbnail_is_small_and_has_all_leads():
    record = next(iter(simulate_cohort(1, 1, 0.5, seed=3))).record
    svg = thumbnail(record).svg()
    assert len(svg) < 12_000
    assert re.findall(r'data-lead="(\w+)"', svg) == list(LEADS)
