"""What the signal tests share: a synthetic ECG with known truths, hand-written files, real recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from omi_keras.recordings.record import LEADS, Record

# P, Q, R, S, T: centre in s from R, width in s, height in mV.
NORMAL = (
    (-0.16, 0.020, 0.12),
    (-0.028, 0.008, -0.10),
    (0.0, 0.010, 1.0),
    (0.030, 0.009, -0.20),
    (0.26, 0.045, 0.30),
)
# No P, wide, discordant T.
ECTOPIC = ((0.0, 0.035, -1.4), (0.07, 0.035, 0.9), (0.30, 0.060, 0.5))
# Of I, II and V1 to V6 per wave of NORMAL; Q and S lean the other way in V1 and V2.
AXES = np.array(
    [
        [0.7, 1.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.7],
        [1.0, 0.8, -0.4, -0.2, 0.6, 1.2, 1.0, 0.8],
        [0.7, 1.0, -0.6, -0.4, 0.5, 1.3, 1.4, 1.0],
        [0.8, 0.9, 3.0, 4.0, 2.5, 1.0, 0.5, 0.4],
        [0.8, 1.0, -0.3, 1.0, 1.6, 1.5, 1.2, 0.9],
    ]
)
ECTOPIC_AXES = np.array(
    [
        [0.5, -1.0, 1.2, 1.0, 0.4, -0.6, -0.9, -1.0],
        [0.6, -0.8, 1.0, 1.0, 0.5, -0.4, -0.8, -0.9],
        [0.5, -1.0, 1.0, 0.9, 0.3, -0.5, -0.8, -1.0],
    ]
)


def twelve(eight: np.ndarray) -> np.ndarray:
    """I, II, V1..V6 → twelve leads by Einthoven and Goldberger."""
    one, two = eight[0], eight[1]
    limbs = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.concatenate([np.stack(limbs), eight[2:]])


def synthetic(
    beats: Sequence[float], seconds: float = 10.0, *, ectopic: Sequence[float] = (), rate: float = 500.0
) -> np.ndarray:
    """(12, samples) float64 mV with R peaks at the given seconds."""
    t = np.arange(round(seconds * rate)) / rate
    eight = np.zeros((8, len(t)))
    for times, waves, axes in ((beats, NORMAL, AXES), (ectopic, ECTOPIC, ECTOPIC_AXES)):
        for at in times:
            for (centre, width, height), axis in zip(waves, axes, strict=True):
                eight += axis[:, None] * (height * np.exp(-0.5 * ((t - at - centre) / width) ** 2))
    return twelve(eight)


def record(signal: np.ndarray, name: str = "test") -> Record:
    return Record(np.ascontiguousarray(signal, dtype=np.float32), name)


def write_wfdb(
    folder: Path,
    name: str,
    millivolts: np.ndarray,
    *,
    leads: Sequence[str] = LEADS,
    rate: str = "500",
    gain: str = "1000(0)/mV",
    storage: str = "16",
    per_mv: float = 1000.0,
    baseline: int = 0,
    extra: str = "",
) -> Path:
    """A format 16 record written by hand; the header's path."""
    adu = np.round(millivolts * per_mv).astype(np.int64) + baseline
    offset = int(storage.partition("+")[2] or 0)
    (folder / f"{name}.dat").write_bytes(bytes(offset) + adu.T.astype("<i2").tobytes())
    lines = [f"{name} {len(adu)} {rate} {adu.shape[1]}"]
    lines += [f"{name}.dat {storage} {gain} 16 0 {row[0]} 0 0 {lead}" for lead, row in zip(leads, adu, strict=True)]
    header = folder / f"{name}.hea"
    header.write_text("\n".join(lines) + "\n" + extra, encoding="utf-8")
    return header


@pytest.fixture(name="synthetic", scope="session")
def _synthetic() -> Callable[..., np.ndarray]:
    return synthetic


@pytest.fixture(name="record", scope="session")
def _record() -> Callable[..., Record]:
    return record


@pytest.fixture(name="write_wfdb", scope="session")
def _write_wfdb() -> Callable[..., Path]:
    return write_wfdb


@pytest.fixture(name="recordings", scope="session")
def _recordings() -> Path:
    """The folder of real recordings that lies beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "ecg"
    if not (folder / "labels.csv").is_file():
        pytest.skip("the real recordings (shared/ecg beside the checkout) are not here")
    return folder


@pytest.fixture(name="ecg")
def _ecg() -> np.ndarray:
    """(12, 5000) float64 mV at 70 beats per minute with a little noise; a new one for each test."""
    signal = synthetic(np.arange(0.43, 9.9, 0.857))
    return signal + np.random.default_rng(0).normal(scale=0.005, size=signal.shape)


def edit(file: Path, old: str, new: str) -> Path:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    return file


@pytest.fixture(name="edit_header", scope="session")
def _edit_header() -> Callable[..., Path]:
    """Replace a text in a header."""
    return edit
