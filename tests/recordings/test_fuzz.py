"""Damaged files of every format: a sentence or a sound record, never a traceback, a hang or other people's values."""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import ecg_files
import numpy as np
import pytest
import scipy.io

from omi_keras.beats.median_beats import median_beat
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import LEADS

EIGHT = [0, 1, *range(6, 12)]
SECONDS = 5.0


def _saved(save: Callable, *arguments: object, **more: object) -> bytes:
    stream = io.BytesIO()
    save(stream, *arguments, **more)
    return stream.getvalue()


def _csv(ecg: np.ndarray) -> bytes:
    return (",".join(LEADS) + "\n").encode() + _saved(np.savetxt, ecg.T, fmt="%.3f", delimiter=",")


def _dicom(adu: np.ndarray) -> bytes:
    return ecg_files.dicom([{"adu": adu}, {"adu": adu[:, :600], "label": "MEDIAN BEAT"}])


def _unlabelled(adu: np.ndarray) -> list[dict]:
    beat = {"adu": adu[:, :600], "originality": "DERIVED", "trigger": 300}
    return [{**group, "label": None, "padding": 0} for group in (beat, {"adu": adu})]


def _muse(adu: np.ndarray) -> bytes:
    parts = (("Rhythm", adu[:, :1500]), ("Median", adu[:, :600]), ("Rhythm", adu))
    return ecg_files.muse(*(ecg_files.muse_waveform(kind, part[EIGHT]) for kind, part in parts))


def _aecg(adu: np.ndarray) -> bytes:
    short = ecg_files.aecg_set(adu[:, :1250])
    beat = ecg_files.aecg_series("REPRESENTATIVE_BEAT", ecg_files.aecg_set(adu[:, :500]))
    return ecg_files.aecg(short, ecg_files.aecg_set(adu), before=beat)


def _timed(adu: np.ndarray) -> bytes:
    names = [f"{'D' if k < 3 else ''}{lead}_µV" for k, lead in enumerate(LEADS)]
    rows = np.vstack([np.arange(adu.shape[1]) * 2, adu * 5]).T
    return (";".join(["time_ms", *names]) + "\n").encode("latin-1") + _saved(np.savetxt, rows, fmt="%d", delimiter=";")


def _turned(adu: np.ndarray) -> bytes:
    stored = adu.copy()
    stored[[1, 7]] = -1 - adu[[1, 7]]
    return ecg_files.edf(
        stored,
        turned=("II", "V2"),
        units="µV".encode().decode("latin-1"),
        labels=tuple(f"ECG {lead}" for lead in LEADS),
    )


def _scp(adu: np.ndarray) -> bytes:
    zones = ecg_files.scp_zones(700, 101, [(136, 216, 366), (565, 645, 795)])
    beat = ecg_files.scp_signals(adu[:, 115:465])
    return ecg_files.scp(ecg_files.scp_signals(adu), adu.shape[1], beat=beat, zones=zones, subtracted=True)


def _sierra(adu: np.ndarray) -> bytes:
    beats = ecg_files.sierra_beats(adu[:, :600], "1.04", 'samplespersec="500" resolution="2.5"', 600)
    return ecg_files.sierra(adu, version="1.04", beats=beats)


# Of (12, n) steps of 5 µV.
FORMATS: dict[str, Callable[[np.ndarray], bytes]] = {
    "xli.xml": _sierra,
    "base64.xml": lambda adu: ecg_files.sierra(adu, encoding="Base64"),
    "plain.xml": lambda adu: ecg_files.sierra(adu, encoding="Plain"),
    "spare.xml": lambda adu: ecg_files.sierra(adu, encoding="Plain", spare=4),
    "spare64.xml": lambda adu: ecg_files.sierra(adu, encoding="Base64", spare=4),
    "several.xml": _muse,
    "series.xml": _aecg,
    "groups.dcm": lambda adu: ecg_files.dicom(_unlabelled(adu)),
    "bare.dcm": lambda adu: ecg_files.dicom(_unlabelled(adu), header=False),
    "implicit.dcm": lambda adu: ecg_files.dicom(_unlabelled(adu), implicit=True, header=False),
    "turned.edf": _turned,
    "timed.csv": _timed,
    "muse.xml": lambda adu: ecg_files.muse(ecg_files.muse_waveform("Rhythm", adu[EIGHT])),
    "aecg.xml": lambda adu: ecg_files.aecg(ecg_files.aecg_set(adu), derived=ecg_files.aecg_set(adu[:, :500])),
    "a.dcm": _dicom,
    "huffman.scp": _scp,
    "plain.scp": lambda adu: ecg_files.scp(
        ecg_files.scp_signals(adu, packed=False, differences=0), adu.shape[1], tables=None
    ),
    "a.edf": lambda adu: ecg_files.edf(adu, annotations=True),
    "a.bdf": lambda adu: ecg_files.edf(adu, width=3),
    "a.npy": lambda adu: _saved(np.save, adu * 0.005),
    "a.npz": lambda adu: _saved(np.savez_compressed, signal=adu, units="uV", fs=500, leads=np.array(LEADS)),
    "b.npz": lambda adu: _saved(np.savez, signal=adu * 0.005),
    "a.csv": lambda adu: _csv(adu * 0.005),
    "v5.mat": lambda adu: _saved(scipy.io.savemat, {"ECG": {"sex": "M", "age": 61, "data": adu * 0.005}}),
    "packed.mat": lambda adu: _saved(scipy.io.savemat, {"data": adu * 0.005, "fs": 500.0}, do_compression=True),
    "v4.mat": lambda adu: _saved(scipy.io.savemat, {"val": adu * 0.005}, format="4"),
    "a.dat": lambda adu: adu.T.astype("<i2").tobytes(),
    "a.hea": lambda adu: _header(adu),
}
# Of these nobody says the rate: it is believed of 10 s only.
NO_RATE = {"a.npy", "b.npz", "a.csv", "v5.mat", "v4.mat"}
NEEDS = {".xml": "defusedxml", ".dcm": "pydicom"}


def _header(adu: np.ndarray) -> bytes:
    lines = [f"p1/a 12 500 {adu.shape[1]}"]
    for lead, row in zip(LEADS, adu, strict=True):
        lines.append(f"a.dat 16 200(0)/mV 16 0 {row[0]} {(int(row.sum()) + 32768) % 65536 - 32768} 0 {lead}")
    return "\n".join(lines).encode()


def damaged(data: bytes, rng: np.random.Generator) -> tuple[bytes, int]:
    """One to four changes: bytes flipped, overwritten, cut out, inserted, the end cut off; half of them early on.

    The second value counts the changes that move what comes after them.
    """
    out, moved = bytearray(data), 0
    for _ in range(rng.integers(1, 5)):
        reach = min(len(out), 3000 if rng.random() < 0.5 else len(out))
        at = int(rng.integers(0, max(reach, 1)))
        size = int(rng.choice([1, 2, 4, 30, 1000]))
        change = rng.integers(0, 6)
        moved += change >= 2
        if change == 0 and out:
            out[min(at, len(out) - 1)] ^= 1 << int(rng.integers(0, 8))
        elif change == 1:
            out[at : at + size] = rng.integers(0, 256, size, "u1").tobytes()
        elif change == 2:
            del out[at : at + size]
        elif change == 3:
            out[at:at] = bytes(rng.choice([0x00, 0x20, 0x30, 0x39, 0x7F, 0xFF], size).astype("u1"))
        elif change == 4:
            out[at:at] = out[at : at + size]
        else:
            del out[at:]
    return bytes(out), moved


def resembles(made: np.ndarray, intact: np.ndarray, turns: bool) -> bool:
    """Whether each lead is the undamaged one but for single samples, a gain and an offset.

    A damaged gain is a gain, and no reader can know better. Other leads, other places in time, upside down where the
    format does not speak of polarities, or values made of something else are wrong.
    """
    for lead, truth in zip(made.astype(float), intact.astype(float), strict=True):
        x, y = truth - np.median(truth), lead - np.median(lead)
        high = np.abs(x) > np.quantile(np.abs(x), 0.9)
        scale = float(np.median(y[high] / x[high]))
        if (scale <= 0 and not turns) or np.median(np.abs(y - scale * x)) > 0.03 * abs(scale) * np.ptp(truth):
            return False
    return True


def attack(name: str, folder: Path, synthetic: Callable[..., np.ndarray], times: int, seed: int) -> None:
    if (package := NEEDS.get(Path(name).suffix)) is not None:
        pytest.importorskip(package)
    seconds = 10.0 if name in NO_RATE else 6.0
    ecg = synthetic(np.arange(0.43, seconds, 0.857), seconds)
    adu = np.round((ecg + np.random.default_rng(0).normal(scale=0.005, size=ecg.shape)) * 200).astype(np.int64)
    path = folder / name
    if path.suffix in (".dat", ".hea"):
        for other in ("a.hea", "a.dat"):
            (folder / other).write_bytes(FORMATS[other](adu))
        good = path.read_bytes()
    else:
        good = FORMATS[name](adu)
        path.write_bytes(good)
    intact = read_record(path)
    assert "checksum" not in intact.flags
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    for _ in range(times):
        content, moved = damaged(good, rng)
        path.write_bytes(content)
        start = time.perf_counter()
        try:
            made = read_record(path)
            sound = (
                np.isfinite(made.signal).all()
                and made.signal.shape[0] == 12
                and (made.age is None or 0 <= made.age <= 120)
                and made.sex in (None, "female", "male")
            )
            assert sound
            # A checksum over all samples leaves no damage unseen.
            if path.suffix in (".scp", ".dat") and not np.array_equal(made.signal, intact.signal):
                assert "checksum" in made.flags
            # Two moves may cancel each other, and then what lies between them has moved.
            if moved < 2 and made.signal.shape == intact.signal.shape and "checksum" not in made.flags:
                assert resembles(made.signal, intact.signal, path.suffix in (".edf", ".bdf", ".hea"))
            median_beat(made)
        except InputError as error:
            text = str(error)
            assert path.stem in text and len(text) < 700 and text.isprintable(), text
            assert "TESTNAM" not in text and "TESTID" not in text
        assert time.perf_counter() - start < SECONDS


@pytest.mark.parametrize("name", FORMATS)
def test_a_few_damaged_files(name: str, tmp_path: Path, synthetic: Callable[..., np.ndarray]) -> None:
    attack(name, tmp_path, synthetic, 6, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_damaged_files(name: str, tmp_path: Path, synthetic: Callable[..., np.ndarray]) -> None:
    attack(name, tmp_path, synthetic, 200, seed=2)
