"""Pacemaker spikes are flagged; sharp Q waves, noise and stray spikes are not."""

import numpy as np
import pytest

from omi_keras.beats.filters import bandpass
from omi_keras.beats.median_beats import median_beat
from omi_keras.beats.pacing import spike_mv, without_spikes
from omi_keras.measures.fiducials import delineate
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import Record
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


def stretched(signal, peaks, before_ms, hold_ms=24, millivolts=0.8):
    """As some recorders draw a spike: a plateau of ``hold_ms`` with sudden ends."""
    out = signal.copy()
    for peak in peaks:
        start = int(peak) - before_ms // 2
        out[:, max(start, 0) : max(start + hold_ms // 2, 0)] += millivolts * AXIS[:, None]
    return out


@pytest.mark.parametrize("before_ms", [100, 160])
def test_stretched_spikes_are_spikes(cohort, before_ms):
    ecg = next(
        ecg for ecg in cohort if ecg.truth.rhythm == "sinus" and ecg.truth.noise_level < 0.7 and not ecg.truth.mimic
    )
    signal = stretched(ecg.record.signal, ecg.truth.r_samples, before_ms)
    assert "paced" in median_beat(Record(signal.astype(np.float32), "x")).flags


@pytest.mark.parametrize("before_ms", [70, 140])
def test_a_bridged_beat_is_the_beat_without_spikes(cohort, before_ms):
    ecg = next(ecg for ecg in cohort if ecg.truth.rhythm == "sinus" and not ecg.truth.mimic and not ecg.truth.fault)
    plain = bandpass(ecg.record.signal.astype(np.float64), low=None, high=150.0, notch=False)
    a = median_beat(Record(plain.astype(np.float32), "x"))
    b = median_beat(Record(with_spikes(ecg, before_ms, 2.0).astype(np.float32), "x"))
    assert "paced" in b.flags and "paced" not in a.flags
    # A spike of 2 mV in a lead of gain 1; what is left is the line across the end of P.
    assert np.abs(a.beat[:, 150:550] - b.beat[:, 150:550]).max() < 0.06
    for name in ("qrs_onset", "j", "t_end"):
        one, other = (int(getattr(delineate(x.beat[None]), name)[0]) for x in (a, b))
        assert abs(one - other) <= 4, name


def test_bridging_leaves_everything_else_alone():
    rng = np.random.default_rng(0)
    signal = rng.normal(0.0, 0.01, (12, 2000)).astype(np.float32)
    spiked = signal.copy()
    spiked[:, 1000:1002] += (2.0 * AXIS[:, None]).astype(np.float32)
    before = spiked.copy()
    bridged = without_spikes(spiked, 4.0)
    np.testing.assert_array_equal(spiked, before)
    untouched = np.r_[0:990, 1020:2000]
    np.testing.assert_array_equal(bridged[:, untouched], signal[:, untouched])
    assert np.abs(bridged).max() < 0.1


@pytest.mark.parametrize("rate", [60, 150, 205])
def test_tall_narrow_complexes_are_not_paced(rate):
    # As simulators of patients draw them: 3 mV within 30 ms or so.
    t = np.arange(5000) / 500.0
    beats = np.arange(0.35, 9.9, 60.0 / rate)
    course = sum(
        np.exp(-0.5 * ((t - r) / 0.0065) ** 2) - 0.7 * np.exp(-0.5 * ((t - r - 0.02) / 0.006) ** 2) for r in beats
    )
    signal = 3.0 * AXIS[:, None] * course + np.random.default_rng(2).normal(0.0, 0.004, (12, 5000))
    assert "paced" not in median_beat(Record(signal.astype(np.float32), "x")).flags


def test_real_recordings(shared):
    files = sorted((shared / "ecg").glob("wfdb_*/*.hea")) + sorted((shared / "ecg").glob("dicom/*.dcm"))
    assert len(files) > 40
    flagged = []
    for file in files:
        if file.stem != "JS20008" and "paced" in median_beat(read_record(file)).flags:
            flagged.append(file.stem)
    assert flagged == []
