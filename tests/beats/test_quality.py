from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from omi_keras.beats.quality import check_record, dropouts
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.limb_leads import limb_lead_error_uv
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import LEADS

Make = Callable[..., np.ndarray]


def _refused(signal: np.ndarray) -> InputError:
    with pytest.raises(InputError) as caught:
        check_record(signal.astype(np.float32), "x.hea")
    assert str(caught.value).startswith("x.hea: ")
    return caught.value


def test_good_recording_has_no_flags(ecg: np.ndarray) -> None:
    before = ecg.copy()
    ecg.flags.writeable = False
    assert check_record(ecg, "x") == ()
    np.testing.assert_array_equal(ecg, before)


def test_five_seconds_are_the_least(ecg: np.ndarray) -> None:
    assert check_record(ecg[:, :2500], "x") == ()
    error = _refused(ecg[:, :2499])
    assert "too short" in str(error) and error.reason == "too_short"


@pytest.mark.parametrize(("factor", "words"), [(1000.0, "probably µV"), (0.001, "probably mV")])
def test_wrong_units(ecg: np.ndarray, factor: float, words: str) -> None:
    error = _refused(ecg * factor)
    assert words in str(error) and error.reason == "implausible_amplitude"


@pytest.mark.parametrize("factor", [0.2, 4.0])
def test_small_and_large_hearts_are_fine(ecg: np.ndarray, factor: float) -> None:
    assert check_record(ecg * factor, "x") == ()


def test_electrode_offset_is_no_amplitude(ecg: np.ndarray) -> None:
    assert check_record(ecg + 300.0, "x") == ()


@pytest.mark.parametrize("level", [0.0, -2.0])
def test_one_or_two_flat_leads_are_flagged(ecg: np.ndarray, level: float) -> None:
    ecg[8] = level
    assert check_record(ecg, "x") == ("flat:V3",)
    ecg[11] = level
    assert check_record(ecg, "x") == ("flat:V3", "flat:V6")


def test_three_flat_leads_are_refused_by_name(ecg: np.ndarray) -> None:
    ecg[[7, 9, 11]] = 0.0
    error = _refused(ecg)
    assert "3 of 12 leads are flat: V2 V4 V6" in str(error) and error.reason == "flat_leads"


def test_pauses_make_no_lead_flat(synthetic: Make) -> None:
    quiet = synthetic([1.0, 2.0, 8.5])
    assert check_record(quiet, "x") == ()


def test_nothing_at_all() -> None:
    assert _refused(np.zeros((12, 5000))).reason == "no_signal"


def test_clipping_is_flagged_where_it_is(ecg: np.ndarray) -> None:
    ecg[10] = np.clip(ecg[10], -0.2, 0.4)
    assert check_record(ecg, "x") == ("clipped:V5",)


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_flat_isoelectric_line_is_no_rail(ecg: np.ndarray, way: float) -> None:
    # A recorder that smooths it between the waves, which all point one way: nothing lies beyond.
    lead = np.abs(ecg[10])
    ecg[10] = way * np.where(lead < 0.02, 0.0, lead)
    assert check_record(ecg, "x") == ()


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_lead_that_sticks_to_its_end_is_clipped(ecg: np.ndarray, way: float) -> None:
    # The rail lies just beyond the isoelectric line, and the lead drifts onto it for two seconds.
    ecg[10] = way * np.maximum(np.abs(ecg[10]), -0.03)
    ecg[10, 1000:2000] = way * -0.03
    assert check_record(ecg, "x") == ("clipped:V5",)


@pytest.mark.parametrize(("start", "stop"), [(1500, 3500), (0, 900), (4200, 5000)])
@pytest.mark.parametrize("level", [0.0, -1.25])
def test_dropouts_are_found(ecg: np.ndarray, start: int, stop: int, level: float) -> None:
    assert len(dropouts(ecg)) == 0
    ecg[:, start:stop] = level
    np.testing.assert_array_equal(dropouts(ecg), [[start, stop]])
    # A flat lead beside changes nothing.
    ecg[3] = 0.5
    np.testing.assert_array_equal(dropouts(ecg), [[start, stop]])


def test_a_still_line_between_beats_is_no_dropout(ecg: np.ndarray) -> None:
    ecg[:, 700:780] = ecg[:, 700:701]
    assert len(dropouts(ecg)) == 0
    ecg[:3, 2000:4000] = 0.0
    assert len(dropouts(ecg)) == 0


def test_swapped_names_break_einthoven(ecg: np.ndarray) -> None:
    assert limb_lead_error_uv(ecg) < 50
    assert limb_lead_error_uv(ecg[[1, 0, *range(2, 12)]]) > 300
    (flag,) = (flag for flag in check_record(ecg[[1, 0, *range(2, 12)]], "x") if flag.startswith("einthoven"))
    residual = int(flag.removeprefix("einthoven:").removesuffix("uV"))
    assert residual == pytest.approx(limb_lead_error_uv(ecg[[1, 0, *range(2, 12)]]), abs=0.5)


def test_a_spike_or_an_offset_does_not_break_einthoven(ecg: np.ndarray) -> None:
    ecg[2, 1000:1005] += 5.0
    ecg[4] += 2.0
    assert not any(flag.startswith("einthoven") for flag in check_record(ecg, "x"))


def test_exchanged_arms_are_suspected(ecg: np.ndarray) -> None:
    # RA and LA exchanged: I inverted, II and III exchanged, aVR and aVL exchanged.
    exchanged = ecg[[0, 2, 1, 4, 3, *range(5, 12)]]
    exchanged[0] *= -1
    assert check_record(exchanged, "x") == ("lead_reversal",)


def test_no_real_recording_looks_reversed_or_inconsistent(recordings: Path) -> None:
    for header in sorted(recordings.glob("wfdb_*/*.hea")):
        if header.stem != "JS20008":
            flags = read_record(header).flags
            assert not any(flag.startswith(("lead_reversal", "einthoven")) for flag in flags), header.name


def test_flags_are_single_words(ecg: np.ndarray) -> None:
    ecg[[0, 11]] = 0.0
    ecg[8] = np.clip(ecg[8], -0.2, 0.2)
    for flag in check_record(ecg, "x"):
        assert " " not in flag
        assert flag.partition(":")[2] in (*LEADS, "")
