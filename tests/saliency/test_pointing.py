"""The pointing game: maps that point, maps that avoid, and maps that know nothing."""

from __future__ import annotations

import numpy as np
import pytest

from omi_keras.beats.median_beats import median_beat
from omi_keras.measures.fiducials import delineate
from omi_keras.recordings.record import LEADS
from omi_keras.saliency.pointing import COLUMNS, injured_leads, pointing_game
from omi_keras.simulate.cohort import simulate_cohort


@pytest.fixture(scope="module")
def cases():
    """Simulated OMI: beats, arteries, patients."""
    ecgs = [ecg for ecg in simulate_cohort(24, 12, 0.7, seed=5) if ecg.plan.omi]
    beats = np.stack([median_beat(ecg.record).beat for ecg in ecgs])
    return beats, np.array([ecg.plan.artery for ecg in ecgs]), np.array([ecg.plan.patient_id for ecg in ecgs])


def named(artery):
    return {lead for lead, inside in zip(LEADS, injured_leads(artery), strict=True) if inside}


def test_injured_leads_are_those_of_the_textbook():
    assert {"V2", "V3"} <= named("proximal LAD")
    assert {"II", "III", "aVF"} <= named("RCA")
    assert {"aVL"} <= named("diagonal")
    assert {"V2", "V3"} <= named("posterior"), "reciprocal depression"
    assert not {"V4", "V5"} & named("RCA")


def test_uniform_maps_get_what_chance_gives(cases):
    beats, artery, patient = cases
    table = pointing_game(np.ones((len(beats), 12, 400), np.float32), beats, artery, patient)
    assert tuple(table.columns) == COLUMNS
    np.testing.assert_allclose(table["share"], table["chance"], rtol=1e-5)
    both = table.set_index("region")["chance"]
    assert 0 < both["ST-T of injured leads"] < both["injured leads"] < 1


def test_maps_that_point_and_maps_that_avoid(cases):
    beats, artery, patient = cases
    marks = delineate(beats)
    maps = np.zeros((len(beats), 12, 400), np.float32)
    for k, name in enumerate(artery):
        st_t = slice(marks.j[k] - 150, min(marks.t_end[k] + 1 - 150, 400))
        maps[k, injured_leads(name), st_t] = 1
    table = pointing_game(maps, beats, artery, patient).set_index("region")
    np.testing.assert_allclose(table[["share", "hits", "hits_hi"]], 1)
    # That all peaks are inside says little of so few patients; that all shares are the same, nothing.
    patients = len(set(patient.tolist()))
    assert (table["hits_lo"] <= 0.025 ** (1 / patients) + 1e-9).all()
    assert table[["share_lo", "share_hi"]].isna().all(axis=None)
    avoiding = pointing_game((maps == 0).astype(np.float32), beats, artery, patient).set_index("region")
    assert (avoiding.loc["ST-T of injured leads", ["share", "hits"]] == 0).all()
    # Chance is the region's area, whatever the map.
    np.testing.assert_allclose(avoiding["chance"], table["chance"])
    assert table.loc["ST-T of injured leads", "chance"] == pytest.approx(maps.mean())


def test_a_map_of_every_second_sample_points_to_the_same_place(cases):
    beats, artery, patient = cases
    maps = np.zeros((len(beats), 12, 400), np.float32)
    marks = delineate(beats)
    for k, name in enumerate(artery):
        maps[k, injured_leads(name), marks.j[k] + 20 - 150 : marks.j[k] + 40 - 150] = 1
    fine = pointing_game(maps, beats, artery, patient)
    coarse = pointing_game(maps[:, :, ::2], beats, artery, patient)
    assert (fine["share"] == 1).all()
    np.testing.assert_allclose(coarse["share"], 1)
    np.testing.assert_allclose(coarse["hits"], 1)
    # A sample more or less at either end.
    np.testing.assert_allclose(coarse["chance"], fine["chance"], atol=0.005)


def test_hits_count_peaks(cases):
    beats, artery, patient = cases
    maps = np.full((len(beats), 12, 400), 0.001, np.float32)
    maps[:, 0, 5] = 1  # long before the J point
    table = pointing_game(maps, beats, artery, patient).set_index("region")
    assert table.loc["ST-T", "hits"] == 0
    assert table.loc["injured leads", "hits"] == np.mean([injured_leads(name)[0] for name in artery])


def test_unknown_arteries_are_left_out(cases):
    beats, artery, patient = cases
    maps = np.ones((len(beats), 12, 400), np.float32)
    assert pointing_game(maps, beats, np.full(len(beats), ""), patient).empty
    some = artery.copy()
    some[1:] = "unknown"
    assert pointing_game(maps, beats, some, patient)["ecgs"].tolist() == [1, 1, 1]
