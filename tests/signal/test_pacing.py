"""Pacemaker spikes are flagged; sharp Q waves, noise and stray spikes are not."""

import numpy as np
import pytest

from omi_keras.signal.filters import bandpass
from omi_keras.signal.median_beat import median_beat
from omi_keras.signal.pacing import spike_mv, without_spikes
from omi_keras.signal.readers import read_record
from omi_keras.signal.record import Record
from omi_keras.simulate.cohort import simulate_cohort

AXIS = np.array([0.5, 1, 0.5, -0.75, 0, 0.75, 0.2, 0.4, 0.6, 0.8, 0.7, 0.6])


@pytest.fixture(scope="module")
def cohort():
    return list(simulate_cohort(40, 40, 0.3, seed=21))


def with_spikes(ecg, before_ms, millivolts=1.0, share=1.0):
    """A spike of 2 ms before the QRS of a share of the beats, through the monitor's filter."""
    signal = ecg.record.signal.astype(np.float64)
    peaks = ecg.truth.r_samples[: int(share * len(ecg.truth.r_samples))]
    places = np.asarray(peaks, int) - before_ms // 2
    signal[:, places[places >= 0]] += millivolts * AXIS[:, None]
    return bandpass(signal, low=None, high=150.0, notch=False)


@pytest.mark.parametrize("before_ms", [60, 100, 200])
def test_spikes_before_each_beat_are_flagged(cohort, before_ms):
    found = 0
    for ecg in cohort[:15]:
        record = Record(with_spikes(ecg, before_ms).astype(np.float32), ecg_id="x", patient_id="")
        found += "paced" in median_beat(record).flags
    assert found >= 14


def test_hearts_that_pace_themselves_are_not_flagged(cohort):
    paced = [ecg.truth.mimic == "paced" for ecg in cohort]
    assert ["paced" in median_beat(ecg.record).flags for ecg in cohort] == paced


def test_spikes_elsewhere_are_not_flagged(cohort):
    ecg = cohort[0]
    signal = ecg.record.signal.astype(np.float64)
    signal[:, np.random.default_rng(0).integers(0, signal.shape[1], 12)] += AXIS[:, None]
    peaks = np.asarray(ecg.truth.r_samples, int)
    assert not spike_mv(signal, peaks, -25)
    assert not spike_mv(with_spikes(ecg, 100, share=0.4), peaks, -25)
    assert not spike_mv(signal, peaks[:2], -25)


def test_real_recordings(shared):
    files = sorted((shared / "ecg").glob("wfdb_*/*.hea"))
    assert len(files) > 40
    flagged = []
    for file in files:
        if file.stem != "JS20008" and "paced" in median_beat(read_record(file)).flags:
            flagged.append(file.stem)
    assert flagged == []
