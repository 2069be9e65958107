"""What is held in the hand shows itself: records, median beats, detections, runs."""

from html.parser import HTMLParser

import numpy as np
import pytest
from svg_reading import part, read, texts

import omi_keras as omi
from omi_keras.recordings.record import LEADS
from omi_keras.simulate import simulate_cohort


@pytest.fixture(scope="module")
def record():
    return next(iter(simulate_cohort(2, 2, 0.5, seed=1))).record


def test_a_record_and_its_beat(record):
    root = read(record._repr_html_())
    assert [e.get("data-lead") for e in part(root, "beat")] == list(LEADS)
    assert len(part(root, "strip")) == 12 and record.ecg_id in texts(root)
    beat = read(omi.median_beat(record)._repr_html_())
    assert len(part(beat, "beat")) == 12 and not part(beat, "strip")


def test_a_detection_of_a_device(record, small_bundle):
    found = omi.Detector(small_bundle).detect(record)
    root = read(found._repr_html_())
    (scale,) = part(root, "probability")
    assert float(scale.get("data-probability")) == pytest.approx(found.probability, abs=1e-4)
    assert scale.get("data-decision") == str(found.decision).lower() and len(part(root, "strip")) == 12
    beat = omi.median_beat(record).beat
    of_beat = omi.Detector(small_bundle).detect_beat(beat)
    assert len(part(read(of_beat._repr_html_()), "beat")) == 12
    # Of 400 samples nothing is measured: the numbers alone, as text.
    assert omi.Detector(small_bundle).detect_beat(beat[:, 150:550])._repr_html_() is None
    assert "record" not in repr(found) and found == omi.Detector(small_bundle).detect(record).__class__(
        found.probability, found.decision, found.threshold, found.quality, found.timings_ms, found.band
    )


def test_a_detection_of_a_model(record, model_folder):
    found = omi.load_model(model_folder).predict(record)
    root = read(found._repr_html_())
    assert float(part(root, "probability")[0].get("data-threshold")) == pytest.approx(found.threshold, abs=1e-4)


class Closed(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_run(trained_run):
    run = omi.load_run(trained_run)
    text = run._repr_html_()
    page = Closed(text)
    assert not page.open and page.seen.count("tr") == 2 and page.seen.count("svg") == 1
    assert f"{run.results[0].metrics['test']['auc']:.3f}" in text and "simulated" in text
    assert text == omi.load_run(trained_run)._repr_html_()


def test_a_validation(model_folder, easy_dataset):
    beats = -np.asarray(omi.load_dataset(easy_dataset).beats[:4])
    elsewhere = omi.Dataset.from_arrays(beats, [0, 1, 0, 1], ["w", "x", "y", "z"])
    text = omi.load_model(model_folder).validate(elsewhere)._repr_html_()
    page = Closed(text)
    assert not page.open and page.seen.count("tr") == 2 and page.seen.count("th") == 11
    assert "<td>4</td>" in text


def test_two_pictures_share_no_id(record):
    shifted = omi.Record(np.roll(record.signal, 100, axis=1), record.ecg_id)
    assert "id=" not in record._repr_html_() + shifted._repr_html_()
