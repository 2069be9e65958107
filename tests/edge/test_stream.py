"""A monitor's endless signal: the same results as offline however it is cut, with memory that never grows."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import Detector
from edge.stream import RollingWindow
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import Record
from omi_keras.simulate.cohort import simulate_cohort


def stream_of(seconds, seed=5):
    """Simulated recordings of 10 s, one after the other: (12, 500 × seconds) mV."""
    count = -(-seconds // 10)
    records = [ecg.record.signal[:, :5000] for ecg in simulate_cohort(count, count, 0.3, seed=seed)]
    return np.concatenate(records, axis=1)[:, : 500 * seconds]


def chunks(signal, rng, longest):
    start = 0
    while start < signal.shape[1]:
        length = int(rng.integers(0, longest))
        yield signal[:, start : start + length]
        start += length


@settings(max_examples=50, deadline=None)
@given(st.integers(200, 9000), st.integers(1, 16_000), st.integers(0, 10**6))
def test_windows_are_the_last_ten_seconds(step, longest, seed):
    signal = np.tile(np.arange(30_000, dtype=np.float32), (12, 1))
    window, found = RollingWindow(step / 500), []
    for chunk in chunks(signal, np.random.default_rng(seed), longest + 100):
        found += list(window.push(chunk))
    assert [seconds for seconds, _ in found] == [end / 500 for end in range(5000, 30_001, step)]
    for seconds, last in found[:: max(1, len(found) // 20)]:
        end = round(seconds * 500)
        assert (last == signal[:, end - 5000 : end]).all()


def offline(detector, signal, every):
    found = []
    for end in range(5000, signal.shape[1] + 1, every * 500):
        try:
            one = detector.detect(Record(signal[:, end - 5000 : end], f"stream at {end / 500:g} s"))
            found.append((end / 500, one.probability, one.decision, one.quality, ""))
        except InputError as error:
            found.append((end / 500, None, None, None, str(error)))
    return found


def online(detector, parts):
    found = [result for part in parts for result in detector.push(part)]
    return [
        (result.seconds, None, None, None, result.refusal)
        if result.detection is None
        else (result.seconds, result.detection.probability, result.detection.decision, result.detection.quality, "")
        for result in found
    ]


def test_same_results_as_offline(int8_bundle):
    signal = stream_of(60)
    signal[:, 12_000:14_500] = np.random.default_rng(0).normal(0, 0.3, (12, 2500))  # a loose cable
    signal[3, 22_000] = np.nan  # a lost sample
    expected = offline(Detector(int8_bundle), signal, 4)
    assert {bool(row[4]) for row in expected} == {True, False}
    assert any("missing or infinite samples in aVR" in row[4] for row in expected)
    for seed, longest in ((0, 40), (1, 12_000)):
        detector = Detector(int8_bundle, every=4)
        assert online(detector, chunks(signal, np.random.default_rng(seed), longest)) == expected
    detector.reset()
    assert online(detector, [signal]) == expected


def test_bad_chunks_are_refused_and_none_of_them_is_taken(int8_bundle):
    detector, signal = Detector(int8_bundle), stream_of(10)
    detector.push(signal[:, :2500])
    for bad, sentence in (
        (signal.T, r"shape \(12, n\), received \(5000, 12\)"),
        (signal[0], r"received \(5000,\)"),
        (np.zeros((12, 9), np.int16), "float32, received int16"),
        ([["a"]] * 12, "float32, received <U1"),
    ):
        with pytest.raises(InputError, match=sentence):
            detector.push(bad)
    assert [result.seconds for result in detector.push(signal[:, 2500:])] == [10.0]


@pytest.mark.parametrize("every", [0, -1, float("nan"), float("inf"), 0.0005])
def test_steps_that_cannot_be(int8_bundle, every):
    with pytest.raises(InputError, match="say how many seconds"):
        Detector(int8_bundle, every=every)


def test_threads_may_share_a_stream(int8_bundle):
    """Whichever thread hands over a chunk: every moment is judged once, and nothing is torn."""
    detector, signal = Detector(int8_bundle, every=1), stream_of(10)
    parts = [signal[:, i : i + 500] for i in range(0, 5000, 500)] * 4
    with ThreadPoolExecutor(4) as pool:
        results = [result for found in pool.map(detector.push, parts) for result in found]
    assert sorted(result.seconds for result in results) == [float(second) for second in range(10, 41)]


def test_memory_is_flat():
    window, chunk = RollingWindow(1), np.zeros((12, 777), np.float32)
    tracemalloc.start()
    try:
        peaks = []
        for _ in range(3):
            tracemalloc.reset_peak()
            for _ in range(600):
                for _ in window.push(chunk):
                    pass
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert peaks[2] <= peaks[0] + 10_000
    assert peaks[0] < 4 * 12 * 5000 * 4


@pytest.mark.slow
def test_an_hour(int8_bundle):
    """360 results, those of offline, and memory that stays where it was after the first minutes."""
    import resource

    signal, rng = stream_of(3600), np.random.default_rng(0)
    expected = offline(Detector(int8_bundle), signal, 10)
    detector = Detector(int8_bundle, every=10)
    assert online(detector, chunks(signal[:, :150_000], rng, 3000)) == expected[:30]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert online(detector, chunks(signal[:, 150_000:], rng, 3000)) == expected[30:]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 2000, f"{grown} KB"
