"""Features of beats whose true values are known, because the beats are drawn by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from omi_keras.beats.median_beats import median_beat
from omi_keras.measures import features as module
from omi_keras.measures.features import FEATURES, beat_features
from omi_keras.measures.fiducials import delineate
from omi_keras.measures.heart_axes import KORS, wrapped
from omi_keras.measures.lead_groups import GROUPED
from omi_keras.measures.lead_measures import PER_LEAD
from omi_keras.recordings.errors import InputError
from omi_keras.recordings.record import LEADS
from omi_keras.simulate.cohort import SimulatedECG, simulate_cohort

T = np.arange(600.0)
LIMB_ANGLES = {"I": 0.0, "II": 60.0, "III": 120.0, "aVR": -150.0, "aVL": -30.0, "aVF": 90.0}


def line(*knots: tuple[float, float]) -> np.ndarray:
    """Straight lines between (sample, mV), zero outside, (600,)."""
    at, mv = zip(*knots, strict=True)
    return np.interp(T, at, mv, left=0.0, right=0.0)


def bell(peak: float, mv: float, rise_ms: float, fall_ms: float | None = None) -> np.ndarray:
    """Gaussian whose halves may differ in width, (600,)."""
    away = (T - peak) * 2.0
    sd = np.where(away < 0.0, rise_ms, rise_ms if fall_ms is None else fall_ms)
    return mv * np.exp(-0.5 * (away / sd) ** 2)


def frontal(degrees: float, course: np.ndarray) -> np.ndarray:
    """What the limb leads see of a vector in the frontal plane, (6, 600), by Einthoven and Goldberger."""
    seen = np.cos(np.deg2rad(degrees - np.array(list(LIMB_ANGLES.values()))))
    return np.outer(seen * np.repeat([1.0, np.sqrt(3) / 2], 3), course)


def twelve(independent: np.ndarray) -> np.ndarray:
    """I, II, V1..V6 → twelve leads."""
    one, two = independent[:2]
    limbs = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.concatenate([np.stack(limbs), independent[2:]])


# QRS from sample 280 to 320 (80 ms), R at 300; T from 370 to 470.
QRS = line((280, 0), (300, 1.0), (320, 0))
T_WAVE = line((370, 0), (430, 0.3), (470, 0))
P_WAVE = line((200, 0), (215, 0.1), (230, 0))


def measured(beat: np.ndarray) -> dict[str, float]:
    row = beat_features(np.asarray(beat, dtype=np.float32)[None])[0]
    return dict(zip(FEATURES, row.tolist(), strict=True))


def columns(*ends: str) -> np.ndarray:
    return np.array([name.endswith(ends) for name in FEATURES])


@pytest.fixture(name="normal")
def _normal(synthetic: Callable[..., np.ndarray]) -> np.ndarray:
    """(12, 600) float32: a normal beat with P, Q, R, S and T."""
    beat = synthetic([2.0], 4.0)[:, 700:1300]
    return (beat - beat[:, 255:265].mean(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(name="many")
def _many(normal: np.ndarray) -> np.ndarray:
    """300 beats, each another."""
    rng = np.random.default_rng(4)
    gains = rng.uniform(0.4, 2.0, (300, 12, 1)) * rng.choice([-1.0, 1.0], (300, 12, 1), p=[0.2, 0.8])
    ramp = line((320, 0.0), (340, 1.0), (420, 1.0), (480, 0.0)) * rng.normal(0.0, 0.15, (300, 12, 1))
    return (normal * gains + ramp + rng.normal(0.0, 0.004, (300, 12, 600))).astype(np.float32)


@pytest.fixture(name="cohort", scope="module")
def _cohort() -> tuple[list[SimulatedECG], np.ndarray]:
    ecgs = [ecg for ecg in simulate_cohort(240, 200, 0.4, seed=21) if not ecg.truth.fault]
    return ecgs, beat_features(np.stack([median_beat(ecg.record).beat for ecg in ecgs]))


def test_every_column_has_its_own_name() -> None:
    assert isinstance(FEATURES, tuple) and len(set(FEATURES)) == len(FEATURES)
    assert {f"{lead}_{name}" for lead in LEADS for name in PER_LEAD} | set(GROUPED) < set(FEATURES)
    units = ("_mv", "_ms", "_mv_s", "_mv_ms", "_deg", "_ratio", "_ratio_ms", "_symmetry", "_lead", "_leads")
    assert all(name.endswith(units) for name in FEATURES)
    for name in ("V2_st_j60_mv", "aVL_t_area_mv_ms", "qrs_duration_ms", "frontal_qrs_axis_deg"):
        assert name in FEATURES
    assert "inferior_st_elevation_sum_mv" in FEATURES


def test_result_has_a_row_per_beat_and_a_column_per_name(many: np.ndarray) -> None:
    result = beat_features(many)
    assert result.shape == (300, len(FEATURES)) and result.dtype == np.float32
    assert beat_features(many[:0]).shape == (0, len(FEATURES))


def test_values_stand_under_their_names() -> None:
    marks = np.arange(1, 13) * 0.02
    found = measured(np.outer(1.0 + marks, QRS) + np.outer(marks, line((320, 1), (420, 1), (430, 0))))
    for lead, level in zip(LEADS, marks, strict=True):
        assert found[f"{lead}_st_j60_mv"] == pytest.approx(level, abs=1e-6)


@pytest.mark.parametrize("level", [-0.3, -0.05, 0.0, 0.1, 0.4])
def test_level_st_is_exact(level: float) -> None:
    found = measured(np.outer(np.ones(12), QRS + line((320, level), (390, level), (430, 0.3), (470, 0))))
    for name in ("st_j_mv", "st_j40_mv", "st_j60_mv", "st_j80_mv"):
        assert found[f"V3_{name}"] == pytest.approx(level, abs=1e-6)
    assert found["V3_st_slope_mv_s"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("slope", [-1.5, 0.8, 2.0])
def test_sloping_st_is_exact(slope: float) -> None:
    start, end = 0.1, 0.1 + slope * 0.12
    found = measured(np.outer(np.ones(12), line((280, 0), (300, 1), (320, start), (380, end), (430, 0.3), (470, 0))))
    assert found["V3_st_slope_mv_s"] == pytest.approx(slope, rel=1e-4)
    at_j = found["V3_st_j_mv"]
    assert at_j == pytest.approx(start, abs=abs(slope) * 0.014)
    assert found["V3_st_j40_mv"] - at_j == pytest.approx(slope * 0.04, abs=1e-5)
    assert found["V3_st_j80_mv"] - at_j == pytest.approx(slope * 0.08, abs=1e-5)


@pytest.mark.parametrize("half", [16, 20, 35])
def test_intervals(half: int) -> None:
    shape = line((300 - half, 0), (300, 1.0), (300 + half, 0)) + T_WAVE
    found = measured(np.outer(np.ones(12), shape + P_WAVE))
    # Corners, which hearts do not draw, are seen up to 14 ms away.
    assert 0 <= found["qrs_duration_ms"] - 4 * half <= 28
    assert found["qt_interval_ms"] == pytest.approx(2 * (470 - 300 + half) + 26, abs=8)
    assert found["pr_interval_ms"] == pytest.approx(2 * (300 - half - 200), abs=16)
    assert found["t_peak_to_end_ms"] == pytest.approx(80 + 12, abs=10)
    assert found["II_p_mv"] == pytest.approx(0.1, abs=1e-6)


def test_tall_sharp_t_is_no_second_beat() -> None:
    # Hyperacute: T twice as tall as R and nearly as steep.
    found = measured(np.outer(np.ones(12), bell(300, 0.6, 9) + bell(430, 1.2, 32)))
    assert found["V3_t_mv"] == pytest.approx(1.2, rel=0.01)
    assert found["qt_interval_ms"] == pytest.approx(2 * 130 + 2.5 * 32 + 40, abs=16)


@pytest.mark.parametrize("rr", [215, 250, 290])
def test_next_beat_is_not_measured(rr: int) -> None:
    one = bell(300, 1.0, 9) + bell(300 - 65, 0.1, 14) + bell(400, 0.25, 30, 22)
    after = bell(300 + rr, 1.0, 9) + bell(300 + rr - 65, 0.1, 14)
    alone, followed = (measured(np.outer(np.ones(12), beat)) for beat in (one, one + after))
    for name in ("qt_interval_ms", "t_peak_to_end_ms", "V2_t_mv", "V2_t_peak_ms"):
        assert followed[name] == pytest.approx(alone[name], abs=8), name


def test_biphasic_t_ends_with_its_second_half() -> None:
    beat = np.outer(np.ones(12), QRS) + np.outer(np.ones(12), bell(385, 0.3, 25) + bell(450, -0.25, 22))
    found = measured(beat)
    assert found["qt_interval_ms"] == pytest.approx(2 * (450 - 280) + 2.5 * 22 + 14, abs=16)


def test_no_p_wave_no_pr() -> None:
    found = measured(np.outer(np.ones(12), QRS + T_WAVE))
    assert np.isnan(found["pr_interval_ms"]) and np.isnan(found["V1_p_mv"])
    assert np.isfinite(found["V1_t_mv"])


# Q, R, S, R′ as (mV, ms); the knots between samples 280 and 320.
SHAPES = {
    "qrs": ([(280, 0), (285, -0.2), (290, 0), (300, 1.0), (310, 0), (315, -0.5), (320, 0)], (-0.2, 1.0, -0.5, 0.0)),
    "rsr": ([(280, 0), (287, 0.3), (293, 0), (300, -0.8), (306, 0), (313, 0.6), (320, 0)], (0.0, 0.3, -0.8, 0.6)),
    "qs": ([(280, 0), (300, -1.2), (320, 0)], (-1.2, 0.0, 0.0, 0.0)),
    "r": ([(280, 0), (300, 1.2), (320, 0)], (0.0, 1.2, 0.0, 0.0)),
    "qr": ([(280, 0), (290, -0.6), (300, 0), (310, 0.7), (320, 0)], (-0.6, 0.7, 0.0, 0.0)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_waves_of_the_qrs_complex(name: str) -> None:
    knots, (q, r, s, r_prime) = SHAPES[name]
    beat = np.outer(np.ones(12), QRS + T_WAVE)
    beat[LEADS.index("V2")] = line(*knots) + T_WAVE
    found = measured(beat)
    got = [found[f"V2_{wave}_mv"] for wave in ("q", "r", "s", "r_prime")]
    assert got == pytest.approx([q, r, s, r_prime], abs=1e-6)
    at, mv = np.array(knots).T
    zeros = at[mv == 0.0]
    signs = [np.sign(mv[(at > a) & (at < b)][0]) for a, b in pairwise(zeros)]
    names = ["r", "s", "r_prime"] if signs[0] > 0 else ["q", "r", "s"]
    for wave, width in zip(names, np.diff(zeros) * 2.0, strict=False):
        if wave != "r_prime":
            assert found[f"V2_{wave}_ms"] == pytest.approx(width, abs=5), wave
    for wave in {"q", "r", "s"} - set(names[: len(signs)]):
        assert found[f"V2_{wave}_ms"] == 0.0
    if s != 0.0:
        assert found["V2_r_s_ratio"] == pytest.approx(r / -s, rel=1e-5)
    elif q != 0.0 and r == 0.0:
        assert found["V2_r_s_ratio"] == 0.0 and np.isnan(found["V2_t_r_ratio"])
    else:
        assert np.isnan(found["V2_r_s_ratio"])


def test_raised_st_is_no_r_prime() -> None:
    beat = np.outer(np.ones(12), QRS + T_WAVE)
    raised = (320, 0.4), (400, 0.4), (470, 0)
    beat[7] = line((280, 0), (288, 0.3), (293, 0), (302, -0.9), (312, 0), *raised)
    beat[8] = line((280, 0), (300, -0.9), (312, 0), *raised)
    found = measured(beat)
    assert found["V2_r_prime_mv"] == 0.0
    assert found["V2_r_mv"] == pytest.approx(0.3, abs=1e-6)
    assert found["V3_r_mv"] == 0.0 and found["V3_q_mv"] == pytest.approx(-0.9, abs=1e-6)
    assert found["V3_st_j_mv"] == pytest.approx(0.4, abs=1e-6)


def test_noise_is_no_wave(normal: np.ndarray) -> None:
    beat = np.outer(np.ones(12), QRS + T_WAVE) + np.random.default_rng(1).normal(0.0, 0.004, (12, 600))
    found = measured(beat)
    for lead in LEADS:
        assert found[f"{lead}_q_mv"] == found[f"{lead}_s_mv"] == found[f"{lead}_r_prime_mv"] == 0.0


@pytest.mark.parametrize(("rise", "fall"), [(60.0, 40.0), (50.0, 50.0), (35.0, 55.0)])
@pytest.mark.parametrize("height", [0.5, -0.4])
def test_shape_of_t(rise: float, fall: float, height: float) -> None:
    found = measured(np.outer(np.ones(12), QRS + bell(430, height, rise, fall)))
    assert found["V4_t_mv"] == pytest.approx(height, rel=0.01)
    # Full width at half maximum.
    assert found["V4_t_width_ms"] == pytest.approx(np.sqrt(2 * np.log(2)) * (rise + fall), rel=0.03)
    assert found["V4_t_symmetry"] == pytest.approx(rise / fall, rel=0.1)
    # J is at 320 or, at a corner, up to 14 ms later.
    assert 204 <= found["V4_t_peak_ms"] <= 222
    area = height * np.sqrt(np.pi / 2) * (rise + fall)
    assert found["V4_t_area_mv_ms"] + found["V4_st_area_mv_ms"] == pytest.approx(area, rel=0.06)
    assert found["V4_t_r_ratio"] == pytest.approx(height, rel=0.01)
    assert found["V4_t_qrs_ratio"] == pytest.approx(abs(height), rel=0.01)
    assert found["V4_t_area_qrs_ratio_ms"] == pytest.approx(abs(found["V4_t_area_mv_ms"]), rel=0.01)
    # Two standard deviations from its peak the tangent to a Gaussian meets the baseline; at 2.5 to 2.8 it rests.
    assert 2.4 * fall <= found["t_peak_to_end_ms"] <= 2.9 * fall


def test_areas() -> None:
    found = measured(np.outer(np.ones(12), QRS + T_WAVE))
    assert found["V1_qrs_area_mv_ms"] == pytest.approx(40.0, rel=0.01)
    assert found["V1_t_area_mv_ms"] == pytest.approx(30.0, rel=0.02)
    assert found["V1_st_area_mv_ms"] == pytest.approx(0.0, abs=0.5)


@pytest.mark.parametrize("factor", [0.25, 2.0, 3.0])
def test_scale(many: np.ndarray, factor: float) -> None:
    one, more = beat_features(many), beat_features(many * np.float32(factor))
    in_mv = columns("_mv", "_mv_s", "_mv_ms")
    counts = columns("_elevation_leads", "_depression_leads")
    np.testing.assert_allclose(more[:, in_mv], one[:, in_mv] * factor, rtol=2e-4, atol=1e-5)
    same = ~in_mv & ~counts
    np.testing.assert_allclose(more[:, same], one[:, same], rtol=2e-3, atol=2e-3)


def test_sign_flip(many: np.ndarray) -> None:
    up, down = beat_features(many), beat_features(-many)
    flipped = columns(*(f"_{name}" for name in ("st_j_mv", "st_j60_mv", "slope_mv_s", "area_mv_ms", "t_mv", "p_mv")))
    flipped |= columns("st_difference_mv", "t_difference_mv")
    np.testing.assert_allclose(down[:, flipped], -up[:, flipped], rtol=1e-5, atol=1e-6)
    kept = columns("duration_ms", "interval_ms", "t_width_ms", "symmetry", "pca_second_to_first_ratio", "angle_deg")
    np.testing.assert_allclose(down[:, kept], up[:, kept], rtol=1e-4, atol=1e-3)
    elevation, depression = (
        columns("elevation_sum_mv", "max_st_elevation_mv"),
        columns("depression_sum_mv", "max_st_depression_mv"),
    )
    np.testing.assert_allclose(down[:, elevation], up[:, depression], rtol=1e-5, atol=1e-6)
    axis = FEATURES.index("frontal_qrs_axis_deg")
    turn = wrapped(down[:, axis] - up[:, axis] - 180.0)
    np.testing.assert_allclose(turn, 0.0, atol=1e-3)


@pytest.mark.parametrize("qrs", [0.0, 60.0, 90.0, -30.0, -90.0, 150.0, 180.0, -179.0])
@pytest.mark.parametrize("t", [45.0, -120.0, 180.0])
def test_frontal_axes(qrs: float, t: float) -> None:
    # P at 45 degrees: no limb lead is flat.
    limbs = frontal(qrs, QRS) + frontal(t, T_WAVE) + frontal(45.0, P_WAVE)
    found = measured(np.concatenate([limbs, np.outer(np.ones(6), QRS + T_WAVE)]))
    assert abs(wrapped(np.array(found["frontal_qrs_axis_deg"] - qrs))) < 0.5
    assert abs(wrapped(np.array(found["frontal_t_axis_deg"] - t))) < 0.5
    between = abs((qrs - t + 180.0) % 360.0 - 180.0)
    assert found["frontal_qrs_t_angle_deg"] == pytest.approx(between, abs=1.0)


def test_angles_are_wrapped() -> None:
    angles = wrapped(np.array([-540.0, -180.0, np.nextafter(-180.0, 0.0), 180.0, 181.0, 0.0, 359.0, np.nan]))
    np.testing.assert_array_equal(angles, np.array([180, 180, 180, 180, -179, 0, -1, np.nan], np.float32))


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, 135.0, 180.0])
def test_spatial_angle(degrees: float) -> None:
    a, b = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 2)))[0].T
    turned = np.cos(np.deg2rad(degrees)) * a + np.sin(np.deg2rad(degrees)) * b
    to_leads = np.linalg.pinv(KORS)
    found = measured(twelve(np.outer(to_leads @ a, QRS) + np.outer(to_leads @ turned, T_WAVE)))
    assert found["spatial_qrs_t_angle_deg"] == pytest.approx(degrees, abs=1.0)


def test_principal_components() -> None:
    a, b, c = np.linalg.qr(np.random.default_rng(3).normal(size=(8, 3)))[0].T
    # Courses that do not overlap, so that their energies are the eigenvalues.
    first, second, third = (line((k, 0), (k + 6, 1), (k + 12, 0)) for k in (282, 294, 306))
    qrs = np.outer(a, first) + 0.5 * np.outer(b, second) + 0.25 * np.outer(c, third)
    found = measured(twelve(qrs + np.outer(a, T_WAVE)))
    assert found["qrs_pca_second_to_first_ratio"] == pytest.approx(0.25, rel=0.01)
    assert found["qrs_pca_rest_to_total_ratio"] == pytest.approx(0.0625 / 1.3125, rel=0.01)
    assert found["t_pca_second_to_first_ratio"] == pytest.approx(0.0, abs=1e-6)
    assert found["t_pca_rest_to_total_ratio"] == pytest.approx(0.0, abs=1e-6)


def with_st(levels: dict[str, float]) -> dict[str, float]:
    st = np.array([levels.get(lead, 0.0) for lead in LEADS])
    shape = line((320, 1), (400, 1), (470, 0))
    return measured(np.outer(np.ones(12), QRS + T_WAVE) + np.outer(st, shape))


def test_inferior_infarct_with_reciprocal_depression() -> None:
    levels = {"II": 0.2, "III": 0.3, "aVF": 0.25, "aVL": -0.15, "I": -0.05, "V1": -0.02, "V2": -0.1, "V6": 0.08}
    found = with_st(levels)
    expected = {
        "inferior_st_elevation_sum_mv": 0.75,
        "inferior_st_depression_sum_mv": 0.0,
        "lateral_st_elevation_sum_mv": 0.08,
        "lateral_st_depression_sum_mv": 0.2,
        "high_lateral_st_depression_sum_mv": 0.2,
        "anterior_st_depression_sum_mv": 0.12,
        "septal_st_depression_sum_mv": 0.12,
        "max_st_elevation_mv": 0.3,
        "max_st_depression_mv": 0.15,
        "aVL_III_st_difference_mv": -0.45,
        "I_III_st_difference_mv": -0.35,
        "aVL_aVF_st_difference_mv": -0.4,
        "V2_V6_st_difference_mv": -0.18,
        "inferior_V1_V3_st_difference_mv": 0.25 + 0.04,
        "aVR_others_st_difference_mv": -sum(levels.values()) / 11,
        "st_elevation_leads": 3,
        "contiguous_st_elevation_leads": 3,
        "st_depression_leads": 3,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("leads", "run"),
    [((), 0), (("V2",), 1), (("V1", "V3", "V5"), 1), (("V2", "V3", "V4", "III"), 3), (("I", "aVL", "aVR"), 2)],
)
def test_contiguous_elevation(leads: Sequence[str], run: int) -> None:
    found = with_st(dict.fromkeys(leads, 0.11))
    assert found["st_elevation_leads"] == len(leads)
    assert found["contiguous_st_elevation_leads"] == run


def test_r_wave_progression() -> None:
    beat = np.outer(np.ones(12), QRS + T_WAVE)
    for k, (r, s) in enumerate([(0.1, 1.0), (0.3, 0.9), (0.5, 0.6), (0.7, 0.2), (0.9, 0.1), (0.8, 0.1)]):
        beat[6 + k] = line((280, 0), (290, r), (300, 0), (310, -s), (320, 0)) + T_WAVE * (1 + k)
    found = measured(beat)
    assert found["V1_V4_r_progression_mv"] == pytest.approx(0.2, rel=1e-5)
    assert found["r_transition_lead"] == 4
    assert found["V1_V6_t_difference_mv"] == pytest.approx(-1.5, rel=0.02)
    beat[6:] = line((280, 0), (300, -1), (320, 0)) + T_WAVE
    assert measured(beat)["r_transition_lead"] == 7


def test_each_row_depends_on_its_beat_alone(many: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = beat_features(many)
    order = np.random.default_rng(0).permutation(len(many))
    np.testing.assert_array_equal(beat_features(many[order]), whole[order])
    np.testing.assert_array_equal(beat_features(many[17:18]), whole[17:18])
    np.testing.assert_array_equal(beat_features(many[::2]), whole[::2])
    monkeypatch.setattr(module, "CHUNK", 7)
    np.testing.assert_array_equal(beat_features(many), whole)


def test_bad_neighbours_change_nothing(many: np.ndarray) -> None:
    whole = beat_features(many[:3])
    bad = many[:3].copy()
    bad[1, 4, 10] = np.nan
    result = beat_features(bad)
    assert np.isnan(result[1]).all()
    np.testing.assert_array_equal(result[[0, 2]], whole[[0, 2]])


def test_input_is_not_changed_and_may_be_memory_mapped(many: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "beats.npy", many)
    before = many.copy()
    many.flags.writeable = False
    whole = beat_features(many)
    np.testing.assert_array_equal(many, before)
    mapped = np.load(tmp_path / "beats.npy", mmap_mode="r")
    np.testing.assert_array_equal(beat_features(mapped), whole)
    np.testing.assert_array_equal(beat_features(many.astype(np.float64)), whole)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_beat_that_is_not_finite(normal: np.ndarray, value: float) -> None:
    beat = normal.astype(np.float64)
    beat[3, 599] = value
    assert np.isnan(beat_features(beat[None])).all()


def test_no_signal_no_features() -> None:
    assert np.isnan(beat_features(np.zeros((2, 12, 600), np.float32))).all()
    assert np.isnan(beat_features(np.full((2, 12, 600), 3.0, np.float32))).all()


@pytest.mark.parametrize("lead", LEADS)
def test_flat_lead(normal: np.ndarray, lead: str) -> None:
    beat = normal.copy()
    beat[LEADS.index(lead)] = 0.0
    found = measured(beat)
    assert all(np.isnan(found[f"{lead}_{name}"]) for name in PER_LEAD)
    assert all(np.isfinite(found[f"{other}_st_j_mv"]) for other in LEADS if other != lead)
    assert np.isnan(found["inferior_st_elevation_sum_mv"]) == (lead in ("II", "III", "aVF"))
    assert np.isnan(found["frontal_qrs_axis_deg"]) == (lead in ("I", "aVF"))
    assert np.isnan(found["spatial_qrs_t_angle_deg"]) == (lead in ("I", "II") or lead[0] == "V")
    assert np.isfinite(found["qrs_duration_ms"]) and np.isfinite(found["max_st_elevation_mv"])


@pytest.mark.parametrize("shape", [(12, 600), (2, 12, 599), (2, 11, 600), (1, 2, 12, 600), (0,)])
def test_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected shape \(n, 12, 600\), received") as error:
        beat_features(np.zeros(shape, np.float32))
    assert error.value.reason == "wrong_shape"


@pytest.mark.parametrize("seed", range(3))
def test_noise_alone_raises_no_warning(seed: int) -> None:
    beats = np.random.default_rng(seed).normal(0.0, 10.0 ** np.arange(-6, 6)[:, None, None], (12, 12, 600))
    beats[:, 5, 100:] = 0.0
    assert beat_features(beats.astype(np.float32)).shape == (12, len(FEATURES))


def test_simulated_intervals_are_those_of_people(cohort: tuple[list[SimulatedECG], np.ndarray]) -> None:
    ecgs, found = cohort
    rates = np.array([ecg.truth.heart_rate for ecg in ecgs])
    qrs, qt = (found[:, FEATURES.index(name)] for name in ("qrs_duration_ms", "qt_interval_ms"))
    corrected = qt * np.cbrt(rates / 60.0)
    assert np.mean((qrs > 70) & (qrs < 225)) == 1.0 and 85 < np.median(qrs) < 105
    # A broad QRS and a low potassium lengthen QT.
    others = corrected[[ecg.truth.mimic not in ("LBBB", "RBBB", "paced", "low potassium") for ecg in ecgs]]
    assert np.mean((others > 350) & (others < 500)) > 0.92 and 395 < np.median(others) < 440
    sinus = np.array(["sinus" in ecg.truth.rhythm for ecg in ecgs])
    pr = found[sinus, FEATURES.index("pr_interval_ms")]
    assert np.isfinite(pr).mean() > 0.85 and 110 < np.nanmedian(pr) < 200


def test_simulated_j_point_and_st_are_the_truth(cohort: tuple[list[SimulatedECG], np.ndarray]) -> None:
    ecgs, found = cohort
    st = found[:, [FEATURES.index(f"{lead}_st_j60_mv") for lead in LEADS]]
    error = np.abs(st - np.stack([ecg.truth.st_level_mv for ecg in ecgs]))
    assert np.median(error) < 0.012 and np.quantile(error, 0.95) < 0.05


def test_simulated_j_points_are_found(cohort: tuple[list[SimulatedECG], np.ndarray]) -> None:
    ecgs, _ = cohort
    j = delineate(np.stack([ecg.truth.true_beat for ecg in ecgs])).j
    error = np.abs((j - 300) * 2.0 - np.array([ecg.truth.j_ms for ecg in ecgs]))
    assert np.median(error) < 5 and error.max() < 24


def test_inferior_occlusions_raise_inferior_st(cohort: tuple[list[SimulatedECG], np.ndarray]) -> None:
    ecgs, found = cohort
    right = np.array([ecg.truth.artery == "RCA" for ecg in ecgs])
    healthy = np.array([not ecg.truth.artery and not ecg.truth.mimic for ecg in ecgs])
    assert right.sum() > 10 and healthy.sum() > 40
    raised = found[:, FEATURES.index("inferior_st_elevation_sum_mv")]
    against = found[:, FEATURES.index("aVL_III_st_difference_mv")]
    assert np.median(raised[right]) > np.quantile(raised[healthy], 0.75)
    assert np.median(against[right]) < np.quantile(against[healthy], 0.25)
