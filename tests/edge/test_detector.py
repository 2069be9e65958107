"""The detector on the device: the same answer as the trained model, refusals with a reason, no TensorFlow."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edge import Detector
from omi_keras.beats.median_beats import median_beat
from omi_keras.model import load_model
from omi_keras.models.inference import omi_probability, predict_logits
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import Record
from omi_keras.simulate.cohort import simulate_cohort
from omi_keras.simulate.records import write_records


@pytest.fixture(scope="module")
def detector(int8_bundle):
    return Detector(int8_bundle)


@pytest.fixture(scope="module")
def ecgs():
    return [ecg.record for ecg in simulate_cohort(6, 6, 0.5, seed=11)]


def test_as_the_trained_model_says(detector, model_folder, ecgs):
    folder = load_model(model_folder)
    beats = np.stack([median_beat(record).beat for record in ecgs])
    expected = omi_probability(predict_logits(folder.network, beats))
    found = [detector.detect(record) for record in ecgs]
    assert np.abs([one.probability for one in found] - expected).max() < 0.1
    for one in found:
        assert one.decision == (one.probability >= one.threshold)
        assert one.threshold == folder.threshold
        assert set(one.timings_ms) == {"signal", "network"}


def test_recording_file_and_beat_agree(detector, ecgs, tmp_path):
    write_records(list(simulate_cohort(6, 6, 0.5, seed=11))[:1], tmp_path)
    (header,) = tmp_path.glob("*.hea")
    whole = detector.detect(ecgs[0])
    assert detector.detect_file(header).probability == whole.probability
    assert detector.detect_beat(median_beat(ecgs[0]).beat).probability == whole.probability


def test_threads_may_share_a_detector(detector, ecgs):
    alone = [detector.detect(record).probability for record in ecgs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda record: detector.detect(record).probability, ecgs * 3))
    assert together == alone * 3


def test_flags_reach_the_user(detector, ecgs):
    signal = ecgs[0].signal.copy()
    signal[8] = 0
    assert "flat:V3" in detector.detect(Record(signal, "one lead off")).quality


def test_what_cannot_be_judged_is_refused(detector, ecgs):
    noise = np.random.default_rng(0).normal(0, 0.3, (12, 5000)).astype(np.float32)
    with pytest.raises(InputError, match="white"):
        detector.detect(Record(noise, "white"))
    with pytest.raises(InputError, match="too short"):
        detector.detect(Record(ecgs[0].signal[:, :1000], "short"))


def test_beats_that_a_monitor_computed(detector, ecgs):
    beat = median_beat(ecgs[0]).beat
    whole = detector.detect_beat(beat).probability
    assert detector.detect_beat(beat[:, 150:550]).probability == whole
    assert detector.detect_beat(beat.astype(np.float64)).probability == whole
    lead_off = beat.copy()
    lead_off[7] = 0
    assert detector.detect_beat(lead_off).quality == ("flat:V2",)
    assert (lead_off[7] == 0).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda beat: beat[:, 50:550], r"shape \(12, 600\), or \(12, 400\).* received \(12, 500\)"),
        (lambda beat: beat[0], r"received \(600,\)"),
        (lambda beat: (1000 * beat).astype(np.int16), "millivolts as float32, received int16"),
        (lambda beat: 1000 * beat, "hand it over in millivolts"),
        (lambda beat: beat / 1000, "hand it over in millivolts"),
        (lambda beat: np.where(np.arange(600) == 300, np.nan, beat), "missing or infinite"),
        (lambda beat: np.where(np.arange(600) == 10, np.inf, beat), "missing or infinite"),
        (lambda beat: beat * (np.arange(12) > 2)[:, None], "3 of 12 leads of the median beat are flat: I II III"),
        (lambda beat: np.roll(beat, 100, axis=1), "2[0-9][0-9] ms away from where R must be"),
    ],
)
def test_beats_that_are_refused(detector, ecgs, change, sentence):
    with pytest.raises(InputError, match=sentence):
        detector.detect_beat(change(median_beat(ecgs[0]).beat))


def test_a_folder_that_is_no_bundle(tmp_path):
    with pytest.raises(InputError, match=r"no manifest\.json"):
        Detector(tmp_path)


def test_import_brings_nothing_heavy():
    heavy = "{'tensorflow', 'keras', 'sklearn', 'pandas', 'matplotlib', 'click', 'wfdb', 'jax', 'torch'}"
    check = f"import edge, sys; found = {heavy} & sys.modules.keys(); assert not found, found"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=120)
