"""Loose and missing electrodes, exchanged cables."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from omi_keras.recordings.record import LEADS
from omi_keras.simulate.faults import (
    ELECTRODES,
    LOOSE,
    OFF,
    REVERSALS,
    REVERSED,
    draw_fault,
    electrode_off,
    exchanged,
    loose_contact,
)
from omi_keras.simulate.heart_vector import DOWER, project
from omi_keras.simulate.recording import record, to_millivolts
from omi_keras.simulate.rhythm import STRIP_SAMPLES


def recorded(fault: str) -> dict[str, np.ndarray]:
    vector = np.zeros((3, STRIP_SAMPLES), np.float32)
    vector[:, 2000:2050] = np.array([[0.9], [0.5], [-0.4]])
    leads = to_millivolts(record(vector, DOWER, np.random.default_rng(0), "A", 0.0, fault))
    return dict(zip(LEADS, leads, strict=True))


def test_faults_are_rare_and_of_every_kind() -> None:
    drawn = Counter(draw_fault(np.random.default_rng(i)).split(" ")[0] for i in range(20000))
    total = 20000
    assert drawn["loose"] / total == pytest.approx(LOOSE, rel=0.25)
    assert drawn["off"] / total == pytest.approx(OFF, rel=0.4)
    assert sum(drawn[name.split(" ")[0]] for name in REVERSALS) / total == pytest.approx(REVERSED, rel=0.3)
    assert drawn[""] / total > 0.95


def by_electrodes(vector: np.ndarray, order: tuple[str, str, str]) -> np.ndarray:
    """(2,) leads I and II when the cables of RA, LA and LL hang on the electrodes in ``order``."""
    one, two = DOWER[:2] @ vector
    # Potentials against Wilson's terminal, whose sum is zero.
    potential = {"RA": -(one + two) / 3, "LA": (2 * one - two) / 3, "LL": (2 * two - one) / 3}
    right, left, foot = (potential[name] for name in order)
    return np.array([left - right, foot - right])


@pytest.mark.parametrize(
    ("fault", "order"),
    [
        ("RA-LA reversed", ("LA", "RA", "LL")),
        ("RA-LL reversed", ("LL", "LA", "RA")),
        ("LA-LL reversed", ("RA", "LL", "LA")),
    ],
)
def test_exchanged_cables_follow_from_the_potentials(fault: str, order: tuple[str, str, str]) -> None:
    for vector in np.random.default_rng(0).normal(size=(5, 3)):
        field = exchanged(DOWER, fault)
        np.testing.assert_allclose(field[:2] @ vector, by_electrodes(vector, order), atol=1e-12)
        np.testing.assert_array_equal(field[2:], DOWER[2:])


def test_exchanged_arms_turn_lead_i_over_and_swap_avr_and_avl() -> None:
    vector = np.array([[0.9], [0.5], [-0.4]])
    right = dict(zip(LEADS, project(vector)[:, 0], strict=True))
    wrong = dict(zip(LEADS, project(vector, exchanged(DOWER, "RA-LA reversed"))[:, 0], strict=True))
    assert wrong["I"] == pytest.approx(-right["I"])
    assert (wrong["II"], wrong["aVR"], wrong["aVL"]) == pytest.approx((right["III"], right["aVL"], right["aVR"]))
    assert wrong["aVF"] == pytest.approx(right["aVF"]) and wrong["V4"] == pytest.approx(right["V4"])


def test_an_electrode_that_is_off_leaves_a_flat_line() -> None:
    assert electrode_off("off V3") == "V3" and electrode_off("loose V3") is None
    with_fault, without = recorded("off V3"), recorded("")
    for lead in LEADS:
        assert (np.ptp(with_fault[lead]) == 0.0) == (lead == "V3")
        if lead != "V3":
            np.testing.assert_array_equal(with_fault[lead], without[lead])


def test_a_loose_electrode_disturbs_the_leads_that_it_serves() -> None:
    without = recorded("")
    chest, arm = recorded("loose V5"), recorded("loose RA")
    changed = {lead for lead in LEADS if np.abs(chest[lead] - without[lead]).max() > 0.05}
    assert changed == {"V5"}
    assert all(np.abs(arm[lead] - without[lead]).max() > 0.05 for lead in LEADS if lead != "III")
    np.testing.assert_allclose(arm["III"], without["III"], atol=0.006)
    for electrode in ELECTRODES:
        found = loose_contact(np.random.default_rng(0), f"loose {electrode}")
        assert found is not None and found[0] == ELECTRODES.index(electrode) and found[1].shape == (STRIP_SAMPLES,)
