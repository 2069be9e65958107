"""STEMI criteria on beats drawn by hand, whose ST levels, sexes and ages are known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omi_keras.beats.median_beats import median_beat
from omi_keras.measures.stemi import limits_mv, stemi_criteria
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.readers import read_record
from omi_keras.recordings.record import LEADS

T = np.arange(600.0)
NAN = float("nan")


def line(*knots: tuple[float, float]) -> np.ndarray:
    """Straight lines between (sample, mV), zero outside, (600,)."""
    at, mv = zip(*knots, strict=True)
    return np.interp(T, at, mv, left=0.0, right=0.0)


# J at sample 320; the ST level stays until T, which is upright.
QRS = line((280, 0), (300, 1.0), (320, 0))
ST = line((319, 0), (320, 1.0), (370, 1.0), (430, 0))
T_WAVE = line((370, 0), (430, 0.3), (470, 0))
# 140 ms of QRS.
BROAD = line((265, 0), (285, 1.0), (315, 1.0), (335, 0))
BROAD_ST = line((334, 0), (335, 1.0), (380, 1.0), (440, 0))


def beat(**st_mv: float) -> np.ndarray:
    """(12, 600) mV: the leads share a QRS complex and a T wave; ST as given."""
    level = np.array([st_mv.get(lead, 0.0) for lead in LEADS])[:, None]
    return (QRS + T_WAVE + level * ST).astype(np.float32)


def left_bundle(**st_mv: float) -> np.ndarray:
    """A left bundle branch block: broad, rS in V1 to V3, R alone in I, V5 and V6."""
    height = dict.fromkeys(("V1", "V2", "V3"), -1.6) | dict.fromkeys(("aVR",), -0.6)
    rows = [height.get(lead, 1.0) * BROAD + st_mv.get(lead, 0.0) * BROAD_ST for lead in LEADS]
    return np.array(rows, dtype=np.float32)


def positive(x: np.ndarray, age: float = 60.0, sex: str = "male", **options: object) -> bool:
    found = stemi_criteria(x[None], [age], [sex], **options)  # type: ignore[arg-type]
    assert found.shape == (1,) and found.dtype == bool
    return bool(found[0])


@pytest.mark.parametrize(
    ("sex", "age", "limit"),
    [
        ("male", 60, 0.2),
        ("male", 40, 0.2),
        ("male", 39, 0.25),
        ("female", 60, 0.15),
        ("female", 30, 0.15),
        ("male", NAN, 0.2),
        ("female", NAN, 0.15),
        ("", 60, 0.2),
        ("", 30, 0.25),
        ("", NAN, 0.2),
    ],
)
def test_v2_and_v3_have_limits_of_their_own(sex: str, age: float, limit: float) -> None:
    assert positive(beat(V2=limit + 0.01, V3=limit + 0.01), age, sex)
    assert not positive(beat(V2=limit - 0.01, V3=limit - 0.01), age, sex)


def test_limits_are_those_of_the_definition() -> None:
    limits = limits_mv(np.array([False, False, True, True]), np.array([False, True, False, True]))
    np.testing.assert_array_equal(limits[:, [7, 8]], [[0.2] * 2, [0.25] * 2, [0.15] * 2, [0.15] * 2])
    others = [i for i, lead in enumerate(LEADS) if lead not in ("V2", "V3", "aVR")]
    assert (limits[:, others] == 0.1).all()


@pytest.mark.parametrize(("a", "b"), [*pairwise(LEADS[8:]), ("II", "aVF"), ("aVF", "III"), ("I", "aVL")])
def test_two_contiguous_leads_are_needed(a: str, b: str) -> None:
    assert positive(beat(**{a: 0.3, b: 0.3}))
    assert not positive(beat(**{a: 0.3, b: 0.05}))
    assert not positive(beat(**{a: 0.05, b: 0.3}))


@pytest.mark.parametrize(("a", "b"), [("V1", "V4"), ("V2", "V6"), ("I", "II"), ("aVL", "V6"), ("aVR", "V1")])
def test_strangers_are_not_contiguous(a: str, b: str) -> None:
    assert not positive(beat(**{a: 0.5, b: 0.5}))


def test_a_limit_itself_counts() -> None:
    # 0.1 mV is no float32.
    x = beat(V4=0.0, V5=0.0)
    x[9:11] += 0.1 * ST.astype(np.float32)
    assert positive(x) and not positive(beat(V4=0.0995, V5=0.0995))


def test_the_reference_is_the_onset_of_qrs() -> None:
    x = beat(II=0.08, aVF=0.08)
    # A PR segment that sags by 0.05 mV takes the onset along.
    sagging = x - np.float32(0.05) * line((180, 0), (240, 1), (280, 1), (320, 0)).astype(np.float32)
    assert not positive(x) and positive(sagging)


def test_posterior_is_an_option() -> None:
    opposite = beat(V1=-0.08, V2=-0.1, V3=-0.1)
    assert positive(opposite, posterior=True) and not positive(opposite)
    assert not positive(beat(V2=-0.1), posterior=True)
    assert not positive(beat(V2=-0.1, V3=-0.1, V5=-0.1, V6=-0.1), posterior=True)
    inverted = opposite - np.float32(0.9) * T_WAVE.astype(np.float32) / np.float32(0.3)
    assert not positive(inverted, posterior=True)


def test_left_bundle_branch_block_is_excluded_or_read() -> None:
    # What every left bundle branch block shows: the ST segment turned away from QRS.
    plain = left_bundle(V1=0.2, V2=0.3, V3=0.25, I=-0.1, V6=-0.1)
    assert positive(plain, left_bundle="read")
    for how in ("exclude", "sgarbossa", "smith"):
        assert not positive(plain, left_bundle=how)
    concordant = left_bundle(V5=0.15)
    assert positive(concordant, left_bundle="sgarbossa") and positive(concordant, left_bundle="smith")
    assert not positive(concordant)
    assert positive(left_bundle(V2=-0.15), left_bundle="sgarbossa")
    excessive = left_bundle(V2=0.45, V3=0.3)
    assert positive(excessive, left_bundle="smith") and not positive(excessive, left_bundle="sgarbossa")


def test_rules_for_a_left_bundle_branch_block_touch_no_other_beat() -> None:
    for how in ("exclude", "read", "sgarbossa", "smith"):
        assert positive(beat(V4=0.15, V5=0.15), left_bundle=how)
        assert not positive(beat(V5=0.15), left_bundle=how)


def test_hypertrophy_is_excluded_or_read() -> None:
    x = beat(V4=0.15, V5=0.15)
    # Cornell: 1.0 + 1.5 mV, between the limits of women and men.
    x[LEADS.index("V3")] = -1.5 * QRS
    assert positive(x) and not positive(x, sex="female") and positive(x, sex="female", hypertrophy="read")
    x[LEADS.index("V3")] = -2.0 * QRS
    assert not positive(x) and positive(x, hypertrophy="read")


def test_rows_do_not_know_of_one_another() -> None:
    rng = np.random.default_rng(0)
    x = np.stack([beat(**dict(zip(LEADS, rng.normal(0.05, 0.12, 12), strict=True))) for _ in range(300)])
    age = np.where(rng.uniform(size=300) < 0.2, NAN, rng.uniform(20, 90, 300))
    sex = rng.choice(["female", "male", ""], 300)
    whole = stemi_criteria(x, age, sex)
    order = rng.permutation(300)
    np.testing.assert_array_equal(stemi_criteria(x[order], age[order], sex[order]), whole[order])
    assert 0.1 < whole.mean() < 0.9
    assert stemi_criteria(x[:0], age[:0], sex[:0]).shape == (0,)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.3, 0.5), min_size=12, max_size=12), st.integers(0, 11))
def test_more_elevation_never_turns_a_positive_negative(levels: list[float], lead: int) -> None:
    level = dict(zip(LEADS, levels, strict=True))
    if positive(beat(**level)):
        assert positive(beat(**level | {LEADS[lead]: level[LEADS[lead]] + 0.1}))


def test_what_cannot_be_read_is_refused() -> None:
    x = beat()[None]
    with pytest.raises(InputError, match=r"expected shape \(n, 12, 600\)"):
        stemi_criteria(x[0], [60], ["male"])
    with pytest.raises(InputError, match="age: expected one value for each of 1 beats"):
        stemi_criteria(x, [60, 61], ["male"])
    with pytest.raises(InputError, match="received 'M'"):
        stemi_criteria(x, [60], ["M"])
    with pytest.raises(InputError, match="missing or infinite"):
        stemi_criteria(x * NAN, [60], ["male"])
    with pytest.raises(InputError, match="left_bundle must be one of"):
        stemi_criteria(x, [60], ["male"], left_bundle="no")  # type: ignore[arg-type]


def test_recordings_from_devices_are_read_as_the_devices_did(shared: Path) -> None:
    def read(name: str, **options: object) -> bool:
        found = median_beat(read_record(shared / "ecg" / "sierra_xml" / name)).beat
        return positive(found, NAN, "", **options)

    assert read("mrx_103_xli_inferior_stemi.xml")
    # "Anterior ST elevation, probably due to LVH".
    assert not read("pagewriter_104_utf8.xml")
