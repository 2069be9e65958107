"""The dipole, its waves, and its projection to twelve leads."""

from __future__ import annotations

import numpy as np
import pytest

from omi_keras.recordings.record import LEADS
from omi_keras.simulate.anatomy import draw_anatomy, normal_beat, to_body
from omi_keras.simulate.heart_vector import (
    BEAT_TIMES,
    DOWER,
    R_IN_BEAT,
    gaussian,
    heart_vector,
    plateau,
    project,
    rotation,
    stretched,
)


def lead(leads: np.ndarray, name: str) -> np.ndarray:
    return leads[..., LEADS.index(name), :]


def test_einthoven_and_goldberger_hold_for_any_vector() -> None:
    leads = project(np.random.default_rng(0).normal(size=(4, 3, 50)))
    one, two = lead(leads, "I"), lead(leads, "II")
    np.testing.assert_allclose(lead(leads, "III"), two - one, atol=1e-12)
    np.testing.assert_allclose(lead(leads, "aVR"), -(one + two) / 2, atol=1e-12)
    np.testing.assert_allclose(lead(leads, "aVL"), one - two / 2, atol=1e-12)
    np.testing.assert_allclose(lead(leads, "aVF"), two - one / 2, atol=1e-12)


@pytest.mark.parametrize(
    ("vector", "up", "down"),
    [
        ((1, 0, 0), ("I", "aVL", "V5", "V6"), ("aVR", "V1")),
        ((0, 1, 0), ("II", "III", "aVF"), ("aVR", "aVL")),
        # The front is negative Z: the right-hand chest leads look at it.
        ((0, 0, -1), ("V1", "V2", "V3", "V4"), ("V6",)),
    ],
)
def test_leads_see_a_dipole_from_their_own_side(
    vector: tuple[float, float, float], up: tuple[str, ...], down: tuple[str, ...]
) -> None:
    leads = project(np.array(vector, dtype=float)[:, None])
    assert all(lead(leads, name)[0] > 0.1 for name in up)
    assert all(lead(leads, name)[0] < -0.1 for name in down)


def test_the_transform_is_the_published_one() -> None:
    assert DOWER.shape == (8, 3)
    np.testing.assert_array_equal(DOWER[0], [0.632, -0.235, 0.059])  # I
    np.testing.assert_array_equal(DOWER[3], [0.044, 0.164, -1.387])  # V2


def test_a_wave_rises_stays_and_falls() -> None:
    wave = plateau("STT", (1.0, 0.0, 0.0), 0.0, 100.0, 10.0, 20.0)
    x = heart_vector([wave], np.array([-10.0, 0.0, 50.0, 100.0, 120.0], dtype=np.float32))[0]
    np.testing.assert_allclose(x, [np.exp(-0.5), 1.0, 1.0, 1.0, np.exp(-0.5)], rtol=1e-6)


def test_no_waves_are_silence() -> None:
    assert not heart_vector([], BEAT_TIMES).any()


def test_only_what_follows_the_j_point_stretches() -> None:
    times = np.array([-100.0, 50.0, 250.0], dtype=np.float32)
    np.testing.assert_allclose(
        stretched(times, 50.0, np.array([1.0, 2.0])), [[-100, 50, 250], [-100, 50, 150]], rtol=1e-6
    )


def test_a_rotation_about_the_back_axis_turns_left_to_down() -> None:
    turn = rotation(0, 0, 90)
    np.testing.assert_allclose(turn @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


def test_scaling_and_moving_leave_the_wave_they_came_from() -> None:
    wave = gaussian("QRS", (1.0, 2.0, 3.0), 5.0, 8.0)
    assert wave.scaled(2.0).dipole == (2.0, 4.0, 6.0)
    assert wave.moved(3.0).start == 8.0
    assert (wave.dipole, wave.start) == ((1.0, 2.0, 3.0), 5.0)


@pytest.fixture(scope="module")
def normal() -> np.ndarray:
    """(200, 12, n) mV: beats of 200 healthy people."""
    beats = []
    for i in range(200):
        rng = np.random.default_rng(i)
        anatomy = draw_anatomy(rng, rng.uniform(25, 85), "female" if i % 2 else "male")
        vector = heart_vector(normal_beat(anatomy).waves, BEAT_TIMES)
        beats.append(project(to_body(anatomy, vector), anatomy.lead_field))
    return np.array(beats)


def test_normal_hearts_have_normal_amplitudes(normal: np.ndarray) -> None:
    qrs = normal[:, :, R_IN_BEAT - 30 : R_IN_BEAT + 30]
    r, s = np.median(qrs.max(axis=2), axis=0), np.median(qrs.min(axis=2), axis=0)
    limits = {"II": (0.5, 1.5), "V1": (0.05, 0.5), "V4": (0.7, 2.0), "V5": (0.8, 2.0), "V6": (0.5, 1.6)}
    for name, (low, high) in limits.items():
        assert low < r[LEADS.index(name)] < high, name
    chest = r[6:11]
    assert (np.diff(chest) > 0).all(), "R grows from V1 to V5"
    assert s[LEADS.index("V1")] < -0.5 and s[LEADS.index("V2")] < -0.8
    assert s[LEADS.index("aVR")] < -0.4


def test_normal_t_waves_are_upright_where_they_should_be(normal: np.ndarray) -> None:
    t_peak = normal[:, :, R_IN_BEAT + 145]
    for name in ("I", "II", "V4", "V5", "V6"):
        assert np.mean(t_peak[:, LEADS.index(name)] > 0) > 0.85, name
    assert np.mean(t_peak[:, LEADS.index("aVR")] < 0) > 0.95
