"""Injury vectors, their reciprocals, and conditions that look like them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omi_keras.recordings.record import LEADS
from omi_keras.simulate.anatomy import draw_anatomy, normal_beat
from omi_keras.simulate.heart_vector import Beat, heart_vector, project
from omi_keras.simulate.mimics import CONDITIONS, direction_of_qrs, draw_mimic, with_mimic
from omi_keras.simulate.occlusion import (
    ARTERIES,
    ARTERY_SHARES,
    TERRITORIES,
    Occlusion,
    at_time,
    draw_occlusion,
    occluded,
    scattered,
)

EXPECTED = {
    "proximal LAD": (("V1", "V2", "V3", "V4", "aVL"), ("III", "aVF")),
    "mid LAD": (("V2", "V3", "V4", "V5"), ("aVR",)),
    "diagonal": (("I", "aVL", "V3", "V4"), ("III", "aVF")),
    "RCA": (("II", "III", "aVF"), ("I", "aVL")),
    "LCx": (("I", "V5", "V6"), ("V1", "V2", "aVR")),
    "posterior": (("V6",), ("V1", "V2", "V3", "V4")),
}


def plain_beat() -> Beat:
    return normal_beat(draw_anatomy(np.random.default_rng(3), 60, "male"))


def change_at(before: Beat, after: Beat, ms_after_j: float) -> np.ndarray:
    """(3,) mV: what the heart vector changed by, some time after the J point."""
    t = np.array([before.j_point + ms_after_j], dtype=np.float32)
    return (heart_vector(after.waves, t) - heart_vector(before.waves, t))[:, 0]


def middling(artery: str) -> Occlusion:
    return Occlusion(artery, TERRITORIES[artery], st_mv=0.2, t_mv=0.1, q_mv=0.1, doming=0.5, minutes=60.0)


def test_shares_cover_every_artery_once() -> None:
    assert set(EXPECTED) == set(ARTERIES)
    assert len(ARTERY_SHARES) == len(ARTERIES)
    assert sum(ARTERY_SHARES) == pytest.approx(1.0)


@pytest.mark.parametrize("artery", ARTERIES)
def test_elevation_faces_the_wall_and_depression_faces_away(artery: str) -> None:
    beat = plain_beat()
    leads = project(change_at(beat, occluded(beat, middling(artery)), 60.0)[:, None])[:, 0]
    st = dict(zip(LEADS, leads, strict=True))
    up, down = EXPECTED[artery]
    assert all(st[name] > 0.02 for name in up), st
    assert all(st[name] < -0.02 for name in down), st


def test_a_right_coronary_occlusion_raises_iii_over_ii() -> None:
    st = dict(zip(LEADS, project(TERRITORIES["RCA"][:, None])[:, 0], strict=True))
    assert st["III"] > st["II"] > 0 > st["aVL"]


@pytest.mark.parametrize("artery", ARTERIES)
def test_injury_points_within_20_degrees_of_its_territory(artery: str) -> None:
    beat = plain_beat()
    for i in range(40):
        rng = np.random.default_rng(i)
        occlusion = at_time(draw_occlusion(rng, artery), 60.0, rng)
        change = change_at(beat, occluded(beat, occlusion), 40.0)
        cosine = change @ TERRITORIES[artery] / np.linalg.norm(change)
        assert np.rad2deg(np.arccos(min(cosine, 1.0))) < 20.0


def test_sizes_reach_from_subtle_to_massive() -> None:
    sizes = np.array([draw_occlusion(np.random.default_rng(i), "mid LAD").st_mv for i in range(500)])
    # V3 sees a mid LAD injury 1.5 times as large as the vector; 0.2 mV there is the criterion.
    assert np.mean(1.5 * sizes < 0.2) > 0.6
    assert sizes.max() > 0.4


def test_hyperacute_t_is_larger_early_and_turns_over_late() -> None:
    first = draw_occlusion(np.random.default_rng(0), "RCA")
    t = [at_time(first, m, np.random.default_rng(0)).t_mv for m in (10.0, 300.0, 2000.0)]
    assert t[0] > t[1] > 0 > t[2]


def test_q_waves_come_with_time() -> None:
    first = draw_occlusion(np.random.default_rng(0), "RCA")
    q = [at_time(first, m, np.random.default_rng(0)).q_mv for m in (0.0, 60.0, 1000.0)]
    assert q[0] == 0 < q[1] < q[2]


def test_an_occlusion_leaves_the_beat_it_was_given() -> None:
    beat = plain_beat()
    waves = beat.waves
    assert len(occluded(beat, middling("RCA")).waves) > len(waves)
    assert beat.waves is waves


def test_scatter_is_a_unit_vector_within_its_limit() -> None:
    for i in range(100):
        v = scattered(np.array([0.0, 0.0, 2.0]), np.random.default_rng(i), 20.0, 25.0)
        assert np.linalg.norm(v) == pytest.approx(1.0)
        assert v[2] >= np.cos(np.deg2rad(25.001))


def st_change(name: str, i: int) -> dict[str, float]:
    """mV in each lead 60 ms after the J point, beyond what the healthy heart shows there."""
    beat = plain_beat()
    after = with_mimic(beat, name, 1.0, np.random.default_rng(i))
    levels = [
        project(heart_vector(b.part("STT"), np.array([b.j_point + 60.0], dtype=np.float32)))[:, 0]
        for b in (beat, after)
    ]
    return dict(zip(LEADS, levels[1] - levels[0], strict=True))


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_changes_the_beat(name: str) -> None:
    beat = plain_beat()
    after = with_mimic(beat, name, 1.0, np.random.default_rng(0))
    assert after.waves != beat.waves
    assert 30.0 < after.j_point - after.onset < 200.0


def test_conditions_shift_st_as_the_textbook_says() -> None:
    for i in range(10):
        lbbb, lvh = st_change("LBBB", i), st_change("LVH with strain", i)
        assert lbbb["V1"] > 0.05 > 0 > lbbb["V6"]
        assert lvh["V1"] > 0 > lvh["V6"]
        pericarditis, ischaemia = st_change("pericarditis", i), st_change("diffuse ischaemia", i)
        assert min(pericarditis["II"], pericarditis["V5"]) > 0.05 > 0 > pericarditis["aVR"]
        assert max(ischaemia["II"], ischaemia["V5"]) < -0.02 < 0 < ischaemia["aVR"]


def test_bundle_branch_blocks_are_broad() -> None:
    beat = plain_beat()
    for name in ("LBBB", "RBBB"):
        after = with_mimic(beat, name, 1.0, np.random.default_rng(0))
        assert after.j_point - after.onset >= 120.0


def test_an_occlusion_excludes_what_it_cannot_be() -> None:
    drawn = {draw_mimic(np.random.default_rng(i), 50, "male", True) for i in range(800)}
    assert not drawn & {"pericarditis", "diffuse ischaemia"}
    assert "old infarct" in drawn and "" in drawn


def test_early_repolarisation_belongs_to_the_young() -> None:
    def share(age: float) -> float:
        drawn = [draw_mimic(np.random.default_rng(i), age, "male", False) for i in range(600)]
        return float(np.mean([m == "early repolarisation" for m in drawn]))

    assert share(30) > 3 * share(75)


def test_a_large_injury_swallows_the_last_forces_of_qrs() -> None:
    beat, wall = plain_beat(), TERRITORIES["mid LAD"]

    def s_wave(st_mv: float) -> float:
        big = Occlusion("mid LAD", wall, st_mv=st_mv, t_mv=0.0, q_mv=0.0, doming=0.0, minutes=60.0)
        t = np.arange(beat.onset, beat.j_point, 2.0, dtype=np.float32)
        return float(project(heart_vector(occluded(beat, big).waves, t))[LEADS.index("V3")].min())

    assert s_wave(0.0) < s_wave(0.1) < s_wave(0.5) - 0.3


def test_pacing_is_broad_and_leaves_a_spike() -> None:
    beat = with_mimic(plain_beat(), "paced", 1.0, np.random.default_rng(0))
    assert beat.j_point - beat.onset > 140.0
    spikes = [w for w in beat.waves if w.rise < 2.0]
    assert len(spikes) == 1 and beat.onset < spikes[0].start < beat.onset + 10.0
    # The paced QRS runs away from the apex: up, to the left and back.
    qrs = replace(beat, waves=tuple(w for w in beat.waves if w.part == "QRS" and w.rise > 2.0))
    assert direction_of_qrs(qrs)[1] < -0.4 and direction_of_qrs(qrs)[2] > 0.2


def test_low_voltage_is_low_everywhere() -> None:
    beat = plain_beat()
    after = with_mimic(beat, "low voltage", 1.0, np.random.default_rng(0))
    t = np.arange(-60.0, 60.0, 2.0, dtype=np.float32)
    before, low = (np.ptp(project(heart_vector(b.waves, t)), axis=1) for b in (beat, after))
    assert (low < 0.5 * before).all()


def test_an_aneurysm_keeps_its_st_elevation() -> None:
    for i in range(10):
        st = st_change("LV aneurysm", i)
        assert max(st["V2"], st["V3"]) > 0.03
