#!/usr/bin/env python
"""Time the signal code on one core, beside its peers:  python scripts/benchmark_signal.py [RECORDS ...]

Recording (10 s, 12 leads, 500 Hz, in memory) → median beat, beside R-peak detection and averaging by neurokit2 and
wfdb where they are installed, and beside a plain zero-phase SciPy band filter; then the engineered features of 10,893
median beats. Takes simulated recordings, or those given (any format). --json for programs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfiltfilt

from omi_keras.beats.median_beats import median_beat
from omi_keras.measures.features import FEATURES, beat_features
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import Record
from omi_keras.simulate.cohort import simulate_cohort

COHORT = 10_893
SIMULATED = 30
LEAD_II = 1


def scipy_filter(record: Record) -> np.ndarray:
    return sosfiltfilt(butter(2, (0.05, 150), "bandpass", fs=500, output="sos"), record.signal, axis=1)


def wfdb_beat(record: Record) -> np.ndarray:
    from wfdb.processing import xqrs_detect

    peaks = xqrs_detect(record.signal[LEAD_II].astype(float), fs=500, verbose=False)
    return _average(scipy_filter(record), np.asarray(peaks))


def neurokit_beat(record: Record) -> np.ndarray:
    import neurokit2

    clean = np.stack([neurokit2.ecg_clean(lead.astype(float), sampling_rate=500) for lead in record.signal])
    _, found = neurokit2.ecg_peaks(clean[LEAD_II], sampling_rate=500)
    return _average(clean, np.asarray(found["ECG_R_Peaks"]))


def _average(clean: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    inside = [int(peak) for peak in peaks if 300 <= peak <= clean.shape[1] - 300]
    return np.median([clean[:, peak - 300 : peak + 300] for peak in inside], axis=0) if inside else clean[:, :600]


def milliseconds(work: Callable[[Record], object], records: list[Record], rounds: int) -> float:
    """Median over recordings and rounds."""
    for record in records[:3]:
        work(record)
    times = []
    for _ in range(rounds):
        for record in records:
            start = time.perf_counter()
            work(record)
            times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    records = [read_record(path) for path in options.records]
    records = records or [ecg.record for ecg in simulate_cohort(SIMULATED, SIMULATED, 0.2, seed=0)]

    found = {"median beat (omi-keras)": milliseconds(median_beat, records, options.rounds)}
    peers = {"zero-phase filter alone (scipy)": scipy_filter}
    peers |= {"wfdb": wfdb_beat} if importlib.util.find_spec("wfdb") else {}
    peers |= {"neurokit2": neurokit_beat} if importlib.util.find_spec("neurokit2") else {}
    found |= {name: milliseconds(work, records, 1) for name, work in peers.items()}

    beats = np.stack([median_beat(record).beat for record in records])
    cohort = np.resize(beats, (COHORT, *beats.shape[1:]))
    start = time.perf_counter()
    beat_features(cohort)
    seconds = time.perf_counter() - start

    ours = found["median beat (omi-keras)"]
    what = "given" if options.records else "simulated"
    content = {"recordings": len(records), "kind": what, "milliseconds": found, "features_seconds": seconds}
    if options.json:
        print(json.dumps(content | {"ratios": {name: ours / value for name, value in found.items()}}))
        return
    print(f"{len(records)} recordings ({what}), one core, median")
    for name, value in found.items():
        print(f"  {name:34} {value:8.2f} ms   ours is {ours / value:.2f}x")
    print(f"{len(FEATURES)} features of {COHORT} median beats: {seconds:.1f} s")


if __name__ == "__main__":
    main()
