"""NPY, NPZ, CSV and MATLAB: what the numbers mean is declared, assumed with a flag, or asked for."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import LEADS

ASSUMED = ("assumed_leads", "assumed_rate", "assumed_units")


def refused(path: Path, *words: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read_record(path)
    text = str(caught.value)
    for word in (path.name, *words):
        assert word in text, text
    assert "\n" not in text
    return caught.value


def save(path: Path, array: np.ndarray, **said: Any) -> Path:
    np.save(path, array)
    if said:
        path.with_name(path.name + ".json").write_text(json.dumps(said), encoding="utf-8")
    return path


def csv_text(ecg: np.ndarray, names: list[str] | None = None, number: str = "%.4f", delimiter: str = ",") -> str:
    stream = io.StringIO()
    np.savetxt(stream, ecg.T, number, delimiter)
    return delimiter.join(names or LEADS) + "\n" + stream.getvalue()


class Evil:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("PICKLE_WAS_EXECUTED"),))


@pytest.mark.parametrize(("factor", "kind"), [(1.0, "f4"), (1.0, "f8"), (1000.0, "f4"), (1000.0, ">f8")])
def test_npy_without_a_word(tmp_path: Path, ecg: np.ndarray, factor: float, kind: str) -> None:
    made = read_record(save(tmp_path / "a.npy", (ecg * factor).astype(kind)))
    np.testing.assert_allclose(made.signal, ecg, atol=1e-6)
    assert (made.flags, made.source) == (ASSUMED, "NPY")


def test_npy_with_everything_said(tmp_path: Path, ecg: np.ndarray) -> None:
    order = [11, 10, 9, 8, 7, 6, 0, 1]
    counts = np.round(ecg[order] * 1000).astype(np.int16)
    leads = [LEADS[k].lower() for k in order]
    path = save(tmp_path / "a.npy", counts, rate=500, units="µV", leads=leads, age=70, sex="F")
    made = read_record(path)
    np.testing.assert_allclose(made.signal[order], ecg[order], atol=0.00051)
    assert (made.flags, made.age, made.sex) == (("derived_leads",), 70.0, "female")


@pytest.mark.parametrize("kind", ["f4", "i4"])
def test_unit_in_the_file_name(tmp_path: Path, ecg: np.ndarray, kind: str) -> None:
    made = read_record(save(tmp_path / "x_uV.npy", np.round(ecg * 1000).astype(kind)))
    np.testing.assert_allclose(made.signal, ecg, atol=0.00051)
    assert made.flags == ("assumed_leads", "assumed_rate")


def test_turned_arrays(tmp_path: Path, ecg: np.ndarray) -> None:
    for array in (ecg.T, np.asfortranarray(ecg.T)):
        made = read_record(save(tmp_path / "a.npy", array))
        np.testing.assert_allclose(made.signal, ecg, atol=1e-6)
        assert made.flags == (*ASSUMED, "transposed")


def test_integers_need_a_unit(tmp_path: Path, ecg: np.ndarray) -> None:
    error = refused(save(tmp_path / "a.npy", np.round(ecg * 200).astype(np.int16)), "integers without a unit", ".json")
    assert error.reason == "no_units"


@pytest.mark.parametrize("factor", [30.0, 1e-6, 1e6])
def test_amplitudes_that_leave_the_unit_open(tmp_path: Path, ecg: np.ndarray, factor: float) -> None:
    assert refused(save(tmp_path / "a.npy", ecg * factor), "no unit is given").reason == "no_units"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"rate": 0}, "declared rate must be > 0"),
        ({"rate": "500"}, "rate is declared as 500"),
        ({"rate": True}, "rate is declared"),
        ({"units": "counts"}, "expected mV"),
        ({"leads": ["I", "II"]}, "expected 2 x samples"),
        ({"leads": [*LEADS[:11], "V5"]}, "lead V5 appears twice"),
        ({"leads": "I II III"}, "leads is declared"),
        ({"gain": 200}, "nothing else"),
        ({"units": "mV", "unit": "uV"}, "given twice and differently (mv and uv)"),
    ],
)
def test_bad_declarations(tmp_path: Path, ecg: np.ndarray, said: dict, words: str) -> None:
    refused(save(tmp_path / "a.npy", ecg, **said), words)


def test_sidecar_against_name(tmp_path: Path, ecg: np.ndarray) -> None:
    assert refused(save(tmp_path / "a_mV.npy", ecg, units="uV"), "differently").reason == "contradiction"
    (tmp_path / "b.npy.json").write_text("[" * 5000, encoding="utf-8")
    refused(save(tmp_path / "b.npy", ecg), "not JSON")


def test_npy_that_is_no_recording(tmp_path: Path, ecg: np.ndarray) -> None:
    path = tmp_path / "a.npy"
    refused(save(path, ecg.ravel()), "expected 12 x samples, got (60000,)")
    refused(save(path, ecg[:11]), "expected 12 x samples, got (11, 5000)")
    refused(save(path, ecg.astype(complex)), "expected an array of numbers")
    refused(save(path, ecg[:, :0]), "no samples")
    refused(save(path, np.zeros((12, 2_000_001), np.int8), units="mV", rate=1000), "too long")
    data = save(path, ecg).read_bytes()
    path.write_bytes(data[:-1])
    assert refused(path, "file is shorter than its header says").reason == "truncated"
    path.write_bytes(data.replace(b"(12, 5000)", b"(12, 9999999999999)"[:10].ljust(10)))
    refused(path)
    path.write_bytes(b"\x93NUMPY\x01\x00")
    refused(path, "damaged NumPy header")


def test_pickles_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npy").write_bytes(pickle.dumps(Evil()))
    assert refused(tmp_path / "a.npy", "pickle").reason == "pickle"
    np.save(tmp_path / "b.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    assert refused(tmp_path / "b.npy", "object arrays").reason == "pickle"
    np.savez(tmp_path / "c.npz", signal=np.array([Evil()], dtype=object))
    assert refused(tmp_path / "c.npz", "object arrays").reason == "pickle"
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("signal.npy", pickle.dumps(Evil()))
    refused(tmp_path / "d.npz", "not a NumPy array")
    assert not (tmp_path / "PICKLE_WAS_EXECUTED").exists()


def test_npz_with_its_own_fields(tmp_path: Path, synthetic: Callable[..., np.ndarray]) -> None:
    at_250 = synthetic(np.arange(0.43, 9.9, 0.857), rate=250.0)
    for write in (np.savez, np.savez_compressed):
        write(
            tmp_path / "a.npz",
            signal=np.round(at_250 * 1000).astype(np.int16),
            fs=250,
            units="uV",
            leads=np.array(LEADS),
            age=44,
            sex="male",
        )
        made = read_record(tmp_path / "a.npz")
        np.testing.assert_allclose(made.signal, synthetic(np.arange(0.43, 9.9, 0.857)), atol=0.01)
        assert (made.flags, made.age, made.sex, made.source) == ((), 44.0, "male", "NPZ")


def test_npz_bombs_and_damage(tmp_path: Path, ecg: np.ndarray) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, ecg=np.zeros((12, 4_000_000), np.float32))
    assert refused(path, "12 x 4000000 is too long").reason == "too_long"
    np.savez(path, one=ecg, two=ecg)
    refused(path, "which of its 2 arrays")
    np.savez(path, signal=np.array(["a"] * 12))
    refused(path, "expected an array of numbers")
    np.savez(path, **{f"a{k}": np.zeros(1) for k in range(40)})
    refused(path, "too many")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("signal.npy", b"x")
    refused(path, "unusual compression")
    np.savez_compressed(path, signal=ecg)
    data = path.read_bytes()
    for broken in (data[:1000], data[:500] + b"\xff" * 40 + data[540:]):
        path.write_bytes(broken)
        refused(path)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_csv(tmp_path: Path, ecg: np.ndarray, newline: str, bom: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(bom + csv_text(ecg).replace("\n", newline).encode())
    made = read_record(path)
    np.testing.assert_allclose(made.signal, ecg, atol=1e-4)
    assert (made.flags, made.source) == (("assumed_rate", "assumed_units"), "CSV")


@pytest.mark.parametrize("pattern", ["{}_uV", "{} (µV)", "{} [uV]", '"{}_uv"'])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_units_in_the_header(tmp_path: Path, ecg: np.ndarray, pattern: str, delimiter: str) -> None:
    path = tmp_path / "a.txt"
    names = [pattern.format(lead) for lead in LEADS]
    path.write_text(csv_text(ecg * 1000, names, "%.0f", delimiter), encoding="utf-8")
    made = read_record(path)
    np.testing.assert_allclose(made.signal, ecg, atol=0.00051)
    assert made.flags == ("assumed_rate",)


@pytest.mark.parametrize(("name", "factor"), [("time", 1.0), ("time_ms", 1000.0), ("t", 1.0), ("Time (s)", 1.0)])
@pytest.mark.parametrize("rate", [250, 360, 500, 1000])
def test_csv_time_column(
    tmp_path: Path, synthetic: Callable[..., np.ndarray], name: str, factor: float, rate: int
) -> None:
    beats = np.arange(0.43, 9.9, 0.857)
    signal = synthetic(beats, rate=float(rate))
    times = np.round(np.arange(signal.shape[1]) / rate * factor, 3)
    path = tmp_path / "a_mV.csv"
    text = csv_text(np.vstack([times, signal, times]), [name, *LEADS, "marker"])
    path.write_text(text, encoding="utf-8")
    made = read_record(path)
    np.testing.assert_allclose(made.signal[:, :4990], synthetic(beats)[:, :4990], atol=0.01)
    assert made.flags == ()


def test_csv_that_is_no_recording(tmp_path: Path, ecg: np.ndarray) -> None:
    path = tmp_path / "a.csv"

    def wrong(text: str, *words: str) -> None:
        path.write_text(text, encoding="utf-8")
        refused(path, *words)

    good = csv_text(ecg)
    rows = good.split("\n")
    wrong(
        "\n".join([*rows[:778], ",".join(rows[778].split(",")[:9]), *rows[779:]]),
        "row 779: expected 12 values, found 9",
    )
    wrong(
        "\n".join([*rows[:101], "n/a" + rows[101][rows[101].index(",") :], *rows[102:]]),
        "row 102, lead I: not a number: n/a",
    )
    wrong(
        "\n".join([*rows[:101], rows[101][rows[101].index(",") :], *rows[102:]]),
        "row 102, lead I: not a number: (empty)",
    )
    wrong(good.replace(",", ";").replace(".", ","), "decimal comma found in row 2")
    wrong("\n".join(rows[1:]), "first row names no leads")
    wrong(rows[0], "no samples below the first row")
    wrong(good.replace("V6", "V6" + "," * 600, 1), "more than 512 columns")
    wrong(good.replace("V3", "V2", 1), "lead V2 appears twice")
    wrong(good.replace("V3", "Vx", 1), "missing lead V3")
    wrong(good.replace("V3", "V3_uV", 1), "different units")
    wrong(csv_text(ecg * 200, number="%.0f"), "integers without a unit")
    wrong("\n".join([*rows[:50], ",".join(["nan"] * 12), *rows[50:]]), "I: 1 missing samples, II: 1 missing samples")
    times = np.append(np.arange(4999) / 500, 50.0)
    wrong(csv_text(np.vstack([times, ecg]), ["time", *LEADS]), "does not rise evenly")
    path.write_bytes(good.encode("utf-16"))
    refused(path, "not UTF-8")


def test_matlab_as_scipy_writes_it(tmp_path: Path, ecg: np.ndarray) -> None:
    path = tmp_path / "a.mat"
    cpsc = {"ECG": {"sex": "Female", "age": 61, "data": ecg}}
    for compressed in (False, True):
        scipy.io.savemat(path, cpsc, do_compression=compressed)
        made = read_record(path)
        np.testing.assert_allclose(made.signal, ecg, atol=1e-6)
        assert (made.age, made.sex, made.flags, made.source) == (61.0, "female", ASSUMED, "MATLAB")
    for version in ("4", "5"):
        scipy.io.savemat(path, {"val": np.round(ecg * 1000).astype(np.int16)}, format=version)
        assert refused(path, "integers without a unit").reason == "no_units"
        scipy.io.savemat(
            path, {"val": np.round(ecg * 1000).astype(np.int16), "fs": 500.0, "units": "uV"}, format=version
        )
        made = read_record(path)
        np.testing.assert_allclose(made.signal, ecg, atol=0.00051)
        assert made.flags == ("assumed_leads",)


def test_matlab_that_is_no_recording(tmp_path: Path, ecg: np.ndarray) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"noise": ecg})
    refused(path, "no ECG found (it holds noise)")
    scipy.io.savemat(path, {"val": np.zeros((12, 3_000_000))}, do_compression=True)
    refused(path, "damaged or cut off")
    scipy.io.savemat(path, {"val": ecg})
    data = path.read_bytes()
    for broken in (data[:-5], data[:200], data[:130], b"MATLAB 7.3 MAT-file", b"\0" * 100):
        path.write_bytes(broken)
        refused(path)


def test_signal_files_lead_to_their_header(tmp_path: Path, write_wfdb: Callable[..., Path], ecg: np.ndarray) -> None:
    header = write_wfdb(tmp_path, "a", ecg)
    np.testing.assert_array_equal(read_record(tmp_path / "a.dat").signal, read_record(header).signal)


def test_extension_may_be_left_out_unless_several_fit(tmp_path: Path, ecg: np.ndarray) -> None:
    save(tmp_path / "a.npy", ecg)
    assert read_record(tmp_path / "a").source == "NPY"
    (tmp_path / "a.csv").write_text(csv_text(ecg), encoding="utf-8")
    assert refused(tmp_path / "a", "could be any of a.npy, a.csv").reason == "ambiguous"


def test_extension_of_another_format(tmp_path: Path, ecg: np.ndarray) -> None:
    save(tmp_path / "a.npy", ecg).rename(tmp_path / "a.dcm")
    assert refused(tmp_path / "a.dcm", "looks like NPY, not like .dcm").reason == "wrong_extension"
    (tmp_path / "a.dcm").rename(tmp_path / "a.ecg")
    assert read_record(tmp_path / "a.ecg").source == "NPY"


def test_real_files(recordings: Path) -> None:
    source = read_record(recordings / "wfdb_cinc2021" / "E07506").signal
    for name in ("E07506_mV.csv", "E07506_uV.npy"):
        np.testing.assert_allclose(read_record(recordings / "arrays" / name).signal, source, atol=1e-6)
    cpsc = read_record(recordings / "mat_cpsc2018" / "A1980.mat")
    theirs = scipy.io.loadmat(recordings / "mat_cpsc2018" / "A1980.mat")["ECG"]["data"][0, 0]
    np.testing.assert_array_equal(cpsc.signal, theirs.astype(np.float32))
    assert (cpsc.age, cpsc.sex, cpsc.flags) == (52.0, "male", ASSUMED)
