"""The learning rate and the kept epoch, against the paper's sentence written out slowly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omi_keras.training.schedule import Schedule


def slow(scores, rate=1.0):
    """Multiply by 0.8 whenever three epochs in a row have brought no better score since the last change or best."""
    rates, since = [], []
    for i, score in enumerate(scores):
        rates.append(rate)
        if score > max(scores[:i], default=float("-inf")):
            since = []
        else:
            since.append(i)
        if len(since) == 3:
            rate, since = rate * 0.8, []
    return rates, scores.index(max(scores)) + 1


@given(st.lists(st.integers(0, 6).map(lambda k: k / 6), min_size=1, max_size=40))
def test_schedule_is_the_papers(scores):
    schedule, rates = Schedule(1.0), []
    for epoch, score in enumerate(scores, start=1):
        rates.append(schedule.learning_rate)
        schedule.see(epoch, score)
    assert (rates, schedule.best_epoch) == slow(scores)


def test_an_example():
    schedule = Schedule(1e-5)
    for epoch, score in enumerate([0.5, 0.6, 0.6, 0.5, 0.55, 0.61], start=1):
        schedule.see(epoch, score)
        if epoch == 4:
            assert schedule.learning_rate == 1e-5
        if epoch == 5:
            assert schedule.learning_rate == pytest.approx(0.8e-5)
    assert schedule.best_epoch == 6
