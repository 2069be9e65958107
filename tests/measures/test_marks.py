"""Marks on beats drawn for each way to go wrong: where QRS and T end is known, because the waves are Gaussians."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from omi_keras.beats.median_beats import median_beat
from omi_keras.measures.features import FEATURES, beat_features
from omi_keras.measures.fiducials import Fiducials, delineate
from omi_keras.recordings.record import LEADS, Record

MS = (np.arange(600) - 300) * 2.0
# Of I, II and V1 to V6.
R_AXIS = np.array([0.7, 0.8, -0.2, 0.2, 0.7, 1.2, 1.3, 1.0])
LATE_AXIS = np.array([-0.5, -0.2, 1.0, 0.8, 0.3, -0.1, -0.4, -0.5])
T_AXIS = np.array([0.6, 0.8, -0.6, -0.3, 0.3, 0.9, 1.0, 0.8])


def twelve(eight: np.ndarray) -> np.ndarray:
    """I, II, V1..V6 → twelve leads."""
    one, two = eight[:2]
    return np.concatenate([np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]), eight[2:]])


def bell(centre: float, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((MS - centre) / width) ** 2)


def step(at: float, slow: float) -> np.ndarray:
    """From 0 to 1 around ``at`` ms."""
    return 1.0 / (1.0 + np.exp(-(MS - at) / slow))


def drawn(*waves: tuple[np.ndarray, np.ndarray], noise_mv: float = 0.002) -> np.ndarray:
    """(12, 600): axes times courses, and a little noise."""
    beat = twelve(sum((np.outer(axis, course) for axis, course in waves), np.zeros((8, 600))))
    return beat + np.random.default_rng(0).normal(0.0, noise_mv, beat.shape)


def marks(beat: np.ndarray) -> Fiducials:
    return delineate(beat[None])


R = (R_AXIS, bell(0, 10) - 0.12 * bell(-26, 8))
P = (T_AXIS, 0.1 * bell(-150, 18))


def after_r(sample: np.ndarray) -> float:
    return float((sample[0] - 300) * 2)


@pytest.mark.parametrize("st_mv", [-0.1, 0.0, 0.1])
@pytest.mark.parametrize(("centre", "width"), [(50, 14), (60, 18), (60, 24), (75, 18)])
@pytest.mark.parametrize("size", [0.35, 0.8])
def test_r_prime_of_a_right_bundle_branch_block_is_qrs(centre: float, width: float, size: float, st_mv: float) -> None:
    st = (LATE_AXIS, st_mv * (step(centre + 2 * width, 4) - step(260, 25)))
    beat = drawn(R, (LATE_AXIS, size * bell(centre, width)), st, (T_AXIS, 0.25 * bell(300, 42)))
    assert after_r(marks(beat).j) == pytest.approx(centre + 2.5 * width, abs=20)
    level = beat_features(beat[None])[0, FEATURES.index("V1_st_j_mv")]
    # R′ would be read as an elevation of its height.
    assert level == pytest.approx(st_mv, abs=max(0.1, 0.2 * size))


@pytest.mark.parametrize("noise_mv", [0.0, 0.005, 0.01])
def test_a_hyperacute_st_segment_is_no_qrs(noise_mv: float) -> None:
    # ST climbs straight from J into a T wave as tall as R.
    beat = drawn(R, (np.abs(T_AXIS), 0.9 * bell(260, 75) * step(35, 5)), noise_mv=noise_mv)
    assert 24 <= after_r(marks(beat).j) <= 62


@pytest.mark.parametrize("rest_mv", [-0.15, 0.0, 0.15, 0.3])
def test_t_ends_at_rest_whatever_the_level(rest_mv: float) -> None:
    # After J the leads stay at a level of their own, until long after T.
    beat = drawn(R, (LATE_AXIS, rest_mv * step(45, 6)), (T_AXIS, 0.3 * bell(290, 40)))
    found = marks(beat)
    assert after_r(found.t_end) == pytest.approx(290 + 2.6 * 40, abs=20)
    assert after_r(found.t_peak) == pytest.approx(290, abs=14)


def test_the_level_slides_from_pr_to_the_quiet_after_t() -> None:
    # A slope that falls all the way is no T wave, and does not move the peak of the one upon it.
    slope = np.clip((MS - 40) / 360, 0.0, 1.0)
    beat = drawn(R, (LATE_AXIS, -0.4 * slope), (T_AXIS, 0.25 * bell(280, 35)))
    assert after_r(marks(beat).t_peak) == pytest.approx(280, abs=16)


@pytest.mark.parametrize("shift", [460, 480, 510])
def test_a_qrs_complex_blurred_by_fibrillation_is_no_t_wave(shift: float) -> None:
    # The median over beats at uneven distances: lower and wider than QRS, higher than T.
    blurred = (R_AXIS, 0.45 * bell(shift, 13) + 0.2 * bell(shift + 40, 12))
    beat = drawn(R, (T_AXIS, 0.25 * bell(250, 36)), blurred)
    found = marks(beat)
    assert after_r(found.t_peak) == pytest.approx(250, abs=12)
    assert after_r(found.t_end) == pytest.approx(250 + 2.5 * 36, abs=30)


def test_onset_and_p_are_where_cardiologists_see_them_begin() -> None:
    found = marks(drawn(R, P, (T_AXIS, 0.25 * bell(290, 40))))
    # Two and a half to three widths before the first wave.
    assert after_r(found.qrs_onset) == pytest.approx(-26 - 2.75 * 8, abs=10)
    assert after_r(found.j) == pytest.approx(2.8 * 10, abs=10)
    assert found.p_found[0] and after_r(found.p_onset) == pytest.approx(-150 - 2.6 * 18, abs=12)


def test_scale_changes_no_mark() -> None:
    beat = drawn(R, P, (LATE_AXIS, 0.3 * bell(60, 18)), (T_AXIS, 0.25 * bell(290, 40)))
    one = delineate(np.stack([beat, 0.25 * beat, 4.0 * beat, -beat]))
    for name in ("qrs_onset", "j", "t_end", "t_peak", "p_onset"):
        assert len(set(getattr(one, name).tolist())) == 1, name


@pytest.mark.parametrize("away", [1.0, -1.0])
def test_broad_complexes_do_not_accuse_the_electrodes(away: float, record: Callable[..., Record]) -> None:
    # Down in I and up in V6, as from the apex of the left ventricle; narrow, it can only be exchanged cables.
    eight = np.array([-1.0, -0.6, 0.8, 0.6, 0.4, 0.6, 0.8, 1.0])

    def strip(width: float) -> Record:
        t = np.arange(5000) / 500.0
        course = sum(np.exp(-0.5 * ((t - r) * 1000 / width) ** 2) for r in np.arange(0.5, 9.8, 0.9))
        x = twelve(np.outer(eight, course)) + np.random.default_rng(1).normal(0.0, 0.005, (12, 5000))
        return record(x)

    assert "lead_reversal" in median_beat(strip(11.0)).flags
    assert "lead_reversal" not in median_beat(strip(34.0)).flags
    assert set(LEADS) >= {"I", "V6"}
