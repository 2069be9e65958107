"""Augmented beats are what the same heart might show: laws of the leads, ST, proportions and labels stay."""

from dataclasses import replace

import numpy as np
import pytest

from omi_keras.data.augmentation import MASKABLE, augmentation, augmented
from omi_keras.data.batches import read_batch
from omi_keras.data.strengths import STRENGTHS, Strength
from omi_keras.simulate.ecg import simulate_ecg
from omi_keras.simulate.heart_vector import DOWER, project
from omi_keras.simulate.plan import plan_cohort

INDEPENDENT = [0, 1, 6, 7, 8, 9, 10, 11]
UNMASKED = {name: replace(strength, lead_masks=0, stretch_masks=0) for name, strength in STRENGTHS.items()}


@pytest.fixture(scope="module")
def beats():
    """(60, 12, 600) noiseless simulated beats, half of them of occlusions."""
    ecgs = [simulate_ecg(plan) for plan in plan_cohort(60, 60, 0.5, seed=3)]
    return np.stack([ecg.truth.true_beat for ecg in ecgs])


def drawn(beats, strength, seed=0):
    return augmented(beats, strength, np.random.default_rng(seed))


def st_level(beats):
    """70 to 90 ms after R (J + 30 ms and more) against PQ, (n, 12) mV."""
    return beats[:, :, 345:355].mean(-1) - beats[:, :, 266:272].mean(-1)


@pytest.mark.parametrize("name", STRENGTHS)
def test_einthoven_and_goldberger_hold(beats, name):
    one, two, three, avr, avl, avf = np.moveaxis(drawn(beats, UNMASKED[name]), 1, 0)[:6]
    for left, right in ((three, two - one), (avr, -(one + two) / 2), (avl, one - two / 2), (avf, two - one / 2)):
        np.testing.assert_allclose(left, right, atol=2e-6)


def test_a_recording_that_breaks_einthovens_law_keeps_its_own_third_lead(beats):
    broken = beats.copy()
    broken[:, 2] += 0.3
    space = Strength(rotation=6, displacement=0.1)
    np.testing.assert_allclose(drawn(broken, space)[:, 2] - drawn(beats, space)[:, 2], 0.3, atol=1e-5)


def test_the_gain_of_a_recording_is_a_factor_of_all_its_leads(beats):
    broken = beats.copy()
    broken[:, 2] += 0.3 * np.sin(np.arange(600) / 40)
    x = drawn(broken, Strength(gain=0.15))
    factor = (x * broken).sum((1, 2)) / np.square(broken).sum((1, 2))
    np.testing.assert_allclose(x, factor[:, None, None] * broken, atol=1e-6)
    assert 0.1 < np.log(factor).std() < 0.2


@pytest.mark.parametrize("contract", ["zscore-400", "maxabs-200"])
def test_networks_see_of_the_gains_only_how_large_the_noise_is(beats, contract):
    from omi_keras.beats.model_inputs import model_input

    before = model_input(beats.astype(np.float32), contract)
    np.testing.assert_allclose(
        model_input(drawn(beats, Strength(gain=0.2, lead_gain=0.1)), contract), before, atol=1e-5
    )


@pytest.mark.parametrize(("name", "noise_mv", "turned"), [("light", 0.025, 0.15), ("strong", 0.06, 0.35)])
def test_st_changes_no_more_than_noise_and_the_turn_of_the_heart_do(beats, name, noise_mv, turned):
    before = st_level(beats)
    assert np.abs(before).max() > 0.2
    for seed in range(5):
        quiet = replace(UNMASKED[name], shift=0, gain=0, lead_gain=0)
        gained = drawn(beats, replace(UNMASKED[name], shift=0), seed)
        x = drawn(beats, quiet, seed)
        # The same chance: what the gains did is a factor of each lead, on noiseless beats a factor of ST.
        allowed = noise_mv + turned * np.abs(before).max(axis=1, keepdims=True)
        assert (np.abs(st_level(x) - before) < allowed).all()
        assert np.median(np.abs(st_level(x) - before)) < noise_mv / 2
        assert np.abs(np.log(np.ptp(gained, -1) / np.ptp(x, -1))).max() < 5 * (STRENGTHS[name].gain + 0.1)


@pytest.mark.parametrize("name", STRENGTHS)
def test_where_there_is_no_st_deviation_none_arises(name):
    """A heart vector that returns to zero after QRS: only noise can lift the segment."""
    t = np.arange(600) - 300.0
    vector = np.exp(-0.5 * (t / 5) ** 2) * np.array([1.1, 0.7, 0.5])[:, None]
    flat = np.repeat(project(vector)[None], 50, axis=0).astype(np.float32)
    silent = replace(STRENGTHS[name], wander=0, muscle=0)
    assert np.abs(st_level(drawn(flat, silent))).max() < 1e-4
    assert 0.0005 < np.abs(st_level(drawn(flat, STRENGTHS[name]))).mean() < 0.01


def test_turning_the_heart_keeps_the_length_of_its_vector(beats):
    rng = np.random.default_rng(0)
    vector = rng.standard_normal((40, 3, 600)).astype(np.float32)
    x = drawn(project(vector).astype(np.float32), Strength(rotation=6))
    turned = np.linalg.pinv(DOWER) @ x[:, INDEPENDENT]
    np.testing.assert_allclose(project(turned), x, atol=1e-4)  # still one dipole
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(vector, axis=1), atol=1e-4)
    cosine = (turned * vector).sum(1) / np.linalg.norm(turned, axis=1) / np.linalg.norm(vector, axis=1)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    assert 3 < np.median(angle) < 12 and angle.max() < 3**0.5 * 12 + 0.1


def test_chest_electrodes_move_towards_their_neighbours(beats):
    x = drawn(beats, Strength(displacement=0.1))[:, 6:] - beats[:, 6:]
    dipole = np.linalg.pinv(DOWER) @ beats[:, INDEPENDENT]
    slope = np.gradient(beats[:, 6:], axis=1)
    for n in range(len(beats)):
        for lead in range(6):
            along = (x[n, lead] @ slope[n, lead]) / (slope[n, lead] @ slope[n, lead])
            np.testing.assert_allclose(x[n, lead], along * slope[n, lead], atol=1e-5)
            assert abs(along) < 0.6
    limb = drawn(beats, Strength(displacement=0.1))[:, :2] - beats[:, :2]
    explained = np.stack([np.linalg.lstsq(dipole[n].T, limb[n].T, rcond=None)[0].T @ dipole[n] for n in range(60)])
    np.testing.assert_allclose(limb, explained, atol=1e-5)


def test_noise_has_the_spectrum_of_wander_and_muscle():
    silence = np.zeros((200, 12, 600), np.float32)
    f = np.fft.rfftfreq(600, 1 / 500)

    def power(strength):
        x = drawn(silence, strength)
        return np.square(np.abs(np.fft.rfft(x[:, 6:] * np.hanning(600)))).mean((0, 1)), x[:, 6:].std()

    wander, size = power(Strength(wander=0.01))
    assert wander[f < 2].sum() > 0.97 * wander.sum()
    assert 0.008 < size < 0.016  # of an electrode and a third of three others
    muscle, size = power(Strength(muscle=0.01))
    inside = (f > 20) & (f < 152)
    assert muscle[inside].sum() > 0.97 * muscle.sum()
    assert muscle[f > 155].max() < 1e-3 * muscle.max()
    assert 0.009 < size < 0.016


def test_shifts_are_whole_samples_and_both_ways(beats):
    x = drawn(beats, Strength(shift=3))
    found = set()
    for before, after in zip(beats, x, strict=True):
        moves = [k for k in range(-3, 4) if (after[:, 10:-10] == np.roll(before, k, -1)[:, 10:-10]).all()]
        assert len(moves) == 1
        found |= set(moves)
    assert found == set(range(-3, 4))


def test_masked_leads_are_flat_and_as_many_as_said(beats):
    many = np.concatenate([beats] * 20)
    x = drawn(many, Strength(lead_masks=0.3, most_leads=3))
    flat = (x == 0).all(-1)
    np.testing.assert_array_equal(x[~flat], many[~flat])
    counts = flat.sum(1)
    assert set(counts) == {0, 1, 2, 3}
    assert abs((counts > 0).mean() - 0.3) < 0.05
    assert flat.any(0).all()


def test_masked_stretches_leave_pq_qrs_st_and_t_alone(beats):
    many = np.concatenate([beats] * 10)
    x = drawn(many, Strength(stretch_masks=0.5))
    changed = (x != many).any((0, 1))
    inside = np.zeros(600, bool)
    for first, last in MASKABLE:
        inside[first:last] = True
        assert changed[first:last].mean() > 0.9
    assert not changed[~inside].any()
    # A line, so that nothing is left of what it bridges.
    number, lead = np.argwhere((x != many).any(-1))[0]
    places = np.flatnonzero(x[number, lead] != many[number, lead])
    line = x[number, lead, places[0] - 1 : places[-1] + 2]
    np.testing.assert_allclose(np.diff(line, 2), 0, atol=1e-6)


@pytest.mark.parametrize("name", STRENGTHS)
def test_every_batch_has_its_own_chance_and_keeps_it(beats, name):
    def first(seed=1, fold=2, epoch=3, batch=4):
        return augmentation(name, seed, fold, epoch)(batch, beats)

    before = beats.copy()
    x = first()
    np.testing.assert_array_equal(x, first())
    np.testing.assert_array_equal(beats, before)
    assert x.dtype == np.float32 and x.shape == beats.shape and np.isfinite(x).all()
    for other in (first(seed=2), first(fold=3), first(epoch=4), first(batch=5)):
        assert (other != x).mean() > 0.9


def test_none_is_none(beats):
    assert augmentation("none", 0, 0, 1) is None
    np.testing.assert_array_equal(drawn(beats, Strength()), beats)
    assert drawn(beats[:0], STRENGTHS["strong"]).shape == (0, 12, 600)


def test_a_batch_that_is_read_is_augmented_before_it_is_standardised(beats):
    from omi_keras.beats.model_inputs import model_input

    rows = np.array([7, 3, 3, 11])
    augment = augmentation("strong", 0, 1, 2)
    x = read_batch(beats, rows, augment=lambda chosen: augment(5, chosen))
    np.testing.assert_array_equal(x[..., 0], model_input(augment(5, beats[rows])))
    assert (x[1] != x[2]).any(), "an ECG that is drawn twice is shown twice"
