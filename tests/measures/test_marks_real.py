"""Real recordings beside the checkout: marks against cardiologists' (LUDB), rates of inputs that once failed."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import delineation
import numpy as np
import pytest

from omi_keras.beats.median_beats import median_beat
from omi_keras.measures.fiducials import delineate
from omi_keras.recordings.readers import read_record


@pytest.fixture(name="ludb", scope="module")
def _ludb(shared: Path) -> list[delineation.Measured]:
    folder = shared / "ecg" / "ludb"
    if not folder.is_dir():
        pytest.skip("LUDB is not beside the checkout")
    return delineation.measure_folder(folder)


@pytest.mark.parametrize(
    ("mark", "within", "sd"), [("P onset", 0.9, 6), ("QRS onset", 0.8, 7), ("QRS end", 0.9, 8), ("T end", 0.9, 22)]
)
@pytest.mark.parametrize("half", [0, 1])
def test_marks_agree_with_cardiologists(
    ludb: list[delineation.Measured], mark: str, within: float, sd: float, half: int
) -> None:
    # Numbers were chosen on the first half of the records; each half is held to the same limits.
    found = delineation.summary(ludb[half::2])["marks"][mark]["all"]
    assert found["n"] > 35 and found["within"] >= within - 0.02 and found["sd_ms"] <= sd, found
    assert abs(found["mean_ms"]) < 4


def test_levels_rates_and_pacing_agree(ludb: list[delineation.Measured]) -> None:
    found = delineation.summary(ludb)
    assert found["j_level_within_25uv_unpaced"] >= 0.92
    assert found["paced_found"][0] >= found["paced_found"][1] - 1 and found["paced_false"] == []
    assert found["rate_off"] == []
    assert found["p_found"][0] >= 0.93 * found["p_found"][1]
    for one in ludb:
        if "complete right bundle" in one.labels and "incomplete right" not in one.labels:
            assert abs(one.errors["QRS end"]) <= 20, one.record


def test_flags_of_real_recordings_are_true(ludb: list[delineation.Measured]) -> None:
    clipped = {one.record for one in ludb if any(flag.startswith("clipped") for flag in one.beat.flags)}
    # Beats of 9 mV, and a plateau of 80 ms that a recorder drew after a spike.
    assert clipped <= {"ludb_109", "ludb_111"}
    assert not [one.record for one in ludb if "lead_reversal" in one.beat.flags]
    assert not [one.record for one in ludb if any(flag.startswith("dropout") for flag in one.beat.flags)]


def test_inputs_that_once_failed(shared: Path) -> None:
    folder = shared / "field"
    if not folder.is_dir():
        pytest.skip("the small inputs are not beside the checkout")
    truth = json.loads((folder / "rhythms.json").read_text(encoding="utf-8"))
    files = sorted(folder.glob("r_*.npz"))
    assert files
    for file in files:
        found = median_beat(read_record(file))
        assert found.heart_rate == pytest.approx(truth[file.name]["rate"], abs=2), file.name
        assert "paced" not in found.flags, file.name
        assert any(flag.startswith("dropout") for flag in found.flags) == (file.name in ("r_dropout.npz",)), file.name


def _folder(tmp_path: Path, ecg: np.ndarray, peaks: list[int]) -> Path:
    """One recording in the layout of LUDB, marked around ``peaks``."""
    leads = np.array(["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"])
    np.savez(tmp_path / "a.npz", signal=ecg.astype(np.float32), rate=500, leads=leads, units="mV")
    (tmp_path / "labels.csv").write_text("record,labels\na.npz,Rhythm: Sinus rhythm\n", encoding="utf-8")
    rows = ["record,lead,wave,onset,peak,offset"]
    for r in peaks:
        for k, lead in enumerate(leads):
            rows += [f"a.npz,{lead},QRS,{r - 24 + k},{r},{r + 30 - k}", f"a.npz,{lead},T,,{r + 130},{r + 190 - k}"]
            rows.append(f"a.npz,{lead},P,{r - 100 + k},{r - 80},{r - 50}")
    (tmp_path / "marks.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def test_the_reference_is_the_third_most_extreme_lead(ecg: np.ndarray, tmp_path: Path) -> None:
    peaks = [round(500 * r) for r in np.arange(0.43, 9.9, 0.857)][1:-1]
    (one,) = delineation.measure_folder(_folder(tmp_path, ecg, peaks))
    expected = {"P onset": 202, "QRS onset": 278, "QRS end": 328, "T end": 488}
    assert one.truth == pytest.approx(expected, abs=2)
    marks = delineate(one.beat.beat[None])
    assert one.errors["T end"] == pytest.approx(2.0 * (int(marks.t_end[0]) - one.truth["T end"]))
    assert one.rate == pytest.approx(70, abs=0.2)


def test_a_peer_stands_beside_where_it_is_installed(
    ecg: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peaks = [round(500 * r) for r in np.arange(0.43, 9.9, 0.857)][1:-1]
    folder = _folder(tmp_path, ecg, peaks)
    keys = ("ECG_P_Onsets", "ECG_R_Onsets", "ECG_R_Offsets", "ECG_T_Offsets")
    waves = dict(zip(keys, ([r + d for r in peaks] for d in (-98, -20, 25, 188)), strict=True))
    waves["ECG_T_Offsets"][0] = np.nan
    peer = types.ModuleType("neurokit2")
    peer.ecg_clean = lambda x, **_: x
    peer.ecg_peaks = lambda *_, **__: (None, {"ECG_R_Peaks": np.array(peaks)})
    peer.ecg_delineate = lambda *_, **__: (None, waves)
    peer.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "neurokit2", peer)
    (one,) = delineation.measure_folder(folder)
    assert one.peers == pytest.approx({"P onset": 0.0, "QRS onset": 4.0, "QRS end": -6.0, "T end": 0.0})
    monkeypatch.setattr(sys, "argv", ["delineation.py", str(folder), "--json"])
    assert delineation.main() == 0
    assert json.loads(capsys.readouterr().out)["marks"]["QRS end"]["neurokit2"]["mean_ms"] == pytest.approx(-6.0)


@pytest.mark.parametrize("missing", ["labels.csv", "marks.csv"])
def test_a_folder_of_another_layout_is_one_sentence(
    missing: str, ecg: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (_folder(tmp_path, ecg, [1000, 1428, 1857]) / missing).unlink()
    monkeypatch.setattr(sys, "argv", ["delineation.py", str(tmp_path)])
    assert delineation.main() == 2
    assert missing in capsys.readouterr().err
